"""What the gateway lets pass reaches a real nginx as the same requests: as many, to the same hosts, with the same bodies.

nginx says in its log what it took for a request. The gateway keeps its connections to nginx, so one byte that belonged to
two requests, or to none, would be seen in the next one.
"""
import json
import select

import pytest

import wire
from origins import Server
from rig import HOST, SLOWER, Nginx, connect, free_port, http_get, read_answer, wait_for

pytestmark = [pytest.mark.v2c, pytest.mark.quick]

MARK = "/this-was-case-"


@pytest.fixture(scope="module")
def nginx(tmp_path_factory):
    """Reads bodies, for it passes them on to itself, and logs each request."""
    directory = tmp_path_factory.mktemp("nginx")
    inner = free_port()
    line = ('{"status":$status,"method":"$request_method","path":"$request_uri","host":"$http_host",'
            '"body":"$request_body","request":"$request"}')
    more = f"""
        large_client_header_buffers 8 40k; client_max_body_size 0; client_body_in_single_buffer on;
        access_log {directory}/seen.log seen; client_header_timeout 5; client_body_timeout 5;
        location / {{ proxy_pass http://{HOST}:{inner}; proxy_set_header Host inner; proxy_method GET; }}
    }}
    server {{ listen {HOST}:{inner}; location / {{ return 200; }}"""
    running = Nginx(directory, directory, more, http=f"log_format seen escape=json '{line}';")
    running.seen = directory / "seen.log"
    yield running
    running.stop()


def entries(log, before=0):
    """What nginx logged, from one line on."""
    return [json.loads(line) for line in log.read_text(encoding="latin-1").splitlines()[before:]]


def seen(log, before):
    """The same by case."""
    found, current = {}, []
    for entry in entries(log, before):
        if entry["path"].startswith(MARK):
            found[int(entry["path"][len(MARK) :])] = current
            current = []
        else:
            current.append(entry)
    return found


def expected(case):
    """The requests of which nginx must see all, and their hosts in normal form."""
    hosts = [word for word in case.words if not word.isdigit() and word not in ("more", "end")]
    if case.body_fails():
        hosts.pop()
    requests, rest = [], case.data
    for host in hosts:
        request, rest = wire.first_request(rest)
        requests.append((*request, host))
    return requests


def same(entry, request):
    """nginx may refuse a request that the gateway lets pass: then it says less about it."""
    method, path, host, body, normal = request
    if entry["status"] == 400:
        return not entry["host"] or entry["host"].encode("latin-1") == host
    told = (entry["method"], entry["path"], entry["body"])
    return told == (method.decode(), path.decode("latin-1"), body.decode("latin-1")) and (
        normal == "-" or (entry["host"].encode() == host and wire.same_host(entry["host"], normal))
    )


def start(run, nginx, kind):
    port = free_port()
    if kind != "tunnel":
        run("v2c", wire.gateway(port, nginx.port, kind), "gateway")
        return port
    portal, bridge = wire.tunnel(port, nginx.port)
    run("v2c", portal, "portal")
    run("v2c", bridge, "bridge")
    wait_for(lambda: http_get(port, "/early").status == 200, 10 * SLOWER, "the tunnel to be up")
    return port


@pytest.mark.parametrize("kind", [*wire.KINDS, "tunnel"])
def test_requests_arrive_as_they_were_understood(run, nginx, kind):
    port = start(run, nginx, kind)
    all_cases, before = wire.cases("requests"), len(entries(nginx.seen))
    for index, case in enumerate(all_cases):
        if kind == "web" or case.data[:1] != b"\x16":  # TLS is no request to an ingress
            wire.ask(port, case.data, case.methods())
        http_get(port, f"{MARK}{index}")
    wait_for(lambda: len(seen(nginx.seen, before)) == len(all_cases), 5, "nginx to log all cases")
    log, wrong = seen(nginx.seen, before), []
    for index, case in enumerate(all_cases):
        requests, logged = expected(case), log[index]
        if kind == "tunnel" and case.name in ("head-100-fields", "head-32k"):
            requests = []  # with what the first gateway adds it is too much for the second
        if case.body_fails() or all_cases[index - 1].body_fails():
            # It may have seen the head of one that was then cut off, and say so late.
            logged = [e for e in logged if e["status"] not in (400, 408, 499)]
        if len(logged) != len(requests) or not all(map(same, logged, requests)):
            wrong.append((case, requests, logged))
    assert not wrong


# --- the other way round: what an origin says beyond its answer

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
TOO_MUCH = {
    "a second answer": GOOD + POISON,
    "a second answer behind chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + POISON,
    "a body of 204": b"HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\npoison",
    "an answer behind 204": b"HTTP/1.1 204 No Content\r\n\r\n" + POISON,
    "a body of 304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\npoison",
    "a long body": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokpoison",
    "an interim answer behind the last": GOOD + b"HTTP/1.1 100 Continue\r\n\r\n",
    "a body of HEAD": GOOD,
    "another protocol, unasked": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n" + POISON,
    "no length but more": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + POISON,
}


