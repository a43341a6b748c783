"""The gateway: each request of a kept connection to its own server, with real clients and servers."""
import base64
import hashlib
import os
import re
import signal
import subprocess
import threading

import pytest

from configs import BRIDGE_EMAIL, DOMAIN, LOG, bridge_config, dokodemo, rule, vmess_in
from origins import Server, known_bytes
from rig import (
    HOST,
    SLOWER,
    connect,
    free_port,
    free_ports,
    in_parallel,
    read_answer,
    read_exactly,
    read_to_end,
    reset,
    wait_for,
)

pytestmark = [pytest.mark.v2c, pytest.mark.quick]

USER = "4d21094e-b74c-4916-86c1-d9fa36ea677b"


def gateway(port, routes, **settings):
    return {
        "log": dict(LOG),
        "inbounds": [dokodemo("door", port, 80)],
        "outbounds": [
            {"tag": "direct", "protocol": "freedom"},
            {"tag": "web", "protocol": "web", "settings": {"routes": routes, **settings}},
        ],
        "routing": {"rules": [rule("door", "web")]},
    }


def at(server, **route):
    return {**route, "address": f"{HOST}:{server.port if hasattr(server, 'port') else server}"}


def request(host, path="/", method="GET", body=b"", extra=""):
    framing = f"Content-Length: {len(body)}\r\n" if body or method == "POST" else ""
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{framing}{extra}\r\n".encode() + body


def ask(s, host, path="/", **more):
    s.sendall(request(host, path, **more))
    return read_answer(s)


def head_of(s):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = s.recv(1)
        assert byte, head
        head += byte
    return head


def kept(answer):
    """A server that keeps its connections: `answer` gets the head, the body and the number of the request."""

    def serve(server, s):
        count = 0
        while True:
            try:
                head = head_of(s)
            except AssertionError:
                return
            length = re.search(rb"(?i)content-length: *(\d+)", head)
            body = read_exactly(s, int(length.group(1))) if length else b""
            count += 1
            said = answer(head, body, count)
            if said is None:
                return
            s.sendall(said)

    return Server(serve)


def ok(body):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


@pytest.fixture
def servers():
    """Makes servers that end with the test."""
    made = []

    def make(server):
        made.append(server)
        return server

    yield make
    for server in made:
        server.close()


