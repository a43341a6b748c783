"""Strangers' bytes on the listening ports: nothing is learnt, nothing grows, nobody else suffers."""
import contextlib
import os
import random
import select
import socket
import time

import pytest

import peer
from configs import LOG, add_status, dokodemo, rule, vmess_in
from rig import (
    HOST, KINDS, SANITIZED, SLOWER, connect, counters, free_ports, in_parallel, read_to_end, reset,
    wait_for,
)

USER = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
STRANGER = "ffffffff-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
HANDSHAKE = 2  # seconds that a stranger may take
MEGABYTE = 1 << 20
# What peers swallow before they close: a constant of the server up to 3319, and 64 at most that vary.
MOST_SWALLOWED = 16 + 38 + 3266 + 64
VARIES = 64


class Server:
    """A vmess inbound and a dokodemo one, both to the odd origin."""

    def __init__(self, run, kind, origins):
        self.kind, self.origins = kind, origins
        self.vmess, self.door, self.status = free_ports(3)
        config = {
            "log": LOG,
            "policy": {"levels": {"0": {"handshake": HANDSHAKE}}},
            "inbounds": [
                vmess_in("in", self.vmess, [(USER, "user@test")]),
                dokodemo("door", self.door, origins.odd),
            ],
            "outbounds": [{"tag": "out", "protocol": "freedom"}],
            "routing": {"rules": [rule(["in", "door"], "out")]},
        }
        if kind == "v2c":
            add_status(config, self.status)
        self.program = run(kind, config, "server")

    def request(self, **more):
        fields = {"command": peer.TCP, "host": HOST, "port": self.origins.odd}
        return peer.Request(**{**fields, **more})

    def good_visit(self):
        with peer.Client(self.vmess, USER, self.request()).start(b"echo\nhello") as c:
            return c.read(5) == b"hello"

    def count(self, name):
        return counters(self.status)[name]


@pytest.fixture(params=KINDS)
def server(run, origins, request):
    return Server(run, request.param, origins)


@pytest.fixture
def new_server(run, origins):
    return Server(run, "v2c", origins)


def seconds_to_close(port, data, timeout):
    """Says `data`, then nothing."""
    with connect(port) as s:
        since = time.monotonic()
        s.sendall(data)
        end = read_to_end(s, timeout)
        return time.monotonic() - since, end


def swallowed(port, data):
    """How many bytes, sent in small steps behind `data`, it takes until the server closes."""
    step = 16
    with connect(port) as s:
        s.sendall(data)
        sent = len(data)
        watch = select.poll()
        watch.register(s, select.POLLIN | select.POLLHUP | select.POLLERR)
        while not watch.poll(4 * SLOWER):
            try:
                s.sendall(os.urandom(step))
            except OSError:
                break
            sent += step
            assert sent < 20_000, "swallows without an end"
        return sent


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def near_misses(server):
    """Handshakes that are wrong in one place, by name; the first ones fail before they are opened."""
    good = server.request().sealed(USER)
    key = peer.command_key(USER)
    return {
        "random bytes": os.urandom(len(good)),
        "unknown user": server.request().sealed(STRANGER),
        "auth id only, then noise": peer.auth_id(key) + os.urandom(80),
        "clock 130 s behind": server.request().sealed(USER, time.time() - 130),
        "clock 130 s ahead": server.request().sealed(USER, time.time() + 130),
        "length flipped": flipped(good, 20),
        "header flipped": flipped(server.request().sealed(USER), 50),
    }


def wrong_headers(server):
    """Handshakes that open, with something inside that no server can serve."""
    nothing = server.request
    return {
        "wrong checksum": nothing(sum_error=1).sealed(USER),
        "command 0": nothing(command=0).sealed(USER),
        "command 9": nothing(command=9).sealed(USER),
        "security 6": nothing(security=6).sealed(USER),
        "security 9": nothing(security=9).sealed(USER),
        "padding without mask": nothing(option=0x09).sealed(USER),
        "empty name": nothing(host=b"").sealed(USER),
        "name of bad bytes": nothing(host=b"a b\n").sealed(USER),
    }


@pytest.mark.quick
def test_silence_is_ended_by_the_deadline(server):
    cases = near_misses(server)
    cases["nothing"] = b""
    cases["half an auth id"] = os.urandom(9)
    cases["half a good handshake"] = server.request().sealed(USER)[:60]
    results = in_parallel(
        [lambda d=d: seconds_to_close(server.vmess, d, HANDSHAKE + 4) for d in cases.values()]
    )
    for name, (seconds, end) in zip(cases, results):
        assert end.data == b"", f"{name}: something was answered"
        assert end.how != "open", f"{name}: still open"
        assert HANDSHAKE - 0.5 < seconds < HANDSHAKE + 1.5 * SLOWER, f"{name}: {seconds:.2f} s"
    assert server.good_visit()


