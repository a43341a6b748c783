"""Portals in networks of their own, between which the way is cut without a word: from Redis, and from each other."""
import pytest

import spaces
from cluster import Cluster, Redis, visit
from origins import labelled
from rig import SLOWER, wait_for

pytestmark = [
    pytest.mark.v2c,
    pytest.mark.skipif(bool(spaces.refused()), reason=f"no network namespaces: {spaces.refused()}"),
]
KNOWN = "known.hosts.test"


@pytest.fixture
def parted(tmp_path):
    """Three portals, each in a network of its own; bridges, visitors and Redis elsewhere."""
    net = spaces.Spaces(3)
    net.add_hub_address(1)
    far = net.add_hub_address(2)
    redis = Redis(tmp_path, address=far, space=net.hub)
    server = spaces.inside(net.hub, lambda: labelled("small\n"))
    town = Cluster(tmp_path, redis=redis, net=net, registry={"lease": 3})
    try:
        town.start()
        for name in ("one", "two"):
            town.bridge("web", server.port, [0, 1], name=name, hosts=[KNOWN], space=net.hub)
        town.wait_carriers("web", 4)

        def served():
            return spaces.inside(net.hub, lambda: visit((town.address(2), town.ports[2]["entry"]), KNOWN)) is None

        wait_for(served, 8 * SLOWER, "the host at the third portal")
        yield town, net, far
        town.stop()
    finally:
        town.end_now()
        server.close()
        net.close()


def test_a_portal_that_reaches_its_peers_but_not_redis(parted):
    town, net, redis = parted
    with town.visits([0, 1, 2], KNOWN) as visits:
        visits.go_on(0.5)
        for i in (0, 2):  # one that has links, and one that sends on
            net.lose(i, redis)
        visits.go_on(6)  # its lease has ended, and answers are not fresh any more
        for i in (0, 2):
            net.find(i, redis)
        visits.go_on(1)
    assert not visits.failed()


def test_two_portals_that_do_not_reach_each_other(parted):
    """The third one's visitors go by the portal that it still reaches, and those that were on their way try again."""
    town, net, _ = parted
    with town.visits([0, 1, 2], KNOWN) as visits:
        visits.go_on(0.5)
        net.part(0, 2)
        cut = visits.go_on(4)
        net.join(0, 2)
        visits.go_on(1)
    assert not visits.failed()
    assert max(v.took for v in visits.since(cut)) < 6 * SLOWER
