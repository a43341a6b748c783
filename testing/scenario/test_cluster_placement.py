"""Where the links of bridges lie that know one address only, behind which somebody deals them out to three portals."""
import contextlib
import itertools
import threading
import time

import pytest

from cluster import Cluster, Front, Visits, first_word
from origins import labelled
from rig import HOST, SLOWER, Relay, wait_for

pytestmark = pytest.mark.v2c
BRIDGES = 4


class Dealer(Relay):
    """Gives each link to the next portal in turn; one that is not there resets it."""

    def __init__(self, ports):
        self.turn = itertools.cycle(ports)
        super().__init__(None)

    @property
    def target_port(self):
        return next(self.turn)

    @target_port.setter
    def target_port(self, _):
        pass


def over_websocket(_, config):
    links = next(i for i in config["inbounds"] if i["tag"] == "links")
    links["streamSettings"] = {"network": "ws", "wsSettings": {"path": "/tunnel"}}


@pytest.fixture(scope="module")
def origin():
    server = labelled("small\n")
    yield server
    server.close()


class Town:
    """Three portals, and bridges `t0`, `t1`, … that come to them by one address."""

    def __init__(self, cluster, origin):
        self.cluster = cluster
        self.dealer = Dealer([p["links"] for p in self.cluster.ports])
        self.tunnels = [f"t{i}" for i in range(BRIDGES)]
        for tunnel in self.tunnels:
            self.cluster.bridge(tunnel, origin.port, [0], front=self.dealer.port)

    def places(self, tunnel):
        """The portals that have links of it, one letter for each link."""
        found = ""
        for i, node in enumerate(self.cluster.nodes):
            if node.alive():
                found += "abc"[i] * self.cluster.carriers(i).get(tunnel, 0)
        return found

    def wait_places(self, count, seconds):
        """All have one link each to so many portals."""

        def settled():
            return all(len(p) == len(set(p)) == count for p in map(self.places, self.tunnels))

        wait_for(settled, seconds, f"links to {count} portals: {[self.places(t) for t in self.tunnels]}")


@pytest.fixture
def town(tmp_path, origin):
    with contextlib.ExitStack() as stack:

        def make(**more):
            doors = {"door": ("t0", 80)}
            made = Cluster(tmp_path, prepare=over_websocket, spread=1, drain=8, doors=doors, **more)
            there = Town(stack.enter_context(made), origin)
            stack.callback(there.dealer.close)
            return there

        yield make


def test_each_bridge_has_links_to_two_portals_through_one_address(town):
    there = town()
    there.wait_places(2, 10 * SLOWER)
    dialled = there.dealer.count
    assert dialled <= 8 * BRIDGES  # on average 2.5 find two of three
    threading.Event().wait(1)
    assert there.dealer.count == dialled


def test_as_many_portals_as_the_cluster_says(town):
    there = town(links=3)
    there.wait_places(3, 15 * SLOWER)


def test_a_portal_that_dies_is_replaced_by_another(town):
    there = town()
    there.wait_places(2, 10 * SLOWER)
    there.cluster.nodes[1].kill()
    since = time.monotonic()
    there.wait_places(2, 10 * SLOWER)
    assert time.monotonic() - since < 4 * SLOWER
    assert all(there.places(t) == "ac" for t in there.tunnels)


def test_a_portal_that_drains_has_its_bridges_go_elsewhere_first(town):
    there = town()
    there.wait_places(2, 10 * SLOWER)
    leaves = there.cluster.nodes[1]
    doors = [(HOST, there.cluster.ports[i]["door"]) for i in (0, 2)]
    with Visits(doors, "any.test") as visits:
        visits.go_on(0.5)
        leaves.drain(15 * SLOWER)
        leaves.process = None  # it has ended as it should
        there.wait_places(2, 10 * SLOWER)
        visits.go_on(0.5)
    assert all(there.places(t) == "ac" for t in there.tunnels)
    assert not visits.failed()


def test_a_new_portal_gets_links_of_the_others(tmp_path, origin):
    """Slowly: of 400 bridges some are asked each second, and one that finds no other portal stays where it is."""
    with Cluster(tmp_path, by_peers=True) as cluster, contextlib.ExitStack() as stack:
        front = Front(tmp_path, cluster)
        stack.callback(front.stop)
        cluster.nodes[2].kill()

        def links():
            return [n or 0 for n in first_word(cluster, "portal>>>portal>>>carriers")]

        cluster.many_bridges([f"crowd-{n}" for n in range(400)], "crowd", front=front.port).start()
        cluster.bridge("t0", origin.port, [0], hosts=["a.hosts.test"], front=front.port)
        wait_for(lambda: links() == [401, 401, 0], 20 * SLOWER, "all links to two portals")
        with cluster.visits([0, 1], "a.hosts.test") as visits:
            cluster.nodes[2].start()
            wait_for(lambda: links()[2] >= 5, 40 * SLOWER, f"links to the new portal: {links()}")
            visits.go_on(0.5)
        assert not visits.failed()
        assert sum(links()) >= 2 * 401
