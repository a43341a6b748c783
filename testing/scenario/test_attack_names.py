"""Names with odd bytes: none reaches a log line, the next proxy's request, or a look-up."""
import contextlib

import pytest

from configs import LOG, dokodemo, rule
from origins import Server
from proxies import Association, http_in, proxy_out, socks_in
from rig import (
    KINDS, SLOWER, connect, free_port, free_ports, read_exactly, read_to_end, visit_whole, wait_for,
)

pytestmark = pytest.mark.quick
ODD = [
    b"a\r\nX-Injected: 1\r\n", b"a\nb", b"a\0b.test", b"a b", b"a:80", b"a@b", b"a/b", b"a%00b", b"a\x1b[31m", b"\xff\xfe",
    b"a\x7f", b"a'b", b'a"b', b"a\\b", b"[::1", b"::1]", b"a#b", b"a?b", b"a,b", b"<a>", b"${a}", b"%s%n%x", b"\xe3\x80\x82",
]


@pytest.mark.parametrize("kind", KINDS)
def test_control_a_name_writes_lines_into_the_log_of_v2ray(run, kind):
    port = free_port()
    program = run(kind, {"log": LOG, "inbounds": [socks_in("s", port)], "outbounds": [{"protocol": "freedom"}]})
    name = b"a\nforged line\n"
    with connect(port) as s:
        s.sendall(b"\x05\x01\0\x05\x01\0\x03" + bytes([len(name)]) + name + b"\0\x50")
        read_to_end(s, 5)
    program.wait_log("a name|invalid domain")
    assert ("\nforged line\n" in program.log()) == (kind == "v2ray")


@pytest.mark.v2c
@pytest.mark.parametrize("onward", ["http", "socks"])
def test_an_odd_name_goes_nowhere(run, onward):
    heard = []

    def proxy(_, s):
        s.settimeout(2)
        with contextlib.suppress(OSError):
            heard.append(s.recv(4096))

    server = Server(proxy)
    socks, http = free_ports(2)
    v2c = run("v2c", {
        "log": {"loglevel": "debug"},
        "inbounds": [socks_in("s", socks), http_in("h", http)],
        "outbounds": [proxy_out(onward, "next", server.port)],
    })
    for name in ODD:
        with connect(socks) as s:
            s.sendall(b"\x05\x01\0\x05\x01\0\x03" + bytes([len(name)]) + name + b"\0\x50")
            assert read_exactly(s, 4)[2:] == b"\x05\x01", name
            read_to_end(s, 5)
        with connect(socks) as s:
            s.sendall(b"\x04\x01\0\x50\0\0\0\x01me\0" + name.replace(b"\0", b"\x01") + b"\0")
            assert read_exactly(s, 2) == b"\0\x5b", name
        with connect(http) as s:
            s.sendall(b"CONNECT " + name + b":80 HTTP/1.1\r\nHost: a\r\n\r\n")
            got = read_to_end(s, 5).data
            assert name == b"a:80" or got.startswith(b"HTTP/1.1 4"), (name, got)
        with connect(http) as s:
            s.sendall(b"GET http://" + name + b"/ HTTP/1.1\r\nHost: a\r\n\r\n")
            got = read_to_end(s, 5).data
            assert name in (b"a:80", b"a/b", b"a?b") or got.startswith(b"HTTP/1.1 4"), (name, got)
    with contextlib.closing(Association(socks)) as a:
        for name in ODD:
            a.socket.sendto(b"\0\0\0\x03" + bytes([len(name)]) + name + b"\0\x50x", a.relay)
    for request in heard:
        assert b"Injected" not in request and request.startswith((b"CONNECT a:80 ", b"\x05")), request
    log = v2c.log_path.read_bytes()
    assert b"X-Injected" not in log and b"\x1b" not in log and b"\0" not in log and b"\r" not in log
    server.close()


@pytest.mark.v2c
def test_who_says_nothing_is_waited_for_briefly(run, origins):
    """A thousand visitors whose bytes are sniffed trickle one each; the next one is served at once."""
    port = free_port()
    inbound = {**dokodemo("in", port, origins.web), "sniffing": {"enabled": True, "destOverride": ["http", "tls", "quic"],
                                                                "routeOnly": True}}
    config = {"log": LOG, "inbounds": [inbound], "outbounds": [{"protocol": "freedom"}, {"protocol": "blackhole", "tag": "b"}],
              "routing": {"rules": [rule("in", "b", domain=["full:blocked.test"])]}}
    v2c = run("v2c", config)
    files = v2c.open_files()
    slow = [connect(port) for _ in range(1000)]
    for s in slow[::2]:
        s.sendall(b"G")
    for s in slow[1::2]:
        s.sendall(b"\x16\x03\x01\x40\0\x01")
    with connect(port) as s:
        s.sendall(b"GET /small.txt HTTP/1.1\r\nHost: web.test\r\nConnection: close\r\n\r\n")
        assert read_to_end(s, 2 * SLOWER).data.endswith(b"small\n")
    wait_for(lambda: v2c.open_files() - files >= 1900, 3 * SLOWER, "all to go on without a name")
    for s in slow:
        s.close()
    wait_for(lambda: v2c.open_files() - files < 10, 10, "all to end")


@pytest.mark.v2c
@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000, b"HTTP/1.1 200", b"HTTP/1.1 99\0 x\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 302 x\r\nLocation: http://127.0.0.1/\r\n\r\n", b"SSH-2.0-x\r\n", b"\x05\0\x05\0\0\x09", b"\x05\xff",
    b"\x05\0\x05\0\0\x03\xff" + b"x" * 100, b"\x05\x02", b"",
])
def test_a_hostile_proxy_is_no_way(run, answer):
    def proxy(_, s):
        s.recv(4096)
        s.sendall(answer)

    server, doors = Server(proxy), free_ports(2)
    v2c = run("v2c", {
        "log": LOG,
        "inbounds": [dokodemo("http", doors[0], 80), dokodemo("socks", doors[1], 80)],
        "outbounds": [proxy_out("http", "h", server.port), proxy_out("socks", "s", server.port)],
        "routing": {"rules": [rule("http", "h"), rule("socks", "s")]},
    })
    for port in doors:
        assert visit_whole(port, b"hello") == (b"", "rst"), answer[:40]
    assert v2c.alive()
    server.close()
