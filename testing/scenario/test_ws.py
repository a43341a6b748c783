"""Transports besides tls: ws, httpupgrade, tcp with a forged head; alone, against V2Ray, and behind nginx."""
import base64
import hashlib
import socket

import pytest

from certs import Cert
from configs import LOG, dokodemo, vmess_in, vmess_out
from origins import BANNER, MB, known_bytes
from rig import (
    HOST, Nginx, connect, free_port, http_get, http_request, in_parallel, read_answer, read_exactly, read_to_end,
)

pytestmark = [pytest.mark.v2c, pytest.mark.quick]
MIXED = [("v2c", "v2c"), ("v2c", "v2ray"), ("v2ray", "v2c")]

PLAIN_WS = {"network": "ws", "wsSettings": {"path": "/ray", "headers": {"Host": "web.test"}}}
EARLY = {"network": "ws", "wsSettings": {"path": "/ray?ed=2048"}}
FORGED = {
    "network": "tcp",
    "tcpSettings": {
        "header": {
            "type": "http",
            "request": {"path": ["/a", "/b"], "headers": {"Host": ["a.test", "b.test"], "X": "1"}},
            "response": {"status": "200", "headers": {"Content-Type": ["video/mpeg"]}},
        }
    },
}
USUAL_FORGED = {"network": "tcp", "tcpSettings": {"header": {"type": "http"}}}
UPGRADE = {"network": "httpupgrade", "httpupgradeSettings": {"path": "/up", "host": "web.test"}}


def carried_by(stream, front=None):
    """Changes the configs of a tunnel: its link has these streamSettings; `front` replaces the port that is dialled."""

    def prepare(t):
        link = next(i for i in t.portal_config["inbounds"] if i["tag"] == "interconn")
        dial = next(o for o in t.bridge_config["outbounds"] if o["tag"] == "interconn")
        link["streamSettings"] = dial["streamSettings"] = stream
        if front:
            dial["settings"]["vnext"][0]["port"] = front(t)

    return prepare


def all_is_well(t, origins):
    assert http_get(t.web, "/small.txt") == (200, b"small\n")
    digest = hashlib.sha256()
    with connect(t.web, 60) as s:
        s.sendall(http_request("/big.bin"))
        assert read_answer(s, digest.update).status == 200
    assert digest.hexdigest() == origins.big_sha256
    body = known_bytes(10 * MB)
    with t.ask(f"sink {len(body)}", 60) as s:
        s.sendall(body)
        assert read_exactly(s, 64).decode() == hashlib.sha256(body).hexdigest()
    with connect(t.banner) as s:
        assert read_exactly(s, len(BANNER)) == BANNER
    assert in_parallel([lambda: http_get(t.web, "/small.txt").body] * 20) == [b"small\n"] * 20


@pytest.mark.workers
@pytest.mark.pairings(*MIXED)
def test_ws(own_tunnel, origins, pairing):
    all_is_well(own_tunnel(pairing, carried_by(PLAIN_WS)), origins)


@pytest.mark.pairings(*MIXED)
@pytest.mark.parametrize("stream", [FORGED, USUAL_FORGED], ids=["own heads", "usual heads"])
def test_forged_heads(own_tunnel, origins, pairing, stream):
    all_is_well(own_tunnel(pairing, carried_by(stream)), origins)


@pytest.mark.pairings(("v2c", "v2c"))
@pytest.mark.parametrize("stream", [UPGRADE, EARLY], ids=["httpupgrade", "ws with early data"])
def test_what_v2ray_4_has_not(own_tunnel, origins, pairing, stream):
    all_is_well(own_tunnel(pairing, carried_by(stream)), origins)


@pytest.mark.pairings(*MIXED)
@pytest.mark.parametrize("network", ["ws", "httpupgrade"])
def test_over_tls(own_tunnel, origins, tmp_path, pairing, network):
    if network == "httpupgrade" and "v2ray" in pairing:
        pytest.skip("V2Ray 4 has no httpupgrade")
    cert = Cert(names=[HOST])
    stream = {"network": network, "security": "tls", f"{network}Settings": {"path": "/ray"}}

    def prepare(t):
        carried_by(dict(stream))(t)
        link = next(i for i in t.portal_config["inbounds"] if i["tag"] == "interconn")
        dial = next(o for o in t.bridge_config["outbounds"] if o["tag"] == "interconn")
        link["streamSettings"] = {**stream, "tlsSettings": {"certificates": [cert.files(tmp_path, "portal")]}}
        trusted = {"certificates": [cert.trusted(tmp_path, "portal")], "disableSystemRoot": True, "serverName": HOST}
        dial["streamSettings"] = {**stream, "tlsSettings": trusted}

    all_is_well(own_tunnel(pairing, prepare), origins)


