"""What portals of a cluster say in their logs: nothing that worries while all is well, and else what is wrong and what to do."""
import pathlib
import re
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integrity"))

import harness
from cluster import Cluster, Redis
from rig import HOST, SLOWER, wait_for

pytestmark = pytest.mark.v2c


def all_linked(cluster):
    """Each portal has said that it is linked to each other one."""
    names = [f"linked to node node-{x} " for x in "abcdefgh"[: len(cluster.nodes)]]
    return all(
        name in node.log() for i, node in enumerate(cluster.nodes) for j, name in enumerate(names) if i != j
    )


def noise(node):
    """Lines of what went wrong, or of flows: there was no visitor, but who asks its api."""
    return re.findall(r".*(?:\[Warning\] (?!v2c )|\[Error\]|flow ended in=(?!api)).*", node.log())


@pytest.mark.quick
@pytest.mark.parametrize("by", ["peers", "redis"])
def test_portals_that_start_one_after_the_other_have_nothing_to_complain_of(tmp_path, by):
    """They dial each other before all are there, and find themselves among their peers."""

    def prepare(_, config):
        config["cluster"].setdefault("peers", []).append(config["cluster"]["listen"])

    redis = Redis(tmp_path) if by == "redis" else None
    with Cluster(tmp_path, redis=redis, prepare=prepare) as three:
        wait_for(lambda: all_linked(three), 10 * SLOWER, "all to be linked")
        assert [noise(node) for node in three.nodes] == [[], [], []]


def complains(cluster, i, text):
    cluster.nodes[i].wait_log(re.escape(text) if isinstance(text, str) else text, 15 * SLOWER)


def test_two_portals_of_one_name(tmp_path):
    def prepare(_, config):
        config["cluster"]["node"] = "same"

    with Cluster(tmp_path, 2, prepare=prepare) as two:
        for i in (0, 1):
            complains(two, i, f"no link to peer {HOST}:{two.ports[1 - i]['peers']}: it has the name of this node")


def test_a_peer_that_is_a_port_for_visitors(tmp_path):
    def prepare(i, config):
        if i == 0:
            config["cluster"]["peers"] = [f"{HOST}:{config['inbounds'][0]['port']}"]
        else:
            config["cluster"]["peers"] = []

    with Cluster(tmp_path, 2, prepare=prepare) as two:
        at = two.ports[0]["entry"]
        complains(two, 0, re.compile(f"no link to peer {HOST}:{at}: .*that of its port for peers"))


@pytest.mark.skipif(bool(harness.ready()), reason=str(harness.ready()))
def test_a_clock_that_is_off(tmp_path):
    page = harness.Shim(tmp_path / "page")
    page.wall(600)
    two = Cluster(tmp_path, 2)
    two.nodes[1].environment = page.environment()
    with two:
        for i in (0, 1):
            complains(two, i, re.compile(f"no link to peer {HOST}:{two.ports[1 - i]['peers']}: .*clocks"))
