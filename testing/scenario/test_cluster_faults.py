"""What may happen to portals and bridges of a cluster while visitors ask, some of them through nginx. docs/CLUSTER.md has
the table of all failures and what each may cost."""
import time

import pytest

from cluster import Front, visit
from rig import HOST, SLOWER, wait_for
from town import BACK, KNOWN

pytestmark = [pytest.mark.v2c]


@pytest.mark.quick
def test_a_portal_is_killed(own_town, tmp_path):
    """No new request at the others fails, and its bridges are elsewhere at once."""
    town = own_town(doors={"door": ("web", 80)}, links=2)
    for bridge in town.bridges:
        bridge.stop()
    town.bridges.clear()
    front = Front(tmp_path, town)
    try:
        for name in ("three", "four"):
            town.bridge("web", town.web.port, [], name=name, front=front.port, hosts=[KNOWN], connections=2)
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


def test_all_portals_are_restarted_one_after_the_other(own_town, tmp_path):
    """As an update does it: each is asked to end, and the next one follows when it is ready again."""
    town = own_town(spread=1, drain=5)
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


def test_a_bridge_that_is_frozen_costs_a_pause_at_most(own_town):
    """Visitors at the portal that has no link of its own are sent on again, to a link that answers."""
    town = own_town()
    with town.visits([2], KNOWN) as visits:
        visits.go_on(0.3)
        town.bridges[0].freeze()
        frozen = visits.go_on(3)
        town.bridges[0].thaw()
        visits.go_on(0.3)
    assert not visits.failed()
    assert max(v.took for v in visits.since(frozen)) < 5 * SLOWER
