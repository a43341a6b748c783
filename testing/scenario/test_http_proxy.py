"""HTTP proxies, in and out: with curl, with requests byte by byte, and with V2Ray on either side."""
import base64
import socket

import pytest

from configs import LOG, dokodemo
from origins import Server, known_bytes
from proxies import PASSWORD, USER, curl, http_in, proxy_out
from rig import HOST, connect, free_port, free_ports, http_get, in_parallel, read_exactly, read_to_end, visit_end
from test_socks import server

pytestmark = [pytest.mark.v2c, pytest.mark.quick]


@pytest.fixture
def proxy(run):
    port = free_port()
    run("v2c", server(http_in("http", port)), "server")
    return port


@pytest.fixture
def mirror():
    """Answers each connection with all that it got within one request, and then the end."""
    got = []

    def serve(server, s):
        s.settimeout(0.5)
        data = b""
        try:
            while piece := s.recv(65536):
                data += piece
                if data.endswith((b"\r\n\r\n", b"END")):
                    break
        except TimeoutError:
            pass
        got.append(data)
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

    running = Server(serve)
    running.got = got
    yield running
    running.close()


def ask(port, request):
    with connect(port) as s:
        s.sendall(request)
        return read_to_end(s).data


# ---------------------------------------------------------------------------------------------- curl


@pytest.mark.workers
@pytest.mark.parametrize("tunnel", [[], ["--proxytunnel"]], ids=["plain", "connect"])
def test_curl(proxy, origins, tunnel):
    via = [*tunnel, "-x", f"http://{HOST}:{proxy}"]
    assert curl(*via, f"http://localhost:{origins.web}/small.txt") == (b"small\n", 0)
    out, code = curl(*via, *[f"http://{HOST}:{origins.web}/{i}.bin" for i in range(3)])
    assert code == 0 and len(out) == sum(100_000 + 1_000 * i for i in range(3))


@pytest.mark.parametrize("tunnel", [[], ["--proxytunnel"]], ids=["plain", "connect"])
def test_curl_with_a_password(run, origins, tunnel):
    port = free_port()
    program = run("v2c", server(http_in("http", port, auth=True)), "server")
    via = [*tunnel, "-w", "%{http_code} %{http_connect}", "-o", "/dev/null", "-x", f"http://{HOST}:{port}"]
    url = f"http://{HOST}:{origins.web}/small.txt"
    assert b"200" in curl(*via, "--proxy-user", f"{USER}:{PASSWORD}", url)[0]
    for wrong in (["--proxy-user", f"{USER}:wrong"], ["--proxy-user", f"x:{PASSWORD}"], []):
        assert b"407" in curl(*via, *wrong, url)[0]
    assert "no valid user and password" in program.log() and PASSWORD not in program.log()


# ------------------------------------------------------------------------------------- what is sent on


def test_what_an_origin_sees(proxy, mirror):
    credential = base64.b64encode(b"a:b").decode()
    request = (
        f"GET http://localhost:{mirror.port}/a?b=c HTTP/1.1\r\nHost: elsewhere.test\r\nAccept: x\r\n"
        f"Proxy-Authorization: Basic {credential}\r\nProxy-Connection: keep-alive\r\nKeep-Alive: 5\r\n"
        "TE: trailers\r\nUpgrade: h2c\r\nX-Hop: 1\r\nConnection: keep-alive, x-hop\r\nX-End: 2\r\n\r\n"
    )
    assert ask(proxy, request.encode()).endswith(b"ok")
    assert mirror.got == [
        b"GET /a?b=c HTTP/1.1\r\nHost: localhost:%d\r\nAccept: x\r\nX-End: 2\r\nConnection: close\r\n\r\n" % mirror.port
    ]


@pytest.mark.parametrize(
    "framing, body",
    [("Content-Length: 8", b"12345END"), ("Transfer-Encoding: chunked", b"5;x=y\r\n12END\r\n0\r\nA: b\r\n\r\n")],
)
def test_bodies_pass_and_nothing_behind_them(proxy, mirror, framing, body):
    """What follows would be read by the first origin as a request of its own."""
    head = f"POST http://{HOST}:{mirror.port}/ HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n".encode()
    assert ask(proxy, head + body + b"GET http://x.test/secret HTTP/1.1\r\nHost: x.test\r\n\r\nEND").endswith(b"ok")
    assert mirror.got[0].endswith(b"\r\n\r\n" + body) and b"secret" not in mirror.got[0]


def test_a_request_goes_where_it_says_on_every_connection(proxy, origins):
    """Whoever asks for more on a kept connection gets one answer, and its end."""
    first = f"GET http://{HOST}:{origins.web}/small.txt HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"
    second = f"GET http://{HOST}:{origins.odd}/ HTTP/1.1\r\nHost: b\r\n\r\n"
    answer = ask(proxy, (first + second).encode())
    assert answer.count(b"HTTP/1.1") == 1 and answer.endswith(b"small\n")


