"""What may fail in a cluster, one thing after the other, while visitors ask and streams check themselves: three portals,
a real Redis, bridges, nginx in front. docs/CLUSTER.md has the table of these failures and what each may cost."""
import re
import time

import pytest

from cluster import Cluster, Front, Redis, visit
from origins import Server, labelled
from rig import HOST, SLOWER, wait_for

pytestmark = [pytest.mark.v2c]
KNOWN = "known.hosts.test"
PREFIX = "v2c:test:"  # of keys
BACK = 3 * SLOWER  # seconds in which all is healed after Redis is back, and a bridge elsewhere


@pytest.fixture(scope="module")
def web():
    server = labelled("small\n")
    yield server
    server.close()


def town_in(directory, web, **more):
    """Two bridges, each with a link to the first and the second portal: the third one has to send all visitors on."""
    town = Cluster(directory, redis=Redis(directory), registry={"sweep": 10}, **more)
    try:
        town.start()
        for name in ("one", "two"):
            town.bridge("web", web.port, [0, 1], name=name, hosts=[KNOWN])
        town.wait_carriers("web", 4)
        for port in town.entries():
            wait_for(lambda: visit((HOST, port), KNOWN) is None, 8 * SLOWER, f"the host at port {port}")
    except BaseException:
        town.end_now()
        raise
    return town


@pytest.fixture(scope="module")
def town(tmp_path_factory, web):
    """One that faults of Redis leave as it was."""
    made = town_in(tmp_path_factory.mktemp("town"), web)
    yield made
    try:
        made.stop()
    finally:
        made.end_now()


@pytest.fixture
def own(tmp_path, web):
    """One that its test may break."""
    made = []

    def make(**more):
        made.append(town_in(tmp_path, web, **more))
        return made[-1]

    yield make
    for town in made:
        try:
            town.stop()
        finally:
            town.end_now()


def registered(town):
    """What stands in Redis while all is well, but for what only tells of a loss."""
    return set(town.redis.keys()) - {PREFIX + "boot", PREFIX + "fence"}


def healed(town, keys):
    """Redis has what it had, and all portals hear from it that all are there."""
    nodes = [node for i in range(3) for node in town.json(i, "/v1/cluster")["cluster"]["nodes"]]
    return registered(town) == keys and len(nodes) >= 6 and all(node["state"] == "up" for node in nodes)


# ------------------------------------------------------------------------------------------------- Redis


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
@pytest.mark.quick
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


def stolen(town, web, job):
    """What a bridge of somebody else hears that wants the hostname, at a portal where the holder has no link, right after
    Redis has forgotten all: so only the registry and peers know better. job(thief) is run while visitors ask."""
    keys = registered(town)
    with town.visits([0, 1, 2], KNOWN) as visits:
        visits.go_on(0.5)
        town.redis.ask("FLUSHALL")
        thief = town.bridge("stolen", web.port, [2], name="thief", user="other", hosts=[KNOWN])
        wait_for(lambda: keys <= registered(town), 30 * SLOWER, "the registry to be as it was")
        job(thief)
        visits.go_on(0.5)
    thief.stop()
    town.bridges.remove(thief)
    assert not visits.failed()
    assert "reachable at http://known" not in thief.log()


def test_nobody_steals_a_hostname_while_redis_has_forgotten_it(town, web):
    stolen(town, web, lambda thief: thief.wait_log("connected to its portal"))


@pytest.mark.slow
def test_who_wanted_a_hostname_while_redis_had_forgotten_it_hears_that_it_is_taken(town, web):
    taken = r"not reachable at known\.hosts\.test: another tunnel has that name"
    stolen(town, web, lambda thief: thief.wait_log(taken, 35 * SLOWER))


def test_live_and_ready_do_not_hang_on_redis(town):
    town.redis.freeze()
    try:
        end = time.monotonic() + 1
        while time.monotonic() < end:
            assert [town.page(i, "/live")[0] for i in range(3)] == [200] * 3
            assert [town.page(i, "/ready")[0] for i in range(3)] == [200] * 3
    finally:
        town.redis.thaw()


# ------------------------------------------------------------------------------------------------- portals


@pytest.mark.quick
def test_a_portal_is_killed(own, web, tmp_path):
    """No new request at the others fails, and its bridges are elsewhere at once."""
    town = own(doors={"door": ("web", 80)}, links=2)
    for bridge in town.bridges:
        bridge.stop()
    town.bridges.clear()
    front = Front(tmp_path, town)
    try:
        for name in ("three", "four"):
            town.bridge("web", web.port, [], name=name, front=front.port, hosts=[KNOWN], connections=2)
        wait_for(lambda: sum(town.carriers(i).get("web", 0) > 0 for i in range(3)) >= 2, 20 * SLOWER, "links on two portals")
        town.wait_carriers("web", 4)
        lost = max(range(3), key=lambda i: town.carriers(i).get("web", 0))
        others = [i for i in range(3) if i != lost]
        with town.visits(others, KNOWN) as visits:
            visits.go_on(1)
            town.nodes[lost].kill()
            killed = time.monotonic()
            town.wait_carriers("web", 4, BACK, others)
            visits.go_on(1)
        assert not visits.failed(killed)
        town.nodes[lost].start()
        wait_for(lambda: visit((HOST, town.ports[lost]["entry"]), KNOWN) is None, 5 * SLOWER, "the portal to serve again")
    finally:
        front.stop()


def test_all_portals_are_restarted_one_after_the_other(own, web, tmp_path):
    """As an update does it: each is asked to end, and the next one follows when it is ready again."""
    town = own(spread=1, drain=5)
    front = Front(tmp_path, town)
    try:
        with town.visits(front.port, KNOWN) as visits:
            visits.go_on(0.5)
            for i, node in enumerate(town.nodes):
                node.drain(15 * SLOWER)
                node.start()
                wait_for(lambda: town.page(i, "/ready")[0] == 200, 12 * SLOWER, "it to be ready")
                town.wait_carriers("web", 2, BACK)
                visits.go_on(0.3)
        assert not visits.failed()
    finally:
        front.stop()


def test_a_bridge_that_is_frozen_costs_a_pause_at_most(own):
    """Visitors at the portal that has no link of its own are sent on again, to a link that answers."""
    town = own()
    with town.visits([2], KNOWN) as visits:
        visits.go_on(0.3)
        town.bridges[0].freeze()
        frozen = visits.go_on(3)
        town.bridges[0].thaw()
        visits.go_on(0.3)
    assert not visits.failed()
    assert max(v.took for v in visits.since(frozen)) < 5 * SLOWER


# ------------------------------------------------------------------------------------------------- what others write


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
def test_what_somebody_else_writes_into_redis_leads_nowhere(own):
    town = own()
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
def test_entries_in_a_ring_are_no_loop(own, web):
    """Each portal is said to have what none has, with seals that were good: whoever asks hears so, soon."""
    town = own()
    before = set(town.redis.keys(PREFIX + "t:*"))
    bridge = town.bridge("ring", web.port, [0, 1, 2], hosts=["ring.hosts.test"])
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
