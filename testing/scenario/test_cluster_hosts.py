"""Hostnames of bridges in a cluster: found from every portal, and held by one tunnel only."""
import threading

import pytest

from cluster import HOSTS, Cluster, visit
from origins import labelled
from rig import HOST, SLOWER, wait_for

WWW = f"www{HOSTS}"


@pytest.fixture
def servers():
    made = [labelled("one"), labelled("two")]
    yield made
    for s in made:
        s.close()


@pytest.fixture
def cluster(tmp_path):
    made = []

    def start(**more):
        made.append(Cluster(tmp_path, **more))
        return made[-1].start()

    yield start
    for c in made:
        c.stop()


def answers(cluster, host, path="/"):
    """What each portal's visitors get."""
    found = []
    for i in range(len(cluster.nodes)):
        for label in ("one", "two"):
            wrong = visit((cluster.address(i), cluster.ports[i]["entry"]), host, path, label.encode())
            if not wrong:
                found.append(label)
                break
        else:
            found.append(wrong.split(":")[0])
    return found


def test_a_name_is_found_from_every_portal(cluster, servers):
    c = cluster()
    c.bridge("t1", servers[0].port, [0], hosts=[WWW])
    c.wait_carriers("t1", 1)
    wait_for(lambda: answers(c, WWW) == ["one"] * 3, 5 * SLOWER, "the name to be known everywhere")
    assert answers(c, f"nobody{HOSTS}") == ["404"] * 3