@pytest.mark.quick
@pytest.mark.v2c
def test_wrong_headers_look_like_strangers(new_server):
    server = new_server
    cases = wrong_headers(server)
    results = in_parallel(
        [lambda d=d: seconds_to_close(server.vmess, d, HANDSHAKE + 4) for d in cases.values()]
    )
    for name, (seconds, end) in zip(cases, results):
        assert end == (b"", "fin"), name
        assert seconds > HANDSHAKE - 0.5, f"{name}: told apart after {seconds:.2f} s"
    assert server.good_visit()


@pytest.mark.quick
def test_all_failures_swallow_alike(server):
    cases = near_misses(server)
    used_handshake = server.request().sealed(USER)
    with peer.Client(server.vmess, USER, server.request(), sealed=used_handshake) as c:
        c.start()
        read_to_end(c.s, 0.2)
    cases["replay"] = used_handshake
    counts = in_parallel([lambda d=d: swallowed(server.vmess, d) for d in cases.values()])
    told = dict(zip(cases, counts))
    slack = 160 * SLOWER  # steps that were sent before the close was seen
    assert max(counts) - min(counts) <= VARIES + slack, told
    assert max(counts) <= MOST_SWALLOWED + slack, told
    assert min(counts) > 54, told


@pytest.mark.quick
def test_replay_is_refused(server):
    request = server.request()
    sealed = request.sealed(USER)
    with peer.Client(server.vmess, USER, request, sealed=sealed).start(b"echo\nhello") as c:
        assert c.read(5) == b"hello"
    before = server.origins.odd_server.accepted
    with peer.Client(server.vmess, USER, request, sealed=sealed, timeout=4) as c:
        c.start(b"echo\nhello")
        assert c.all_data() == b""
    assert server.origins.odd_server.accepted == before
    if server.kind == "v2c":
        assert server.count("replays_refused") >= 1


def junk(port, rng):
    """One stranger: some bytes, then gone in one way or another."""
    try:
        s = connect(port)
        s.sendall(rng.randbytes(rng.choice((0, 1, 15, 16, 17, 61, 200, 3000, 20_000))))
        if rng.random() < 0.3:
            s.shutdown(socket.SHUT_WR)
        reset(s) if rng.random() < 0.5 else s.close()
    except OSError:
        pass


@pytest.mark.quick
def test_many_strangers(server):
    """Memory and descriptors return, and good visitors are served meanwhile."""
    assert server.good_visit()
    rng = random.Random(20261120)
    program = server.program
    for port in (server.vmess, server.door):
        for _ in range(100):
            junk(port, rng)
    memory, files = program.rss(), program.open_files()
    for _ in range(6):
        for port in (server.vmess, server.door):
            for _ in range(60):
                junk(port, rng)
        assert server.good_visit()
    # a sanitizer keeps freed memory for a while
    assert program.rss() - memory < (300 if SANITIZED else 32) * MEGABYTE
    wait_for(
        lambda: program.open_files() <= files + 4, HANDSHAKE * 4 * SLOWER, "descriptors to be freed"
    )
    assert program.alive() and server.good_visit()


@pytest.mark.quick
def test_strangers_who_stay(server):
    """Three hundred that say a little and wait: good visitors are served, and the deadline ends them."""
    held = [connect(server.vmess) for _ in range(300)]
    try:
        for s in held:
            with contextlib.suppress(ConnectionError):  # some are turned away at once, by design
                s.sendall(b"GET / HTTP/1.1\r\n")
        assert server.good_visit()
        ends = in_parallel([lambda s=s: read_to_end(s, HANDSHAKE + 8) for s in held])
        assert {e.how for e in ends} <= {"fin", "rst"}
        assert all(e.data == b"" for e in ends)
    finally:
        for s in held:
            s.close()
    assert server.good_visit()


@pytest.mark.quick
@pytest.mark.v2c
def test_broken_body_ends_one_connection(new_server):
    """A good handshake, then a body that is wrong: random, too short a chunk, a flipped tag."""
    server = new_server

    def begun():
        c = peer.Client(server.vmess, USER, server.request()).start(b"echo\nhello")
        assert c.read(5) == b"hello"
        return c

    def flip_tag(c):
        chunk = c.up.seal(b"and more")
        c.s.sendall(flipped(chunk, 4))

    with begun() as good:
        for attack in (
            lambda c: c.s.sendall(os.urandom(70_000)),
            lambda c: c.s.sendall(bytes(c.up.field_size())),
            flip_tag,
        ):
            with begun() as c:
                try:
                    attack(c)
                    c.s.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
                assert read_to_end(c.s, 5).how != "open"
        good.send(b"still here")
        assert good.read(10) == b"still here"
    assert server.good_visit()


@pytest.mark.quick
def test_control_one_header_ends_an_old_server(run, origins):
    """Padding without mask, from a user with a valid id: the whole V2Ray process dies."""
    server = Server(run, "v2ray", origins)
    with peer.Client(server.vmess, USER, server.request(option=0x09)) as c:
        c.start()
        wait_for(lambda: not server.program.alive(), 5, "the server to die")
