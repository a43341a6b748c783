"""What strangers and origins send, and what a running gateway makes of it: see testing/wire/make.py."""
import pytest

import wire
from origins import Server
from rig import free_port

pytestmark = [pytest.mark.v2c, pytest.mark.quick]


def until_head(s):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = s.recv(65536)
        if not piece:
            return b""
        data += piece
    return data


# --- requests


@pytest.fixture(scope="module")
def careless():
    """An origin that answers every connection once, and listens to nothing more."""

    def serve(_, s):
        until_head(s)
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    running = Server(serve)
    yield running
    running.close()


def becomes(case, answers):
    """True: of each message became what is expected."""
    wanted, got = list(case.words), list(answers)
    if case.body_fails():  # the origin may have answered to its head before that was known
        return len(got) <= 1 and all(not a.own or a.code in (400, 408) for a in got)
    while wanted:
        word = wanted.pop(0)
        if word == "more":  # nothing, or a word about it
            return all(a.own and a.code in (400, 408) for a in got) and len(got) <= 1
        if word == "end":
            return not got
        if word.isdigit():
            return len(got) == 1 and got[0].own and got[0].code == int(word)
        if not got or got.pop(0).own:
            return False
    return not got


def test_requests(run, careless):
    port = free_port()
    run("v2c", wire.gateway(port, careless.port), "gateway")
    wrong = []
    for case in wire.cases("requests"):
        answers, _ = wire.ask(port, case.data, case.methods())
        if not becomes(case, answers):
            wrong.append((case, [(a.code, a.own) for a in answers]))
    assert not wrong


# --- answers


@pytest.fixture
def liar():
    """An origin that answers with the file of the corpus that is asked for, and ends."""
    files = {case.name.encode(): case.data for case in wire.cases("answers")}

    def serve(_, s):
        head = until_head(s)
        if head:
            s.sendall(files[head.split(b" ")[1][1:]])

    running = Server(serve)
    yield running
    running.close()


def comes_back(words, answers, how):
    first = [a for a in answers if a.code >= 200]
    word = next(w for w in words if not w.startswith("1"))  # interim answers pass
    if word in ("502", "more"):
        return len(first) == 1 and first[0].own and first[0].code == 502
    code, _, size = word.partition("/")
    if not size:  # cut off, perhaps before the visitor has read anything
        return how == "rst" and not any(a.own or a.whole for a in first)
    if len(first) != 1 or first[0].own or first[0].code != int(code):
        return False
    return first[0].whole


def test_answers(run, liar):
    port = free_port()
    run("v2c", wire.gateway(port, liar.port), "gateway")
    wrong = []
    for case in wire.cases("answers"):
        request = b"GET /%s HTTP/1.1\r\nHost: a.example\r\n\r\n" % case.name.encode()
        answers, how = wire.ask(port, request)
        if not comes_back(case.words, answers, how):
            wrong.append((case, [(a.code, a.own, a.whole) for a in answers], how))
    assert not wrong