# -------------------------------------------------------------------------------------------- behind nginx


@pytest.fixture
def front(tmp_path):
    """An nginx that passes /ray and /up on to a port, and cuts what is silent for longer than 2 s."""
    running = []

    def start(port):
        more = f"""location ~ ^/(ray|up) {{
            proxy_pass http://{HOST}:{port}; proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";
            proxy_set_header Host web.test; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_read_timeout 2s; proxy_send_timeout 2s;
        }}"""
        running.append(Nginx(tmp_path, tmp_path, more))
        return running[-1].port

    yield start
    for nginx in running:
        nginx.stop()


@pytest.mark.pairings(*MIXED)
def test_ws_behind_nginx(own_tunnel, origins, pairing, front):
    all_is_well(own_tunnel(pairing, carried_by(PLAIN_WS, lambda t: front(t.link))), origins)


@pytest.mark.pairings(("v2c", "v2c"))
def test_httpupgrade_behind_nginx(own_tunnel, origins, pairing, front):
    all_is_well(own_tunnel(pairing, carried_by(UPGRADE, lambda t: front(t.link))), origins)


def ws_through(run, origins, port, dial, client, server, heartbeat):
    """A visitor's port that leads through VMess over ws, one connection each, to the odd origin."""
    beating = {"network": "ws", "wsSettings": {"path": "/ray", "heartbeatPeriod": heartbeat}}
    plain = {"network": "ws", "wsSettings": {"path": "/ray"}}
    user = "11223344-5566-4788-99aa-bbccddeeff00"
    visitors = free_port()
    config = {"log": LOG, "inbounds": [vmess_in("in", port, [(user, "user@test")])], "outbounds": [{"protocol": "freedom"}]}
    config["inbounds"][0]["streamSettings"] = beating if server == "v2c" else plain
    run(server, config, "server")
    out = {**vmess_out("out", dial, user), "streamSettings": beating if client == "v2c" else plain}
    run(client, {"log": LOG, "inbounds": [dokodemo("door", visitors, origins.odd)], "outbounds": [out]}, "client")
    return visitors


def silence(port, seconds):
    with connect(port, 30) as s:
        s.sendall(b"echo\nbefore")
        assert read_exactly(s, 6) == b"before"
        s.settimeout(seconds)
        try:
            return s.recv(1)  # nobody says anything: that is the test
        except TimeoutError:
            s.settimeout(10)
            s.sendall(b"after")
            return read_exactly(s, 5)
        except ConnectionError:
            return b""


@pytest.mark.parametrize("client,server", MIXED)
def test_pings_outlive_the_patience_of_nginx(run, origins, front, client, server):
    port = free_port()
    visitors = ws_through(run, origins, port, front(port), client, server, heartbeat=1)
    assert silence(visitors, 5) == b"after"


def test_without_pings_nginx_cuts_what_is_silent(run, origins, front):
    port = free_port()
    visitors = ws_through(run, origins, port, front(port), "v2c", "v2c", heartbeat=0)
    assert silence(visitors, 10) == b""


# ------------------------------------------------------------------------------- what strangers see, and say


REQUEST = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + base64.b64encode(b"0123456789abcdef").decode() + "\r\n{more}\r\n"
)


