"""freedom's proxyProtocol: the target is told whose connection it gets."""
import socket
import struct

import pytest

from configs import LOG, dokodemo, rule
from origins import Server
from rig import HOST, connect, free_port, http_request, read_exactly, read_to_end

pytestmark = [pytest.mark.v2c, pytest.mark.quick]
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


@pytest.fixture
def told():
    """Answers with the PROXY header that it got; then echoes."""

    def serve(_, s):
        head = read_exactly(s, 12)
        if head == SIGNATURE:
            head += read_exactly(s, 4)
            head += read_exactly(s, struct.unpack(">H", head[-2:])[0])
        else:
            while not head.endswith(b"\r\n"):
                head += read_exactly(s, 1)
        s.sendall(head.hex().encode() + b"\n")
        while data := s.recv(65536):
            s.sendall(data)

    running = Server(serve)
    yield running
    running.close()


def freedom(version):
    return {"tag": "out", "protocol": "freedom", "settings": {"proxyProtocol": version}}


def hear(s):
    text = b""
    while not text.endswith(b"\n"):
        text += read_exactly(s, 1)
    return bytes.fromhex(text.decode())


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("target", [HOST, "localhost"])
def test_the_target_hears_who_it_is(run, told, version, target):
    door = free_port()
    inbound = dokodemo("door", door, told.port, address=target)
    outbound = freedom(version)
    outbound["settings"]["domainStrategy"] = "UseIPv4"
    run("v2c", {"log": LOG, "inbounds": [inbound], "outbounds": [outbound]})
    with connect(door) as s:
        s.sendall(b"hello")
        head, here = hear(s), s.getsockname()[1]
        assert read_exactly(s, 5) == b"hello"
        s.shutdown(socket.SHUT_WR)
        assert read_to_end(s).how == "fin"
    if version == 1:
        assert head == b"PROXY TCP4 %s %s %d %d\r\n" % (HOST.encode(), HOST.encode(), here, told.port)
    else:
        ip = socket.inet_aton(HOST)
        assert head == SIGNATURE + b"\x21\x11\0\x0c" + ip + ip + struct.pack(">HH", here, told.port)


def test_a_server_that_speaks_first_is_heard(run, told):
    """The header does not wait for the visitor's bytes."""
    door = free_port()
    config = {"log": LOG, "inbounds": [dokodemo("door", door, told.port)], "outbounds": [freedom(1)]}
    run("v2c", config)
    with connect(door) as s:
        assert hear(s).startswith(b"PROXY TCP4 ")


@pytest.mark.pairings(("v2c", "v2c"), ("v2ray", "v2c"))
def test_through_a_tunnel(own_tunnel, told, pairing):
    """A portal that is a v2c tells the bridge whose stream it is; V2Ray does not."""

    def prepare(tunnel):
        tunnel.bridge_config["outbounds"].insert(0, {**freedom(1), "tag": "told"})
        rules = tunnel.bridge_config["routing"]["rules"]
        rules.insert(1, {"type": "field", "inboundTag": ["bridge"], "port": str(told.port), "outboundTag": "told"})
        tunnel.told = free_port()
        tunnel.portal_config["inbounds"].append(dokodemo("told", tunnel.told, told.port))
        tunnel.portal_config["routing"]["rules"].append(rule("told", "portal"))

    t = own_tunnel(pairing, prepare)
    with connect(t.told) as s:
        s.sendall(http_request("/"))
        head = hear(s)
        if pairing[0] == "v2c":
            assert head.startswith(b"PROXY TCP4 %s %s %d " % (HOST.encode(), HOST.encode(), s.getsockname()[1]))
        else:
            assert head == b"PROXY UNKNOWN\r\n"
