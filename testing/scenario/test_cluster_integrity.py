"""Every byte of streams that one portal sends on to another, while portals and bridges go away. No Redis: portals ask each other."""
import pathlib
import sys
import threading
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integrity"))

import harness
from cluster import Cluster
from harness import Load, Origin, check, check_all_good
from rig import SANITIZED, SLOWER

pytestmark = [
    pytest.mark.v2c,
    pytest.mark.skipif(bool(harness.ready()), reason=str(harness.ready())),
]
STREAMS, LARGE, MEDIUM = 16, 4 << 20, 256 << 10
VISITED = 2  # the portal that has no links


@pytest.fixture
def seed():
    return harness.seed_of_run()


@pytest.fixture
def town(tmp_path):
    """Two bridges, each with a link to the first and the second portal; .load() comes to the doors of `at`."""
    origin = Origin(tmp_path, patience=20)
    made = Cluster(tmp_path, doors={"door": ("streams", 80)}, drain=5, spread=1)
    try:
        made.start()
        for name in ("one", "two"):
            made.bridge("streams", origin.tcp, [0, 1], name=name)
        made.wait_carriers("streams", 4)

        def load(seed, at=(0, 1, VISITED), **options):
            ports = [made.ports[i]["door"] for i in at]
            return Load(tmp_path, ports, seed, patience=20, **options)

        made.load = load
        yield made
        made.stop()
        check(origin.stop())
    finally:
        made.end_now()
        if origin.process.poll() is None:
            origin.stop()


def during(load, job, times=2, pause=0.5):
    """The job again and again while streams come and go."""
    for turn in range(times):
        threading.Event().wait(pause)
        job(turn)
    result = load.wait()
    check(result)
    return result


@pytest.mark.quick
@pytest.mark.workers
def test_streams_by_way_of_another_portal(town, seed):
    """Of all shapes, at once at all three; half of those at the third one go by each of the others."""
    mixed = town.load(seed, streams=STREAMS, seconds=2, max=LARGE, slow=5, cut=3, abort=3, grace=40)
    short = town.load(seed + 1, at=[VISITED], streams=8, total=2000 // SLOWER, max=200, seconds=20)
    result = mixed.wait()
    check_all_good(result, short.wait())
    assert result.ok > 50 / SLOWER


@pytest.mark.quick
def test_a_portal_with_links_is_killed(town, seed):
    """What went by it ends visibly, and the rest is as if nothing had been."""
    load = town.load(seed, at=[1, VISITED], streams=STREAMS, seconds=2, max=MEDIUM, retry=0.05)

    def kill(_):
        town.nodes[0].kill()
        threading.Event().wait(0.3)
        town.nodes[0].start()

    assert during(load, kill).ok > 50 / SLOWER


@pytest.mark.quick
def test_a_bridge_is_killed_while_visitors_come_by_another_portal(town, seed):
    load = town.load(seed, streams=STREAMS, seconds=2, max=MEDIUM, retry=0.05)

    def kill(turn):
        bridge = town.bridges[turn % 2]
        bridge.kill()
        bridge.start()
        town.wait_carriers("streams", 4)

    assert during(load, kill).ok > 50 / SLOWER


def test_portals_are_drained_one_after_the_other(town, seed):
    """Streams that are open end well, though they go by a portal that ends."""
    load = town.load(seed, at=[VISITED], streams=STREAMS, seconds=3, max=MEDIUM)

    def drain(turn):
        town.nodes[turn].drain(15 * SLOWER)
        town.nodes[turn].start()
        town.wait_ready()
        town.wait_carriers("streams", 4)

    check_all_good(during(load, drain, times=2, pause=0.3))


@pytest.mark.skipif(SANITIZED, reason="it is about time")
def test_a_portal_that_is_frozen_holds_up_nobody_for_long(town, seed):
    """A stream that waited for its answer there goes elsewhere; one that had it waits."""
    load = town.load(seed, at=[1, VISITED], streams=STREAMS, seconds=4, max=MEDIUM)
    threading.Event().wait(0.5)
    town.nodes[0].freeze()
    frozen = time.monotonic()
    quick = town.load(seed + 1, at=[VISITED], streams=4, seconds=3, max=1000)
    result = quick.wait()
    town.nodes[0].thaw()
    check_all_good(load.wait(), result)
    assert time.monotonic() - frozen < 15 and result.ok > 20
    assert result.opening_ms["max"] <= 5000
