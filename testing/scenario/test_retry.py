"""A visitor whose bridge dies, hangs or is full before it answered is given to another; no other is."""
import hashlib
import os
import pathlib
import signal
import threading
import time

import pytest

import admin
import link
import peer
from configs import DOMAIN, Tunnel, add_status, bridge_config, dokodemo, rule
from origins import known_bytes
from rig import (
    SLOWER, Program, connect, counters, free_port, http_get, http_request, in_parallel, read_exactly,
    read_to_end, reset, visit_whole, wait_for,
)

pytestmark = pytest.mark.v2c
SECONDS = 3 * SLOWER  # that a visitor may wait while another bridge is alive
BOTH_NEW = ("v2c", "v2c")


def carriers(tunnel):
    return counters(tunnel.portal_status)["portal>>>portal>>>carriers"]


def known_links(port):
    """Those whose peer has said that it is v2c: others have no second try."""
    return sum(each["v2c"] for each in admin.get(port, "/v1/status")["carriers"])


def retried(tunnel):
    return counters(tunnel.portal_status)["streams_retried"]


@pytest.fixture(params=[1, 4], ids=["one worker", "four workers"])
def two_bridges(origins, tmp_path, request):
    """A tunnel with two bridges, of which tests may stop the second."""
    t = Tunnel(tmp_path, origins, *BOTH_NEW)
    t.portal_config["workers"] = request.param
    portal_admin = admin.add_admin(t.portal_config)
    config = bridge_config(t.link, t.user_id)
    status = free_port()
    add_status(config, status)
    t.second = Program("v2c", config, tmp_path, "second")
    try:
        t.start()
        t.second.start()
        wait_for(lambda: known_links(portal_admin) >= 4, 10, "all links")
        yield t
        if t.second.alive():
            thaw(t.second)
        for program in (t.second, t.bridge, t.portal):
            program.stop()
    finally:
        if t.second.alive():
            t.second.kill()
        t.end_now()


def freeze(program):
    """One thread after the other stops, some only when it is scheduled."""
    os.kill(program.process.pid, signal.SIGSTOP)
    tasks = pathlib.Path(f"/proc/{program.process.pid}/task")

    def stopped():
        states = [(t / "stat").read_text().rpartition(")")[2].split()[0] for t in tasks.iterdir()]
        return set(states) == {"T"}

    wait_for(stopped, 5, f"{program.name} to stop")


def thaw(program):
    os.kill(program.process.pid, signal.SIGCONT)


def timed(job):
    since = time.monotonic()
    answer = job()
    return answer, time.monotonic() - since


def whole_answer(t):
    """All that comes until the end: nothing may come twice."""
    with connect(t.web, 20) as s:
        s.sendall(http_request("/small.txt"))
        return read_to_end(s, 20)


@pytest.mark.quick
def test_frozen_bridge_costs_no_visitor(two_bridges):
    t = two_bridges
    freeze(t.second)
    since = time.monotonic()
    visitors = [connect(t.web, 20) for _ in range(40)]  # all at once, so that all links have some

    def ask(s):
        with s:
            s.sendall(http_request("/small.txt"))
            return read_to_end(s, 20), time.monotonic() - since

    for answer, seconds in in_parallel([lambda s=s: ask(s) for s in visitors]):
        assert answer.how == "fin" and answer.data.endswith(b"\r\n\r\nsmall\n")
        assert answer.data.count(b"HTTP/1.1") == 1
        assert seconds <= SECONDS
    assert 10 <= retried(t) <= 40
    thaw(t.second)
    for answer in in_parallel([lambda: whole_answer(t)] * 40):
        assert answer.how == "fin" and answer.data.count(b"small\n") == 1
    assert counters(t.portal_status)["no_carrier"] == 0


@pytest.mark.quick
def test_uploads_of_a_frozen_bridge_are_whole_elsewhere(two_bridges):
    """Only the first 16 KiB may be on their way before the answer; the rest follows once."""
    t = two_bridges
    data = known_bytes(300_000)
    freeze(t.second)

    visitors = [t.ask(f"sink {len(data)}", 20) for _ in range(12)]

    def upload(s):
        with s:
            s.sendall(data)
            return read_to_end(s, 20).data

    digest = hashlib.sha256(data).hexdigest().encode()
    assert in_parallel([lambda s=s: upload(s) for s in visitors]) == [digest] * 12
    assert retried(t) >= 3
    thaw(t.second)


