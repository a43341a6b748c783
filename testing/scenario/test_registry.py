"""The registry: portals find each other and all tunnels through Redis alone, and what stands there is theirs only."""
import pytest

from cluster import HOSTS, Cluster, Redis, visit
from origins import labelled
from rig import SLOWER, wait_for


@pytest.fixture
def redis(tmp_path):
    made = Redis(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def server():
    made = labelled("one")
    yield made
    made.close()


@pytest.fixture
def cluster(tmp_path, redis, server):
    made = []

    def start(**more):
        made.append(Cluster(tmp_path, redis=redis, doors={"door": ("t1", server.port)}, **more))
        return made[-1].start()

    yield start
    for c in made:
        c.stop()


def reaches(c, i):
    return visit((c.address(i), c.ports[i]["door"]), "any.test", "/", b"one") is None


def key(redis, kind):
    found = redis.keys(f"v2c:test:{kind}:*")
    return found[0] if found else None


def test_portals_find_each_other_and_all_tunnels_through_redis_alone(cluster, redis, server):
    c = cluster()
    assert redis.keys("v2c:test:n:*") == [f"v2c:test:n:node-{x}" for x in "abc"]
    c.bridge("t1", server.port, [1])
    for i in range(3):
        wait_for(lambda: reaches(c, i), 10 * SLOWER, f"portal {i} to lead there")
    assert list(redis.hash(key(redis, "t"))) == ["node-b"]
    assert "t1" not in key(redis, "t")
