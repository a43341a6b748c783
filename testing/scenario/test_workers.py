"""Several workers: a visitor and its bridge's link need not lie on the same one."""
import hashlib
import os

import pytest

from origins import DISTINCT, MB, distinct_file
from rig import (
    SLOWER, connect, counters, first_good, http_get, http_request, in_parallel, read_answer,
    read_exactly, read_to_end, wait_for,
)

BOTH_NEW = (("v2c", "v2c"),)
WORKERS = 4


def threads(program):
    return len(os.listdir(f"/proc/{program.process.pid}/task"))


@pytest.fixture
def spread(own_tunnel):
    """A portal with many workers, and a bridge that has one link unless told otherwise."""

    def make(pairing, connections=1, bridge_workers=1):
        def prepare(t):
            t.portal_config["workers"] = WORKERS
            t.bridge_config["workers"] = bridge_workers
            t.bridge_config["reverse"]["bridges"][0]["connections"] = connections

        t = own_tunnel(pairing, prepare)
        if threads(t.portal) < WORKERS:
            pytest.skip(f"it runs {threads(t.portal)} threads where {WORKERS} workers are configured")
        return t

    return make


@pytest.mark.quick
@pytest.mark.pairings(*BOTH_NEW)
def test_visitors_of_all_workers_share_one_link(spread, pairing):
    t = spread(pairing)
    assert counters(t.portal_status)["portal>>>portal>>>carriers"] == 1

    def visit(i):
        index = i % DISTINCT
        assert http_get(t.web, f"/{index}.bin", timeout=30).body == distinct_file(index)

    for start in range(0, 200, 50):
        in_parallel([lambda i=i: visit(i) for i in range(start, start + 50)])
    now = counters(t.portal_status)
    assert now["no_carrier"] == 0 and now["flows_failed"] == 0


@pytest.mark.quick
@pytest.mark.pairings(*BOTH_NEW)
def test_long_streams_cross_whole(spread, origins, pairing):
    t = spread(pairing)

    def download():
        digest = hashlib.sha256()
        with connect(t.web, 30) as s:
            s.sendall(http_request("/big.bin"))
            read_answer(s, digest.update)
        return digest.hexdigest()

    def upload():
        data = os.urandom(5 * MB)
        with t.ask(f"sink {len(data)}", 30) as s:
            s.sendall(data)
            return read_to_end(s, 30).data.decode() == hashlib.sha256(data).hexdigest()

    results = in_parallel([download] * 4 + [upload] * 8)
    assert results == [origins.big_sha256] * 4 + [True] * 8


@pytest.mark.quick
@pytest.mark.pairings(*BOTH_NEW)
def test_ends_cross(spread, pairing):
    """Half-closed one way, the answer still comes; a reset is a reset."""
    t = spread(pairing)

    def half():
        with t.ask("eof", 10) as s:
            s.sendall(b"some")
            s.shutdown(1)
            return read_to_end(s, 10)

    def cut():
        with t.ask("cut 1000", 10) as s:
            return read_to_end(s, 10).how

    for answer in in_parallel([half] * 16):
        assert (answer.data, answer.how) == (b"got some", "fin")
    assert in_parallel([cut] * 16) == ["rst"] * 16


@pytest.mark.quick
@pytest.mark.pairings(*BOTH_NEW)
def test_workers_on_both_sides(spread, pairing):
    t = spread(pairing, connections=4, bridge_workers=WORKERS)
    wait_for(lambda: counters(t.portal_status)["portal>>>portal>>>carriers"] == 4, 5, "four links")
    held = in_parallel([lambda: t.ask("echo") for _ in range(64)])
    for i, s in enumerate(held):
        s.sendall(b"%4d" % i)
        assert read_exactly(s, 4) == b"%4d" % i
        s.close()


@pytest.mark.pairings(*BOTH_NEW)
@pytest.mark.parametrize("side", ["bridge", "portal"])
def test_killed_and_restarted(spread, pairing, side):
    t = spread(pairing, connections=2, bridge_workers=2)
    for _ in range(3):
        program = getattr(t, side)
        program.kill()
        program.start()
        assert first_good(t.web, since=program.born) <= 1 * SLOWER
        answers = in_parallel([lambda: http_get(t.web, "/small.txt").body] * 20)
        assert answers == [b"small\n"] * 20


@pytest.mark.quick
@pytest.mark.pairings(*BOTH_NEW)
@pytest.mark.parametrize("side", ["bridge", "portal"])
def test_stopped_under_load(spread, pairing, side):
    """The end comes while streams cross in both directions; stop() wants an orderly end."""
    t = spread(pairing, connections=2, bridge_workers=2)
    held = in_parallel([lambda: t.ask("endless") for _ in range(24)])
    for s in held:
        read_exactly(s, 100_000)
    program = getattr(t, side)
    readers = [lambda s=s: read_to_end(s, 15 * SLOWER, keep=False).how for s in held]
    endings = in_parallel([*readers, program.stop])[:-1]
    assert "open" not in endings
    program.process = None  # so that it is not stopped again


@pytest.mark.quick
@pytest.mark.pairings(*BOTH_NEW)
def test_visitors_wait_on_every_worker_for_the_bridge(spread, pairing):
    t = spread(pairing)
    t.bridge.kill()
    wait_for(lambda: counters(t.portal_status)["portal>>>portal>>>carriers"] == 0, 5, "no link")

    def visit():
        return http_get(t.web, "/small.txt", timeout=10).body

    assert in_parallel([visit] * 24 + [t.bridge.start])[:-1] == [b"small\n"] * 24
