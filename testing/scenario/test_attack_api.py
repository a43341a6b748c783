"""Attacks on the api: from a page in a browser, from another user of the machine, from whom it has no time for."""
import signal
import time

import pytest

import admin
import rig
from admin import AUTHORIZATION, JSON, TOKEN, call, get, request, send
from configs import dokodemo, rule
from rig import (
    HOST, connect, free_port, http_get, in_parallel, read_to_end, wait_for,
)

pytestmark = [pytest.mark.quick, pytest.mark.v2c, pytest.mark.workers]
BODY = {"level": "debug"}


@pytest.fixture
def program(run, origins):
    """A v2c with an api of its own socket (`admin`), one by a rule (`routed`), and a visitor's port (`door`)."""
    door, routed = free_port(), free_port()
    config = {
        "log": {"loglevel": "info"},
        "inbounds": [
            dokodemo("door", door, origins.banner), dokodemo("routed", routed, 80),
            {"tag": "users", "listen": HOST, "port": free_port(), "protocol": "vmess",
             "settings": {"clients": []}},
        ],
        "outbounds": [{"tag": "out", "protocol": "freedom"}],
        "routing": {"rules": [rule("routed", "admin")]},
    }
    port = admin.add_admin(config)
    p = run("v2c", config)
    wait_for(lambda: rig.listening(port), 10, "the api to listen")
    p.admin, p.routed, p.door = port, routed, door
    return p


def unchanged(p):
    return get(p.admin, "/v1/log") == {"level": "info"}


def test_nothing_but_the_operator_changes_anything(program):
    p = program
    good = {**AUTHORIZATION, **JSON}
    attacks = {
        "no token": (JSON, "127.0.0.1", 401),
        "a wrong token": ({**JSON, "Authorization": "Bearer " + TOKEN[:-1] + "x"}, "127.0.0.1", 401),
        "half a token": ({**JSON, "Authorization": "Bearer " + TOKEN[:16]}, "127.0.0.1", 401),
        "a foreign name": (good, "evil.test", 421),
        "a name that looks like an address": (good, "127.0.0.1.evil.test", 421),
        "a page": ({**good, "Origin": "http://evil.test"}, "127.0.0.1", 403),
        "a page of this host": ({**good, "Origin": f"http://127.0.0.1:{p.admin}"}, "127.0.0.1", 403),
        "a fetch": ({**good, "Sec-Fetch-Site": "cross-site"}, "127.0.0.1", 403),
        "a form": ({**AUTHORIZATION, "Content-Type": "application/x-www-form-urlencoded"},
                   "127.0.0.1", 415),
        "a form of text": ({**AUTHORIZATION, "Content-Type": "text/plain"}, "127.0.0.1", 415),
        "no type": (AUTHORIZATION, "127.0.0.1", 415),
    }
    for port in (p.admin, p.routed):
        for name, (headers, host, status) in attacks.items():
            answer = send(port, request("POST", "/v1/log", headers, BODY, host))
            assert answer.status == status, name
            assert TOKEN not in answer.text and '"error"' in answer.text
        for path in ("/v1/stats/reset", "/v1/flows/0-1/end", "/v1/inbounds/users/users", "/v1/absent"):
            assert send(port, request("POST", path, JSON, {})).status == 401
        assert send(port, request("DELETE", "/v1/inbounds/users/users/x")).status == 401
    assert unchanged(p)


def test_reading_never_changes(program):
    p = program
    for path in ("/v1/flows/0-1/end", "/v1/stats/reset", "/v1/inbounds/users/users/x"):
        assert send(p.admin, request("GET", path, AUTHORIZATION)).status == 405
    for method in ("PUT", "PATCH", "OPTIONS", "TRACE", "post"):
        assert send(p.admin, request(method, "/v1/log", {**AUTHORIZATION, **JSON}, BODY)).status == 405
    preflight = request("OPTIONS", "/v1/log", {"Origin": "http://evil.test",
                                               "Access-Control-Request-Method": "POST"})
    with connect(p.admin) as s:
        s.sendall(preflight)
        assert b"access-control" not in read_to_end(s, 5).data.lower()
    assert unchanged(p)