def shake(port, path="/ray", host="web.test", more=""):
    s = connect(port)
    s.sendall(REQUEST.format(path=path, host=host, more=more).encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += s.recv(1)
    return s, head


def test_early_data_and_what_follows_in_the_same_read(run, origins):
    """The greeting begins in the request and goes on in a frame behind it, which is read already."""
    port = free_port()
    inbound = {"port": port, "listen": HOST, "protocol": "http", "streamSettings": EARLY}
    run("v2c", {"log": LOG, "inbounds": [inbound], "outbounds": [{"protocol": "freedom"}]}, "proxy")
    early = base64.urlsafe_b64encode(b"CONNECT ").decode().rstrip("=")
    request = REQUEST.format(path="/ray", host=HOST, more=f"Sec-WebSocket-Protocol: {early}\r\n")
    with connect(port) as s:
        rest = f"{HOST}:{origins.banner} HTTP/1.1\r\nHost: a.test\r\n\r\n"
        s.sendall(request.encode() + frame(0x82, rest.encode()))
        s.settimeout(3)
        answer = b""
        while BANNER not in answer:
            got = s.recv(65536)
            assert got, answer
            answer += got


def frame(first, payload):
    assert len(payload) < 126
    return bytes([first, 0x80 | len(payload), 0, 0, 0, 0]) + payload


@pytest.fixture
def door(run, origins):
    def start(stream, name="program", **more):
        port = free_port()
        inbound = {**dokodemo("door", port, origins.odd), "streamSettings": stream}
        config = {"log": LOG, "inbounds": [inbound], "outbounds": [{"protocol": "freedom"}], **more}
        program = run("v2c", config, name)
        program.port = port
        return program

    return start


def test_a_plain_protocol_over_ws_is_half_closed_by_close(door):
    v2c = door(PLAIN_WS)
    s, head = shake(v2c.port)
    assert head.startswith(b"HTTP/1.1 101 ")
    with s:
        s.sendall(frame(0x82, b"eof\nhello") + frame(0x88, b"\x03\xe8"))
        assert read_to_end(s) == (b"\x82\x09got hello\x88\x02\x03\xe8", "fin")


def test_what_was_cut_does_not_look_complete(door):
    v2c = door(PLAIN_WS)
    s, _ = shake(v2c.port)
    with s:
        s.sendall(frame(0x82, b"cut 100000\n"))
        answer = read_to_end(s)
        assert answer.how == "rst" or b"\x88\x02\x03\xe8" not in answer.data[-4:]
    s, _ = shake(v2c.port)
    with s:
        s.sendall(frame(0x82, b"eof\nhello"))
        s.shutdown(socket.SHUT_WR)  # without Close
        assert b"got" not in read_to_end(s).data
    v2c.wait_log("ws: the connection ended without Close")


@pytest.mark.parametrize("stream,path", [(PLAIN_WS, "/ray"), (UPGRADE, "/up")])
def test_a_prober_sees_a_web_server_without_that_page(door, stream, path):
    v2c = door({**stream, f"{stream['network']}Settings": {"path": path, "host": "web.test"}})
    for wrong in ({"path": "/"}, {"path": path + "/x"}, {"path": path, "host": "other.test"}):
        s, head = shake(v2c.port, **{"path": path, **wrong})
        with s:
            assert head.startswith(b"HTTP/1.1 404 Not Found\r\n"), wrong
            assert read_to_end(s).how == "fin"
    assert http_get(v2c.port, path).status == 404
    with connect(v2c.port) as s:
        s.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
        assert read_answer(s).status == 404
    s, head = shake(v2c.port, path=path, host="WEB.test:443")
    s.close()
    assert head.startswith(b"HTTP/1.1 101 ")


def test_what_the_rfc_forbids_ends_with_close_1002(door):
    v2c = door(PLAIN_WS)
    for bad in (b"\x82\x01x", frame(0xC2, b""), frame(0x83, b""), frame(0x09, b""), b"\x82\xff\xff" + bytes(11)):
        s, _ = shake(v2c.port)
        with s:
            s.sendall(bad)
            assert read_to_end(s).data == b"\x88\x02\x03\xea", bad
    s, _ = shake(v2c.port)
    with s:
        s.sendall(frame(0x89, b"x") * 11)
        assert read_to_end(s).data.endswith(b"\x88\x02\x03\xea")


def source(v2c):
    return v2c.wait_log(r"from=(\S+) ").group(1)


def test_only_a_trusted_proxy_tells_the_visitor(door):
    trusted = door(PLAIN_WS)
    s, _ = shake(trusted.port, more="X-Forwarded-For: 198.51.100.1, 192.0.2.7\r\n")
    s.close()
    assert source(trusted).startswith("192.0.2.7")
    settings = {"path": "/ray", "trustedProxies": ["192.0.2.0/24"]}
    others = door({"network": "ws", "wsSettings": settings}, "others")
    s, _ = shake(others.port, more="X-Forwarded-For: 198.51.100.1\r\n")
    s.close()
    assert source(others).startswith(HOST)


def test_rules_see_the_visitor_behind_nginx(door, front):
    rules = [{"type": "field", "source": ["203.0.113.0/24"], "outboundTag": "nowhere"}]
    v2c = door(
        PLAIN_WS,
        outbounds=[{"protocol": "freedom"}, {"protocol": "blackhole", "tag": "nowhere"}],
        routing={"rules": rules},
    )
    port = front(v2c.port)
    s, _ = shake(port)
    with s:
        s.sendall(frame(0x82, b"late hello\n"))
        assert read_exactly(s, 7) == b"\x82\x05hello"
    s, _ = shake(port, more="X-Forwarded-For: 203.0.113.5\r\n")  # nginx adds itself, loopback, behind it
    with s:
        s.sendall(frame(0x82, b"late hello\n"))
        assert b"hello" not in read_to_end(s).data