@pytest.mark.parametrize(
    "request_text, status",
    [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("CONNECT a:0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("CONNECT ::1:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
        ("POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: content-length\r\n\r\n", 400),
        ("POST http://a/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        ("GET http://a/ HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", 400),
        ("GET http://a/ HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("GET http://a/ HTTP/1.1\r\nHost: a\r\nX: " + "y" * 9000 + "\r\n\r\n", 431),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(proxy, request_text, status):
    assert ask(proxy, request_text.encode()).startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize("method", ["GET http://{}/ ", "CONNECT {} "])
def test_a_client_hears_why_its_target_was_not_reached(run, method):
    port = free_port()
    config = server(http_in("http", port))
    config["outbounds"].append({"tag": "hole", "protocol": "blackhole"})
    config["routing"] = {"rules": [{"type": "field", "domain": ["full:hole.test"], "outboundTag": "hole"}]}
    run("v2c", config, "server")
    for target, status in ((f"{HOST}:{free_port()}", 502), ("hole.test:80", 403)):
        request = method.format(target) + "HTTP/1.1\r\nHost: a\r\n\r\n"
        assert ask(port, request.encode()).startswith(b"HTTP/1.1 %d " % status)


def test_a_transparent_proxy_goes_to_the_host(run, origins):
    port = free_port()
    run("v2c", server(http_in("http", port, allowTransparent=True)), "server")
    request = f"GET /small.txt HTTP/1.1\r\nHost: {HOST}:{origins.web}\r\n\r\n"
    assert ask(port, request.encode()).endswith(b"small\n")


def test_bytes_behind_connect_are_not_lost(proxy, origins):
    with connect(proxy) as s:
        s.sendall(b"CONNECT %s:%d HTTP/1.1\r\nHost: a\r\n\r\necho\nhello" % (HOST.encode(), origins.odd))
        assert read_answer_head(s).startswith(b"HTTP/1.1 200 ")
        assert read_exactly(s, 5) == b"hello"


def read_answer_head(s):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += read_exactly(s, 1)
    return head


# ------------------------------------------------------------------------------------------- pairings


def client(web, odd, port, origins, auth, **settings):
    doors = [dokodemo("web", web, origins.web), dokodemo("odd", odd, origins.odd)]
    out = proxy_out("http", "proxy", port, auth)
    out["settings"].update(settings)
    return {"log": LOG, "inbounds": doors, "outbounds": [out]}


@pytest.mark.workers
@pytest.mark.parametrize("auth", [False, True], ids=["open", "password"])
@pytest.mark.parametrize("kinds", [("v2c", "v2c"), ("v2c", "v2ray"), ("v2ray", "v2c")], ids="-".join)
def test_pairings(run, origins, kinds, auth):
    web, odd, port = free_ports(3)
    run(kinds[1], server(http_in("http", port, auth)), "server")
    run(kinds[0], client(web, odd, port, origins, auth), "client")
    assert in_parallel([lambda: http_get(web, "/small.txt").body] * 20) == [b"small\n"] * 20
    with connect(odd) as s:
        s.sendall(b"bytes 3000000\n")
        assert read_to_end(s, 30).data == known_bytes(3_000_000)


def test_a_plain_request_through_v2ray_and_back(run, origins):
    """v2c's proxy, whose outbound is V2Ray's proxy."""
    near, far = free_ports(2)
    run("v2ray", server(http_in("http", far, True)), "far")
    config = server(http_in("http", near))
    config["outbounds"] = [proxy_out("http", "far", far, True)]
    run("v2c", config, "near")
    assert curl("-x", f"http://{HOST}:{near}", f"http://{HOST}:{origins.web}/small.txt") == (b"small\n", 0)


def test_our_own_headers_and_what_a_proxy_says(run, origins):
    heard = []

    def serve(server, s):
        heard.append(read_answer_head(s))
        s.sendall(b"HTTP/1.1 200 Fine\r\nX: y\r\n\r\nhello" if len(heard) == 1 else b"HTTP/1.1 407 No\r\n\r\n")

    other = Server(serve)
    web, odd = free_ports(2)
    config = client(web, odd, other.port, origins, True, headers={"User-Agent": "test"})
    program = run("v2c", config, "client")
    with connect(web) as s:
        assert read_exactly(s, 5) == b"hello"
    credential = base64.b64encode(f"{USER}:{PASSWORD}".encode())
    target = b"%s:%d" % (HOST.encode(), origins.web)
    assert heard == [
        b"CONNECT %s HTTP/1.1\r\nHost: %s\r\nProxy-Authorization: Basic %s\r\nUser-Agent: test\r\n\r\n"
        % (target, target, credential)
    ]
    assert visit_end(web) == "rst"
    program.wait_log("end=.*wants a user and password")
    other.close()


def test_datagrams_are_refused(run, origins):
    port, udp = free_port(), free_port(udp=True)
    config = {
        "log": LOG,
        "inbounds": [dokodemo("udp", udp, origins.udp, network="udp")],
        "outbounds": [proxy_out("http", "proxy", port)],
    }
    program = run("v2c", config, "client")


    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(b"x", (HOST, udp))
    program.wait_log("an http proxy takes no UDP")