@pytest.mark.quick
def test_thawed_bridge_is_used_again(two_bridges):
    t = two_bridges
    freeze(t.second)
    in_parallel([lambda: http_get(t.web, "/small.txt")] * 8)
    thaw(t.second)
    before = retried(t)

    def used():
        held = in_parallel([lambda: t.ask("echo") for _ in range(8)])
        for s in held:
            s.sendall(b"x")
            assert read_exactly(s, 1) == b"x"
        for s in held:
            s.close()
        return t.second.log().count("end=eof") >= 4

    wait_for(used, 10, "streams on the bridge that was frozen")
    assert retried(t) == before


@pytest.mark.quick
def test_killed_bridge_costs_no_visitor_that_was_not_answered(two_bridges):
    t = two_bridges
    freeze(t.second)
    jobs = [lambda: timed(lambda: whole_answer(t)) for _ in range(20)]

    def kill():
        wait_for(lambda: http_get(t.portal_status, "/stats"), 5, "a moment")
        t.second.kill()

    results = in_parallel([*jobs, kill])[:-1]
    for answer, seconds in results:
        assert answer.how == "fin" and answer.data.count(b"small\n") == 1
        assert seconds <= SECONDS


class Deserter:
    """A bridge of our making that takes the first visitor's New and is gone, as often as it likes."""

    def __init__(self, tunnel):
        request = peer.Request(peer.TCP, DOMAIN, 0)
        self.c = peer.Client(tunnel.link, tunnel.user_id, request).start(link.note(link.hello()))

    def wait_for_new(self):
        while True:
            f = peer.read_frame(self.c.read)
            if f.status == peer.NEW and f.network == peer.TCP:
                return f


@pytest.mark.quick
def test_link_that_dies_between_new_and_answer(tunnels):
    t = tunnels.get(BOTH_NEW)
    for _ in range(5):
        deserter = Deserter(t)
        before = retried(t)
        wait_for(lambda: carriers(t) >= 3, 5, "its link")
        held = [t.ask("echo") for _ in range(4)]
        deserter.wait_for_new()
        reset(deserter.c.s)
        for s in held:
            s.sendall(b"x")
            assert read_exactly(s, 1) == b"x"
            s.close()
        assert retried(t) > before


@pytest.mark.quick
@pytest.mark.parametrize("why", [link.NO_ROOM, link.GOING])
def test_bridge_without_room_passes_visitors_on(tunnels, why):
    t = tunnels.get(BOTH_NEW)
    full = Deserter(t)
    wait_for(lambda: carriers(t) >= 3, 5, "its link")

    def turn_away():
        try:
            while True:
                full.c.send(link.note(link.refused(full.wait_for_new().stream, why)))
        except (OSError, EOFError):
            pass  # the test is over

    def visit():
        return [whole_answer(t).data.count(b"small\n") for _ in range(10)]

    with full.c:
        threading.Thread(target=turn_away, daemon=True).start()
        assert in_parallel([visit] * 4) == [[1] * 10] * 4
        assert retried(t) >= 1


@pytest.mark.quick
def test_target_that_refuses_is_told_at_once(own_tunnel):
    """The visitor is reset, nothing is tried again, and no other target suffers."""
    closed = free_port()
    door = free_port()

    def prepare(tunnel):
        tunnel.portal_config["inbounds"].append(dokodemo("closed", door, closed))
        tunnel.portal_config["routing"]["rules"].append(rule("closed", "portal"))

    t = own_tunnel(BOTH_NEW, prepare)
    for _ in range(25):
        since = time.monotonic()
        assert visit_whole(door, timeout=5) == (b"", "rst")
        assert time.monotonic() - since < 0.5 * SLOWER
        answer, seconds = timed(lambda: http_get(t.web, "/small.txt"))
        assert answer.body == b"small\n" and seconds < 0.5 * SLOWER
    assert retried(t) == 0


@pytest.mark.quick
def test_slow_target_is_waited_for(own_tunnel):
    """A target that takes its time is none of the link's fault."""
    t = own_tunnel(BOTH_NEW)
    with t.ask("silent") as s:
        assert read_to_end(s, 6).how == "open"
    assert retried(t) == 0