def heads_of(s):
    """Whatever stands between two empty lines, as one who does not look for bodies reads it."""
    data = b""
    while piece := s.recv(65536):
        data += piece
        *whole, data = data.split(b"\r\n\r\n")
        yield from whole


@pytest.fixture
def talkative():
    """An origin that stays, and answers to "/N" what TOO_MUCH says, and to all else that it is good."""
    heads = []

    def serve(_, s):
        for head in heads_of(s):
            heads.append(head)
            path = head.split(b" ")[1]
            s.sendall(GOOD if path == b"/good" else list(TOO_MUCH.values())[int(path[1:])])

    running = Server(serve)
    running.heads = heads
    yield running
    running.close()


@pytest.mark.parametrize("reuse", ["source", "all"])
def test_what_an_origin_says_too_much_reaches_nobody(run, talkative, reuse):
    port = free_port()
    run("v2c", wire.gateway(port, talkative.port, reuse=reuse), "gateway")
    for index, kind in enumerate(TOO_MUCH):
        method = b"HEAD" if "HEAD" in kind else b"GET"
        request = b"%s /%d HTTP/1.1\r\nHost: a.example\r\n\r\n" % (method, index)
        answers, _ = wire.ask(port, request + b"GET /good HTTP/1.1\r\nHost: a.example\r\n\r\n", [method])
        assert answers[-1].body == b"ok" and len(answers) == 2, kind
        assert not any(b"poison" in a.body for a in answers), kind
        assert http_get(port, "/good").body == b"ok", kind


def test_what_carries_requests_again_is_not_changed_to(run, talkative):
    port = free_port()
    run("v2c", wire.gateway(port, talkative.port), "gateway")
    for protocol in (b"h2c", b"websocket, h2c", b"HTTP/2.0", b"TLS/1.2"):
        lines = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %s\r\nHTTP2-Settings: AAMAAABk\r\n" % protocol
        answers, _ = wire.ask(port, b"GET /good HTTP/1.1\r\nHost: a.example\r\n%s\r\n" % lines)
        assert [a.body for a in answers] == [b"ok"]
        seen_head = talkative.heads[-1].lower()
        assert b"upgrade" not in seen_head and b"http2-settings" not in seen_head


# --- bodies that nobody reads

INNER = b"GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n"
BODIES = {
    "counted": b"Content-Length: %d\r\n\r\n%s" % (len(INNER), INNER),
    "chunked": b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(INNER), INNER),
    "expected": b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n%s" % (len(INNER), INNER),
}


def paths_since(log, before):
    """What nginx was asked for, once it was asked for /mark."""
    paths = [entry["path"] for entry in entries(log, before)]
    return paths if "/mark" in paths else None


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("host", [b"nobody.example", b"gone.example", b"0x7f.1", b"a.example"])
def test_a_body_is_no_request_whoever_answers(run, nginx, host, body):
    """Where there is no route, no server, or no such host, and where nginx does not want the body."""
    port = free_port()
    routes = [
        {"host": "a.example", "address": f"{HOST}:{nginx.port}"},
        {"host": "gone.example", "address": f"{HOST}:{free_port()}"},
    ]
    run("v2c", wire.gateway(port, nginx.port, "ingress", routes), "gateway")
    before = len(entries(nginx.seen))
    request = b"POST /outer HTTP/1.1\r\nHost: %s\r\n%s" % (host, BODIES[body])
    answers, _ = wire.ask(port, request + b"GET /last HTTP/1.1\r\nHost: a.example\r\n\r\n")
    final = [a for a in answers if a.code >= 200]
    assert 1 <= len(final) <= 2  # whoever answers at once may end the connection
    wire.ask(port, b"GET /mark HTTP/1.1\r\nHost: a.example\r\n\r\n")
    paths = wait_for(lambda: paths_since(nginx.seen, before), 5, "nginx to log the last request")
    assert "/smuggled" not in paths
    assert paths.count("/outer") == (host == b"a.example")


@pytest.fixture
def deaf():
    """An origin that takes a body for the next request, and answers that one late."""

    def serve(_, s):
        for head in heads_of(s):
            smuggled = b"/smuggled" in head
            if smuggled:
                select.select([s], [], [], 0.5)  # until somebody asks behind it
            s.sendall(POISON if smuggled else GOOD)

    running = Server(serve)
    yield running
    running.close()


@pytest.mark.parametrize("method", [b"GET", b"DELETE", b"OPTIONS"])
def test_a_body_that_nobody_expects_answers_no_other_visitor(run, deaf, method):
    port = free_port()
    run("v2c", wire.gateway(port, deaf.port, reuse="all"), "gateway")
    request = method + b" / HTTP/1.1\r\nHost: a.example\r\n" + BODIES["counted"]
    with connect(port) as attacker:
        attacker.sendall(request)
        assert read_answer(attacker).status == 200
        assert http_get(port, "/good").body == b"ok"