def test_what_is_private_needs_the_token(program):
    p = program
    for path in ("/v1/flows", "/v1/inbounds/users/users", "/v1/balancers", "/v1/absent"):
        assert send(p.admin, request("GET", path)).status == 401
    for path in ("/v1/status", "/v1/stats", "/v1/log", "/livez", "/readyz", "/metrics"):
        answer = send(p.admin, request("GET", path))
        assert answer.status == 200 and TOKEN not in answer.text
        assert send(p.admin, request("GET", path, host="rebound.test")).status == 421
    assert http_get(p.routed, "/livez").status == 200  # by any name: a rule publishes it


def test_bad_bodies_are_refused_and_say_where(program):
    p = program
    users = "/v1/inbounds/users/users"
    for body in (b"", b"{", b"[]", b"\xff\xfe", b"null", b"{}", b'{"id": 1}', b"[" * 10_000,
                 b'{"id": "x", "email": "a", "nonsense": {"a": [1]}}'):
        answer = send(p.admin, request("POST", users, {**AUTHORIZATION, **JSON}, body))
        assert answer.status == 422, body
    many = request("POST", users, {**AUTHORIZATION, **JSON}, b" " * 65_537)
    assert send(p.admin, many).status == 413
    chunked = request("POST", users, {**AUTHORIZATION, **JSON, "Transfer-Encoding": "chunked"})
    assert send(p.admin, chunked).status == 411
    assert get(p.admin, users) == {"users": []}


def test_a_megabyte_of_header_and_slow_clients_hold_up_nobody(program):
    p = program
    with connect(p.admin) as s:
        try:
            s.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * (1 << 20))
        except OSError:
            pass
        assert not read_to_end(s, 5).data.startswith(b"HTTP/1.1 2")
    slow = [connect(p.admin) for _ in range(100)]
    for s in slow:
        try:
            s.sendall(b"GET /livez HTTP/1.1\r\n")
        except OSError:
            pass  # it was the quietest already
    assert send(p.admin, request("GET", "/livez")).status == 200
    began = time.monotonic()
    ends = in_parallel([lambda s=s: read_to_end(s, 15).how for s in slow])
    assert "open" not in ends and time.monotonic() - began < 8 * rig.SLOWER
    wait_for(lambda: get(p.admin, "/v1/flows")["total"] == 1, 5, "nobody but who asks")


def test_many_flows_do_not_make_a_long_answer(program):
    p = program
    count = 2_000
    visitors = [connect(p.door) for _ in range(count)]
    wait_for(lambda: get(p.admin, "/v1/flows?inbound=door")["total"] == count, 20, "all visitors")
    answer = send(p.admin, request("GET", "/v1/flows?limit=5000", AUTHORIZATION))
    assert answer.status == 200 and len(answer.body) <= 1 << 20
    first = get(p.admin, "/v1/flows?inbound=door&limit=10")
    rest = get(p.admin, "/v1/flows?inbound=door&limit=10&skip=10")
    assert first["total"] == rest["total"] == count and first["flows"]
    assert not {f["id"] for f in first["flows"]} & {f["id"] for f in rest["flows"]}
    assert call(p.admin, "GET", "/v1/flows?limit=5001")[0] == 422
    for s in visitors:
        s.close()


def test_who_leaves_before_the_answer_harms_nobody(program):
    p = program

    def leave_and_ask():
        for _ in range(30):
            for _ in range(3):
                s = connect(p.admin)
                s.sendall(request("GET", "/v1/status"))
                rig.reset(s)
            get(p.admin, "/v1/status")

    in_parallel([leave_and_ask] * 2)
    p.process.send_signal(signal.SIGHUP)
    in_parallel([leave_and_ask] * 2)
    p.wait_log("reload: done")
    assert unchanged(p)
