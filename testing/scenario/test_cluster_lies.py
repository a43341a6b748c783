"""What somebody else writes into the Redis of a cluster: it leads nowhere, while visitors ask."""
import re
import time

import pytest

from cluster import visit
from origins import Server
from rig import HOST, SLOWER, wait_for
from town import KNOWN, PREFIX

pytestmark = [pytest.mark.v2c]


def lies_about_nodes(redis, trap):
    """Leases that nobody has sealed, that were changed, moved to another name, or played back."""
    old = redis.ask("GET", PREFIX + "n:node-a")
    redis.ask("SADD", PREFIX + "nodes", "node-evil", "node-" + "x" * 300, "\0|\r\n")
    address = f"{HOST}:{trap.port}"
    for lie in (old, old[:-1] + "x", f"1|{address}|up", old.replace(HOST, "127.0.0.9"), "", "\1" + "\xff" * 5000):
        redis.ask("SET", PREFIX + "n:node-evil", lie)
        yield
    wait_for(lambda: redis.ask("GET", PREFIX + "n:node-a") != old, 10, "the lease to be renewed")
    redis.ask("SET", PREFIX + "n:node-a", old, "PX", "60000")
    yield


def lies_about_tunnels(redis, keys):
    """Entries at nodes that have no link, of other tunnels, and broken ones."""
    for key in keys:
        fields = redis.hash(key)
        for value in fields.values():
            redis.ask("HSET", key, "node-c", value, "node-evil", value, "x" * 300, value)
        for name, value in fields.items():
            redis.ask("HSET", key, name, value[:-1] + "x")
        redis.ask("HSET", key, "node-c", "\0" * 5000)
        yield
    for key in keys:
        redis.ask("DEL", key)
        redis.ask("SET", key, "no hash")
        yield
    for key in redis.keys(PREFIX + "h:*"):
        redis.ask("SET", key, redis.ask("GET", key)[:-1] + "x")
        yield


@pytest.mark.quick
def test_what_somebody_else_writes_into_redis_leads_nowhere(own_town):
    town = own_town()
    redis, trap = town.redis, Server(lambda server, s: None)
    tunnels = redis.keys(PREFIX + "t:*")
    assert tunnels
    try:
        with town.visits([0, 1, 2], KNOWN) as visits:
            visits.go_on(0.3)
            for lies in (lies_about_nodes(redis, trap), lies_about_tunnels(redis, tunnels)):
                for _ in lies:
                    visits.go_on(0.3)
            visits.go_on(6)  # no answer of before is fresh
        assert not visits.failed()
        assert trap.accepted == 0
        for node in town.nodes:
            node.check_health()
    finally:
        trap.close()


@pytest.mark.quick
def test_entries_in_a_ring_are_no_loop(own_town):
    """Each portal is said to have what none has, with seals that were good: whoever asks hears so, soon."""
    town = own_town()
    before = set(town.redis.keys(PREFIX + "t:*"))
    bridge = town.bridge("ring", town.web.port, [0, 1, 2], hosts=["ring.hosts.test"])
    town.wait_carriers("ring", 3)
    (key,) = wait_for(lambda: set(town.redis.keys(PREFIX + "t:*")) - before, 5, "its entry")
    fields = wait_for(lambda: len(town.redis.hash(key)) == 3 and town.redis.hash(key), 5, "all three")
    bridge.stop()
    town.bridges.remove(bridge)
    wait_for(lambda: not any(town.carriers(i).get("ring") for i in range(3)), 5, "the links to go")
    words = [word for pair in fields.items() for word in pair]
    opened = [opened_flows(town, i) for i in range(3)]
    for i in range(3):
        town.redis.ask("HSET", key, *words)
        began = time.monotonic()
        assert visit((HOST, town.ports[i]["entry"]), "ring.hosts.test").startswith("50")
        assert time.monotonic() - began < 6 * SLOWER
    for i in range(3):
        assert opened_flows(town, i) - opened[i] < 60


def opened_flows(town, i):
    return int(re.search(r"(?m)^flows_opened: (\d+)$", town.page(i, "/stats")[1]).group(1))
