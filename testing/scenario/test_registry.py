"""The registry: portals find each other and all tunnels through Redis alone, and what stands there is theirs only."""
import contextlib
import threading

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
    doors = {"door": ("t1", server.port)}
    with contextlib.ExitStack() as made:
        yield lambda **more: made.enter_context(Cluster(tmp_path, redis=redis, doors=doors, **more))


def reaches(c, i):
    return visit((c.address(i), c.ports[i]["door"]), "any.test", "/", b"one") is None


def key(redis, kind):
    found = redis.keys(f"v2c:test:{kind}:*")
    return found[0] if found else None


def registry(c, i):
    return c.json(i, "/v1/cluster").get("cluster", {}).get("registry", {})


def all_reach(c):
    for i in range(3):
        wait_for(lambda: reaches(c, i), 10 * SLOWER, f"portal {i} to lead there")


def nodes(c, i):
    """By name, whether it is alive, and by what."""
    found = c.json(i, "/v1/cluster").get("cluster", {}).get("nodes", [])
    return {n["node"]: (n["state"], n["leased"]) for n in found}


def test_portals_find_each_other_and_all_tunnels_through_redis_alone(cluster, redis, server):
    c = cluster()
    assert redis.keys("v2c:test:n:*") == [f"v2c:test:n:node-{x}" for x in "abc"]
    c.bridge("t1", server.port, [1])
    all_reach(c)
    assert list(redis.hash(key(redis, "t"))) == ["node-b"]
    assert "t1" not in key(redis, "t")
    found = registry(c, 1)
    assert (found["tunnels"], found["unwritten"], found["losses"]) == (1, 0, 0)
    assert all(r["up"] and not r["trouble"] and r["server"] for r in found["connections"])
    assert nodes(c, 0) == {"node-b": ("up", True), "node-c": ("up", True)}


NAME = f"www{HOSTS}"


def answer(c, i):
    """Whose server a visitor of this name gets."""
    found = [label for label in ("one", "two") if not visit((c.address(i), c.ports[i]["entry"]), NAME, "/", label.encode())]
    return found[0] if found else None


def wait_answers(c, label):
    wait_for(lambda: [answer(c, i) for i in range(3)] == [label] * 3, 15 * SLOWER, f"all portals to give {label}")


def log_says(program, text, times):
    wait_for(lambda: program.log().count(text) == times, 15 * SLOWER, f"{program.name} to log {text}")


def test_a_hostname_has_one_holder_and_redis_remembers_it(cluster, redis, server):
    two = labelled("two")
    c = cluster()
    try:
        first = c.bridge("t1", server.port, [0], hosts=[NAME], name="first")
        wait_answers(c, "one")
        assert redis.ask("PTTL", key(redis, "h")) > 86_000_000
        thief = c.bridge("t2", two.port, [1], hosts=[NAME], name="thief", user="other")
        log_says(thief, "another tunnel", 1)
        first.kill()
        thief.kill()
        thief.start()
        log_says(thief, "another tunnel", 2)  # also while nobody is there
        redis.ask("FLUSHALL")
        thief.kill()
        thief.start()  # Redis has forgotten, for a second
        c.bridge("t1", server.port, [2], hosts=[NAME], name="again")
        wait_answers(c, "one")
        log_says(thief, "another tunnel", 3)
    finally:
        two.close()


def test_redis_that_lost_all_is_told_again(cluster, redis, server):
    c = cluster()
    c.bridge("t1", server.port, [1])
    all_reach(c)
    for gone in ("FLUSHALL", "kill"):
        if gone == "kill":
            redis.kill()
            wait_for(lambda: not any(r["up"] for r in registry(c, 1)["connections"]), 10 * SLOWER, "the loss of redis")
            assert [reaches(c, i) for i in range(3)] == [True] * 3
            redis.start()
        else:
            redis.ask("FLUSHALL")
        wait_for(lambda: list(redis.hash(key(redis, "t") or "none")) == ["node-b"], 10 * SLOWER, "the tunnel")
        wait_for(lambda: len(redis.keys("v2c:test:n:*")) == 3, 10 * SLOWER, "all nodes")
        assert [reaches(c, i) for i in range(3)] == [True] * 3
        assert redis.ask("PTTL", "v2c:test:fence") > 10_000
    assert registry(c, 0)["losses"] == 2


def test_what_others_write_leads_nowhere(cluster, redis, server, tmp_path):
    c = cluster(registry={"lease": "3s"})
    c.bridge("t1", server.port, [1])
    all_reach(c)
    at, lease = key(redis, "t"), redis.ask("GET", "v2c:test:n:node-b")
    mine = redis.hash(at)["node-b"]
    wrong = mine[:-1] + chr(ord(mine[-1]) ^ 1)
    for field, value in (("node-a", mine), ("node-c", mine), ("node-d", mine), ("node-a", wrong), ("", ""), ("x" * 999, "")):
        redis.ask("HSET", at, field.encode("latin-1"), value.encode("latin-1"))
    for i in range(300):
        redis.ask("SADD", "v2c:test:nodes", f"stranger-{i}")
    redis.ask("SADD", "v2c:test:nodes", b"\x00\xff {}\r\n")
    redis.ask("SET", "v2c:test:n:stranger-1", lease.encode("latin-1"))
    threading.Event().wait(1.5)  # looks at it
    assert [reaches(c, i) for i in range(3)] == [True] * 3
    assert set(nodes(c, 0)) == {"node-b", "node-c"}
    c.nodes[1].kill()
    wait_for(lambda: nodes(c, 0).get("node-b", ("gone",))[0] == "gone", 10 * SLOWER, "the death of a node")
    for _ in range(3):  # somebody would have it live
        redis.ask("SET", "v2c:test:n:node-b", lease.encode("latin-1"))
        threading.Event().wait(1)
        assert nodes(c, 0).get("node-b", ("gone",))[0] == "gone"


def test_a_cluster_with_another_key_is_another_one_in_the_same_redis(cluster, redis, server, tmp_path):
    c = cluster()
    c.bridge("t1", server.port, [1])
    all_reach(c)
    (tmp_path / "other").mkdir()
    other = Cluster(tmp_path / "other", count=1, redis=redis, node="node-x", doors={"door": ("t1", server.port)})
    other.key.write_text("5a" * 32 + "\n")
    with other:
        threading.Event().wait(1.5)
        assert not reaches(other, 0)
        assert nodes(other, 0) == {}
        assert "node-x" not in nodes(c, 0)
        assert [reaches(c, i) for i in range(3)] == [True] * 3


def test_portals_that_begin_anew_while_redis_is_away_are_found_by_the_others(cluster, redis, server):
    """They dial where it was, and say where they are themselves; then some have never seen a lease of any other."""
    c = cluster()
    c.bridge("t1", server.port, [1], hosts=[f"a{HOSTS}"])
    all_reach(c)
    wait_for(lambda: visit((c.address(2), c.entries(2)[0]), f"a{HOSTS}", "/", b"one") is None, 5, "the hostname")
    redis.kill()
    for i in (2, 0, 1):
        c.nodes[i].kill()
        threading.Event().wait(1.5)  # the others have noticed, and dialled in vain
        c.nodes[i].start()
        if i != 1:  # which has the bridge
            entry = (c.address(i), c.entries(i)[0])
            assert visit(entry, f"a{HOSTS}", "/", b"one") is None, "a visitor waits until it is found"
        wait_for(lambda: reaches(c, i), 15 * SLOWER, f"portal {i} to lead there")
    all_reach(c)