def curl(*args):
    done = subprocess.run(["curl", "-sS", "--max-time", "20", *args], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


# ------------------------------------------------------------------------------------------ who is asked


@pytest.mark.workers
def test_each_request_of_a_connection_goes_its_own_way(run, servers):
    a, b, c = (servers(kept(lambda *_, name=name: ok(name))) for name in (b"a", b"b", b"c"))
    port = free_port()
    run("v2c", gateway(port, [at(a, host="a.test"), at(b, host=".b.test"), at(c, host="a.test", path="/c"), at(c)]))
    with connect(port) as s:
        for _ in range(3):
            assert ask(s, "a.test").body == b"a"
            assert ask(s, "www.B.test:80").body == b"b"
            assert ask(s, "a.test", "/c/d").body == b"c"
            assert ask(s, "else.test").body == b"c"
    assert (a.accepted, b.accepted, c.accepted) == (1, 1, 1)


def test_requests_at_once_are_answered_in_order(run, servers):
    slow = servers(kept(lambda *_: threading.Event().wait(0.2) or ok(b"slow")))
    fast = servers(kept(lambda *_: ok(b"fast")))
    port = free_port()
    run("v2c", gateway(port, [at(slow, host="slow.test"), at(fast, host="fast.test")]))
    with connect(port) as s:
        s.sendall(request("slow.test") + request("fast.test") + request("slow.test") + request("none.test"))
        seen = b""
        while seen.count(b"HTTP/1.1") < 4:
            seen += s.recv(65536)
    assert re.findall(rb"\r\n\r\n(slow|fast)|HTTP/1.1 (404)", seen) == [(b"slow", b""), (b"fast", b""), (b"slow", b""), (b"", b"404")]


def test_a_server_hears_who_asks(run, servers):
    mirror = servers(kept(lambda head, *_: ok(head)))
    port, trusting = free_ports(2)
    run("v2c", gateway(port, [at(mirror)], trustedProxies=[]), "plain")
    run("v2c", gateway(trusting, [at(mirror)]), "trusting")
    lies = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Request-Id: mine\r\nX-Forwarded_For: 1\r\n"
    with connect(port) as s:
        heard = ask(s, "a.test:8080", extra=lies).text
    assert "\r\nHost: a.test:8080\r\n" in heard and "X-Forwarded-For: 127.0.0.1\r\n" in heard
    assert "192.0.2.1" not in heard and "https" not in heard and "X-Request-Id: mine" not in heard
    with connect(trusting) as s:
        heard = ask(s, "a.test", extra=lies).text
    assert "X-Forwarded-For: 192.0.2.1, 127.0.0.1\r\n" in heard
    assert "X-Forwarded-Proto: https\r\n" in heard and "X-Request-Id: mine\r\n" in heard


# --------------------------------------------------------------------------------------- real programs


def test_curl_and_nginx(run, origins, tmp_path):
    port = free_port()
    run("v2c", gateway(port, [at(origins.web)]))
    url = f"http://{HOST}:{port}"
    reused = curl("-o", "/dev/null", "-o", "/dev/null", "-w", "%{num_connects}", f"{url}/small.txt", f"{url}/1.bin")
    assert reused == b"10"
    assert hashlib.sha256(curl(f"{url}/big.bin")).hexdigest() == origins.big_sha256
    assert curl("-r", "5-9", f"{url}/big.bin") == known_bytes(10)[5:]
    assert b"Content-Length: 6\r\n" in curl("-I", f"{url}/small.txt")
    assert curl("-0", f"{url}/small.txt") == b"small\n"
    stamp = tmp_path / "stamp"
    stamp.write_bytes(b"")
    assert curl("-z", str(stamp), "-o", "/dev/null", "-w", "%{http_code}", f"{url}/small.txt") == b"304"


def test_uploads(run, servers, tmp_path):
    """With a length and with curl's 100-continue; in chunks, by a server that reads them."""
    digest = servers(kept(lambda head, body, _: ok(hashlib.sha256(body).hexdigest().encode())))
    seen = []

    def chunked(server, s):
        head_of(s)
        s.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        data = b""
        while not data.endswith(b"\r\n0\r\n\r\n"):
            data += s.recv(1 << 18)
        seen.append(len(data))
        s.sendall(ok(b"done"))

    chunks = servers(Server(chunked))
    port = free_port()
    run("v2c", gateway(port, [at(digest, host="a.test"), at(chunks, host="c.test")]))
    body = tmp_path / "body"
    body.write_bytes(known_bytes(5_000_000))
    url = f"http://{HOST}:{port}/"
    expected = hashlib.sha256(known_bytes(5_000_000)).hexdigest().encode()
    assert curl("-H", "Host: a.test", "-H", "Expect:", "-T", str(body), url) == expected
    assert curl("-H", "Host: c.test", "-H", "Transfer-Encoding: chunked", "-T", str(body), url) == b"done"
    assert seen[0] > 5_000_000


def test_wrk_keeps_all_connections(run, origins):
    port = free_port()
    program = run("v2c", gateway(port, [at(origins.web)]))
    done = subprocess.run(
        ["wrk", "-t1", "-c32", "-d1", f"http://{HOST}:{port}/small.txt"], capture_output=True, text=True, check=True
    )
    assert "Socket errors" not in done.stdout and "Non-2xx" not in done.stdout
    assert program.open_files() < 150


# ----------------------------------------------------------------------------------- how answers end


def test_answers_until_the_end_of_the_connection(run, servers):
    def old(server, s):
        path = head_of(s).split(b" ")[1]
        s.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + known_bytes(300_000))
        if path == b"/cut":
            reset(s)

    port = free_port()
    run("v2c", gateway(port, [at(servers(Server(old)))]))
    with connect(port) as s:
        s.sendall(request("a.test"))
        answer = read_to_end(s)
    assert answer.how == "fin" and answer.data.endswith(b"\r\n\r\n" + known_bytes(300_000))
    assert b"\r\nConnection: close\r\n" in answer.data
    with connect(port) as s:
        s.sendall(request("a.test", "/cut"))
        assert read_to_end(s).how == "rst"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
    ],
    ids=["length", "chunks"],
)
def test_an_answer_that_is_cut_is_a_reset(run, servers, answer):
    def serve(server, s):
        head_of(s)
        s.sendall(answer)

    port = free_port()
    run("v2c", gateway(port, [at(servers(Server(serve)))]))
    with connect(port) as s:
        s.sendall(request("a.test"))
        end = read_to_end(s)
    assert end.how == "rst"


