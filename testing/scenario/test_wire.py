"""What strangers and origins send, and what a running gateway makes of it: see testing/wire/make.py."""
import pytest

import wire
from origins import Server
from rig import HOST, connect, free_port, read_to_end, wait_for

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


@pytest.mark.parametrize("kind", wire.KINDS)
def test_requests(run, careless, kind):
    port = free_port()
    run("v2c", wire.gateway(port, careless.port, kind), "gateway")
    wrong = []
    for case in wire.cases("requests"):
        if kind == "ingress" and case.data[:1] == b"\x16":
            continue  # it is taken for TLS: see below
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


# --- hellos


@pytest.fixture
def listener():
    """An origin that hears everything and says nothing."""
    heard = []

    def serve(_, s):
        data = b""
        while piece := s.recv(65536):
            data += piece
        heard.append(data)

    running = Server(serve)
    running.heard = heard
    yield running
    running.close()


ALERT = bytes([21, 3, 3, 0, 2, 2, 112])  # unrecognized_name


def test_hellos(run, listener):
    """With a name it passes as it is; without one, or when it is none, nothing reaches an origin."""
    port = free_port()
    config = wire.gateway(port, 0, "ingress", [{"outboundTag": "raw"}])
    redirect = {"redirect": f"{HOST}:{listener.port}"}
    config["outbounds"].append({"tag": "raw", "protocol": "freedom", "settings": redirect})
    run("v2c", config, "gateway")
    wrong = []
    for case in wire.cases("hellos"):
        before = listener.accepted
        with connect(port) as s:
            wire.send(s, case.data)
            got = read_to_end(s)
        if case.words[0].startswith("name:"):
            wait_for(lambda: len(listener.heard) == listener.accepted > before, 5, f"{case} to arrive")
            good = listener.heard[-1] == case.data and not got.data
        else:
            plain = case.data[:1] not in (b"", b"\x16") and got.data.startswith(b"HTTP/1.1 400 ")
            good = listener.accepted == before and (got.data in (b"", ALERT) or plain)
        if not good or got.how == "open":
            wrong.append((case, got))
    assert not wrong
