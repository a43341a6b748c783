"""What may happen to the Redis of a cluster, one thing after the other, while visitors ask. docs/CLUSTER.md has the table
of all failures and what each may cost."""
import time

import pytest

from rig import SLOWER, wait_for
from town import BACK, KNOWN, PREFIX, town_in

pytestmark = [pytest.mark.v2c]


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """One that faults of Redis leave as it was."""
    with town_in(tmp_path_factory.mktemp("town")) as made:
        yield made


def registered(town):
    """What stands in Redis while all is well, but for what only tells of a loss."""
    return set(town.redis.keys()) - {PREFIX + "boot", PREFIX + "fence"}


def healed(town, keys):
    """Redis has what it had, and all portals hear from it that all are there."""
    nodes = [node for i in range(3) for node in town.json(i, "/v1/cluster")["cluster"]["nodes"]]
    return registered(town) == keys and len(nodes) >= 6 and all(node["state"] == "up" for node in nodes)


class Gone:
    seconds = 6.0  # longer than the answers of a directory stay fresh

    def begin(self, redis):
        redis.kill()

    def end(self, redis):
        redis.start()


class Frozen(Gone):
    seconds = 2.0

    def begin(self, redis):
        redis.freeze()

    def end(self, redis):
        redis.thaw()


class Flushed(Gone):
    seconds = 2.0

    def begin(self, redis):
        redis.ask("FLUSHALL")

    def end(self, redis):
        pass


class Locked(Gone):
    seconds = 2.0

    def begin(self, redis):
        redis.ask("CONFIG", "SET", "requirepass", "another")
        redis.options["requirepass"] = "another"
        redis.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def end(self, redis):
        redis.ask("CONFIG", "SET", "requirepass", "")
        del redis.options["requirepass"]


class Full(Gone):
    seconds = 2.0

    def begin(self, redis):
        redis.ask("CONFIG", "SET", "maxmemory", "1")

    def end(self, redis):
        redis.ask("CONFIG", "SET", "maxmemory", "0")


@pytest.mark.parametrize("fault", [Gone(), Frozen(), Flushed(), Locked(), Full()], ids=lambda f: type(f).__name__.lower())
def test_whatever_redis_does_known_hosts_are_served(town, fault):
    keys = registered(town)
    with town.visits([0, 1, 2], KNOWN) as visits:
        before = visits.go_on(1)
        began = time.monotonic()
        fault.begin(town.redis)
        try:
            visits.go_on(fault.seconds)
        finally:
            fault.end(town.redis)
        back = time.monotonic()
        wait_for(lambda: healed(town, keys), BACK, "all to be as it was")
        visits.go_on(0.5)
    assert not visits.failed()
    assert visits.percentile(0.5, began, back) <= visits.percentile(0.5, before, began) + 0.005 * SLOWER
    for node in town.nodes:
        node.check_health()


def stolen(town, job):
    """What a bridge of somebody else hears that wants the hostname, at a portal where the holder has no link, right after
    Redis has forgotten all: so only the registry and peers know better. job(thief) is run while visitors ask."""
    keys = registered(town)
    with town.visits([0, 1, 2], KNOWN) as visits:
        visits.go_on(0.5)
        town.redis.ask("FLUSHALL")
        thief = town.bridge("stolen", town.web.port, [2], name="thief", user="other", hosts=[KNOWN])
        wait_for(lambda: keys <= registered(town), 30 * SLOWER, "the registry to be as it was")
        job(thief)
        visits.go_on(0.5)
    thief.stop()
    town.bridges.remove(thief)
    assert not visits.failed()
    assert "reachable at http://known" not in thief.log()


def test_nobody_steals_a_hostname_while_redis_has_forgotten_it(town):
    stolen(town, lambda thief: thief.wait_log("connected to its portal"))


@pytest.mark.slow
def test_who_wanted_a_hostname_while_redis_had_forgotten_it_hears_that_it_is_taken(town):
    taken = r"not reachable at known\.hosts\.test: another tunnel has that name"
    stolen(town, lambda thief: thief.wait_log(taken, 35 * SLOWER))


def test_live_and_ready_do_not_hang_on_redis(town):
    town.redis.freeze()
    try:
        end = time.monotonic() + 1
        while time.monotonic() < end:
            assert [town.page(i, "/live")[0] for i in range(3)] == [200] * 3
            assert [town.page(i, "/ready")[0] for i in range(3)] == [200] * 3
    finally:
        town.redis.thaw()