def test_a_server_that_closes_idle_connections_costs_nothing(run, servers):
    """It keeps each for two requests and then ends it without a word: also while the next one is on its way."""
    moody = servers(kept(lambda head, body, n: ok(b"ok") if n <= 2 else None))
    port = free_port()
    run("v2c", gateway(port, [at(moody)]))
    with connect(port) as s:
        for i in range(40):
            method, body = ("POST", b"x") if i % 4 == 3 else ("GET", b"")
            assert ask(s, "a.test", method=method, body=body) == (200, b"ok")
    assert moody.accepted < 40


def test_who_leaves_takes_his_request_along(run, servers):
    gone = threading.Event()

    def endless(server, s):
        head_of(s)
        s.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                s.sendall(known_bytes(65536))
        except OSError:
            gone.set()

    port = free_port()
    run("v2c", gateway(port, [at(servers(Server(endless)))]))
    with connect(port) as s:
        s.sendall(request("a.test"))
        read_exactly(s, 1 << 20)
    assert gone.wait(5)


def test_heads_that_are_larger_than_a_buffer(run, servers):
    lines = "".join(f"X-{i}: {'x' * 1000}\r\n" for i in range(30))
    head = f"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{lines}\r\n"
    server = servers(kept(lambda *_: head.encode() + b"ok"))
    port = free_port()
    door = {"listen": HOST, "port": port, "protocol": "ingress", "settings": {"routes": [at(server)]}}
    policy = {"levels": {"0": {"bufferSize": 16}}}
    run("v2c", {"log": LOG, "inbounds": [door], "outbounds": [{"protocol": "freedom"}], "policy": policy})
    with connect(port) as s:
        for _ in range(3):
            assert ask(s, "a.test", extra=lines).status == 200


# ------------------------------------------------------------------------------------- our own answers


