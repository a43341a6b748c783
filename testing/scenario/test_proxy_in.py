"""The PROXY protocol on inbounds: whose connection it is, for rules, logs and the bridge; and what is no header."""
import socket
import struct
import subprocess

import pytest

from configs import LOG, dokodemo
from origins import known_bytes
from rig import HOST, connect, free_port, read_exactly, read_to_end
from test_ws import REQUEST, frame

pytestmark = [pytest.mark.v2c, pytest.mark.quick]
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def version_1(source="203.0.113.9", port=4711):
    return f"PROXY TCP4 {source} {HOST} {port} 80\r\n".encode()


def version_2(source="203.0.113.9", port=4711, values=b""):
    body = socket.inet_aton(source) + socket.inet_aton(HOST) + struct.pack(">HH", port, 80) + values
    return SIGNATURE + b"\x21\x11" + struct.pack(">H", len(body)) + body


def version_2_ipv6(source="2001:db8::9", port=4711):
    body = socket.inet_pton(socket.AF_INET6, source) + bytes(16) + struct.pack(">HH", port, 80)
    return SIGNATURE + b"\x21\x21" + struct.pack(">H", len(body)) + body


@pytest.fixture
def door(run, origins):
    def start(stream, target=None, **more):
        port = free_port()
        inbound = {**dokodemo("door", port, target or origins.odd), "streamSettings": stream}
        outbounds = [{"protocol": "freedom"}, {"protocol": "blackhole", "tag": "nowhere"}]
        program = run("v2c", {"log": LOG, "inbounds": [inbound], "outbounds": outbounds, **more})
        program.port = port
        return program

    return start


WANTED = {"tcpSettings": {"acceptProxyProtocol": True}}


@pytest.mark.parametrize(
    "header,source",
    [
        (version_1(), "203.0.113.9:4711"),
        (version_2(), "203.0.113.9:4711"),
        (version_2(values=b"\x04" + struct.pack(">H", 60000) + bytes(60000)), "203.0.113.9:4711"),
        (version_2_ipv6(), "[2001:db8::9]:4711"),
        (b"PROXY UNKNOWN\r\n", HOST),
        (SIGNATURE + b"\x20\0\0\0", HOST),
    ],
    ids=["version 1", "version 2", "with long values", "IPv6", "unknown", "local"],
)
def test_the_visitor_is_the_source(door, header, source):
    v2c = door(WANTED)
    with connect(v2c.port) as s:
        for piece in (header[:3], header[3:20], header[20:] + b"eof\n"):
            s.sendall(piece)
        s.sendall(b"hello")
        s.shutdown(socket.SHUT_WR)
        assert read_to_end(s) == (b"got hello", "fin")
    assert v2c.wait_log(r"from=(\S+) ").group(1).startswith(source)


@pytest.mark.parametrize("bad", [b"GET / HTTP/1.1\r\n\r\n", b"PROXY TCP4 nobody 1.1.1.1 1 1\r\n", SIGNATURE + b"\x99\x11\0\x0c"])
def test_without_a_header_there_is_no_connection(door, origins, bad):
    v2c = door(WANTED)
    before = origins.odd_server.accepted
    with connect(v2c.port) as s:
        s.sendall(bad)
        assert read_to_end(s) == (b"", "rst")
    v2c.wait_log("PROXY header: ")
    assert origins.odd_server.accepted == before


def test_rules_know_the_visitor(door):
    rules = [{"type": "field", "source": ["203.0.113.0/24"], "outboundTag": "nowhere"}]
    v2c = door(WANTED, routing={"rules": rules})
    for source, heard in (("203.0.113.9", b""), ("198.51.100.9", b"hello")):
        with connect(v2c.port) as s:
            s.sendall(version_1(source) + b"late hello\n")
            assert read_to_end(s).data == heard


def test_curl_is_understood(door, origins):
    v2c = door(WANTED, target=origins.web)
    url = f"http://{HOST}:{v2c.port}/small.txt"
    done = subprocess.run(["curl", "-sS", "--haproxy-protocol", url], capture_output=True, timeout=10)
    assert done.stdout == b"small\n", done.stderr


def test_a_header_stands_before_ws(door):
    v2c = door({"network": "ws", "wsSettings": {"path": "/ray", "acceptProxyProtocol": True}})
    with connect(v2c.port) as s:
        s.sendall(version_2() + REQUEST.format(path="/ray", host="x", more="").encode() + frame(0x82, b"late hello\n"))
        assert b"\r\n\r\n\x82\x05hello" in read_to_end(s).data
    assert v2c.wait_log(r"from=(\S+) ").group(1) == "203.0.113.9:4711"


@pytest.mark.pairings(("v2c", "v2c"))
def test_the_bridge_knows_the_visitor(own_tunnel, pairing):
    def prepare(t):
        for inbound in t.portal_config["inbounds"]:
            if inbound["tag"] == "origin":
                inbound["streamSettings"] = {"sockopt": {"acceptProxyProtocol": True}}

    t = own_tunnel(pairing, prepare)
    with connect(t.origin) as s:
        s.sendall(version_1() + b"bytes 100000\n")
        assert read_exactly(s, 100000) == known_bytes(100000)
    t.bridge.wait_log(r"in=bridge from=203\.0\.113\.9:4711 ")