def test_pages(run, servers):
    silent = servers(Server(lambda server, s: server.stopping.wait(20)))
    confused = servers(kept(lambda *_: b"220 smtp.test ESMTP\r\n"))
    port, nobody = free_ports(2)
    routes = [at(silent, host="silent.test"), at(confused, host="mail.test"), at(nobody, host="down.test")]
    run("v2c", gateway(port, routes, answerTimeout=1))

    def status(text, last):
        with connect(port) as s:
            s.sendall(text)
            head = head_of(s)
            assert re.search(rb"\r\nX-Request-Id: [0-9a-f]{16}\r\n", head)
            assert (b"\r\nConnection: close\r\n" in head) == last
            assert not last or read_to_end(s).how == "fin"
        return int(head.split(b" ")[1])

    assert status(request("none.test"), False) == 404
    assert status(request("silent.test"), False) == 504
    assert status(request("mail.test"), False) == 502
    assert status(request("down.test"), False) == 502
    assert status(b"GET / HTTP/1.1\r\n\r\n", True) == 400
    assert status(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", True) == 400
    assert status(b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n", True) == 405
    assert status(b"GET / HTTP/1.1\r\nHost: a.test\r\nX: " + 9000 * b"x" + b"\r\n\r\n", True) == 431
    assert status(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", True) == 505


# -------------------------------------------------------------------------------------- other protocols


def test_websocket_bytes_pass_both_ways(run, servers):
    key = base64.b64encode(os.urandom(16)).decode()

    def serve(server, s):
        head = head_of(s)
        assert f"Sec-WebSocket-Key: {key}".encode() in head
        s.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello")
        while data := s.recv(65536):
            s.sendall(data)
        s.sendall(b"bye")

    port = free_port()
    run("v2c", gateway(port, [at(servers(Server(serve)))]))
    extra = f"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: {key}\r\n"
    with connect(port) as s:
        s.sendall(request("a.test", "/chat", extra=extra))
        assert head_of(s).startswith(b"HTTP/1.1 101 ")
        assert read_exactly(s, 5) == b"hello"
        bytes_sent = known_bytes(3_000_000)
        results = in_parallel([lambda: s.sendall(bytes_sent), lambda: read_exactly(s, len(bytes_sent))])
        assert results[1] == bytes_sent
        s.shutdown(1)
        assert read_to_end(s) == (b"bye", "fin")


# --------------------------------------------------------------------------------- with tunnels behind it


def portal_side(port, link):
    config = gateway(port, [{"host": "a.test", "outboundTag": "portal"}])
    config["reverse"] = {"portals": [{"tag": "portal", "domain": DOMAIN}]}
    config["inbounds"].append(vmess_in("interconn", link, [(USER, BRIDGE_EMAIL)]))
    config["routing"]["rules"].append(rule("interconn", "portal"))
    return config


def bridge_side(link, routes):
    config = bridge_config(link, USER)
    config["outbounds"].append({"tag": "web", "protocol": "web", "settings": {"routes": routes, "forwarded": "pass"}})
    config["routing"]["rules"][-1]["outboundTag"] = "web"
    return config


def ended(program, seconds=5):
    """Asked to, it ends as soon as nobody is there any more."""
    program.process.send_signal(signal.SIGTERM)
    assert program.process.wait(seconds * SLOWER) == 0
    program.check_health()
    program.process = None  # it has ended as it should


def until_good(port):
    def good():
        with connect(port) as s:
            return ask(s, "a.test").status == 200

    wait_for(good, 10, "a bridge")


@pytest.mark.workers
def test_behind_a_bridge_and_through_restarts(run, servers):
    """Bridges come and go under a client that keeps its connection: it sees answers only, and idle streams keep nobody
    from ending."""
    mirror = servers(kept(lambda head, body, n: ok(head)))
    port, link = free_ports(2)
    run("v2c", portal_side(port, link), "portal")
    first = run("v2c", bridge_side(link, [at(mirror)]), "first")
    until_good(port)
    statuses, stop = [], threading.Event()

    def client():
        with connect(port) as s:
            while not stop.is_set():
                answer = ask(s, "a.test")
                statuses.append(answer.status)
                assert answer.text.count("127.0.0.1") == 2  # X-Forwarded-For and Forwarded, of the portal

    def restarts():
        second = run("v2c", bridge_side(link, [at(mirror)]), "second")
        second.wait_log("connected to its portal")
        ended(first)
        third = run("v2c", bridge_side(link, [at(mirror)]), "third")
        third.wait_log("connected to its portal")
        second.kill()
        before = len(statuses)
        wait_for(lambda: len(statuses) > before + 100, 10, "requests after the kill")
        stop.set()

    in_parallel([client, restarts], 40)
    assert set(statuses) == {200}


def test_a_drained_gateway_answers_who_is_there(run, servers):
    asked = threading.Event()
    slow = servers(kept(lambda *_: asked.set() or threading.Event().wait(0.5) or ok(b"late")))
    port = free_port()
    program = run("v2c", gateway(port, [at(slow)]))
    with connect(port) as busy, connect(port) as idle:
        assert ask(idle, "a.test").body == b"late"
        asked.clear()
        busy.sendall(request("a.test"))
        assert asked.wait(5)
        program.process.send_signal(signal.SIGTERM)
        answer = read_to_end(busy)
        assert answer.how == "fin" and answer.data.endswith(b"late")
        assert b"\r\nConnection: close\r\n" in answer.data
        assert read_to_end(idle).how == "fin"
    ended(program)


def test_a_reload_changes_the_way_of_the_next_request(run, servers):
    a, b = (servers(kept(lambda *_, name=name: ok(name))) for name in (b"a", b"b"))
    port = free_port()
    program = run("v2c", gateway(port, [at(a)]))
    with connect(port) as s:
        assert ask(s, "a.test").body == b"a"
        program.path.write_text(program.path.read_text().replace(f":{a.port}", f":{b.port}"))
        program.process.send_signal(signal.SIGHUP)
        # Whoever has come is answered once more; then he comes again, and it is by the new configuration.
        wait_for(lambda: new_answer(port) == b"b", 5, "the new way")


def new_answer(port):
    with connect(port) as s:
        return ask(s, "a.test").body
