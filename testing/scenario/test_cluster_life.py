"""The life of a node: it starts, is ready, is seen, leaves while it still serves, and ends."""
import json
import signal
import subprocess

import pytest

import rig
from cluster import KEY, Cluster, Redis, visit
from origins import labelled
from rig import HOST, SLOWER, free_port, wait_for

NAME = "web.hosts.test"


@pytest.fixture
def origin():
    made = labelled("small\n")
    yield made
    made.close()


def route(_, config):
    config["inbounds"][0]["settings"]["routes"] = [{"host": NAME, "tunnel": "web"}]


@pytest.fixture
def pair(tmp_path, origin):
    """Two portals, and a bridge at the first of them."""
    with Cluster(tmp_path, count=2, spread="1s", prepare=route) as made:
        made.bridge("web", origin.port, [0])
        made.wait_carriers("web", 1)
        wait_for(lambda: seen(made, 1, 0) == "up", 10 * SLOWER, "the nodes to see each other")
        yield made


def at_entry(cluster, i):
    return cluster.address(i), cluster.ports[i]["entry"]


def seen(cluster, by, which):
    """What one node says of another one's state."""
    nodes = cluster.json(by, "/v1/cluster").get("cluster", {}).get("nodes", [])
    states = [n["state"] for n in nodes if n["node"] == f"node-{'abcdefgh'[which]}"]
    return states[0] if states else None


def cluster_of(cluster, i):
    return cluster.json(i, "/v1/cluster")["cluster"]


def ends(node, seconds=20 * SLOWER):
    assert node.process.wait(seconds) == 0
    node.check_health()


def test_a_node_is_shown_with_the_others(pair):
    # Each dials the other one, and one of the two links comes first.
    wait_for(lambda: cluster_of(pair, 0)["peers"][0]["up"], 10 * SLOWER, "the link of its own")
    me = cluster_of(pair, 0)
    assert (me["name"], me["node"], me["state"]) == ("test", "node-a", "up")
    other = me["nodes"][0]
    assert (other["node"], other["linked"], other["leased"]) == ("node-b", True, False)
    assert other["address"] == f"{HOST}:{pair.ports[1]['peers']}"
    assert [(p["node"], p["up"], p["static"]) for p in me["peers"]] == [("node-b", True, True)]
    assert pair.json(0, "/v1/status")["cluster"]["node"] == "node-a"
    command = [rig.V2C, "status", "-server", f"{HOST}:{pair.ports[1]['admin']}"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=20).stdout
    assert "CLUSTER  NODE" in shown and "PORTAL NODE  STATE" in shown and "node-a" in shown


def test_a_portal_without_bridges_is_ready_in_a_cluster(pair):
    assert pair.carriers(1) == {}
    assert pair.page(1, "/ready") == (200, "ready\n")


@pytest.mark.parametrize("how", ["signal", "api"])
def test_who_leaves_is_not_ready_and_still_serves(pair, how):
    assert wait_served(pair, 0) is None
    if how == "signal":
        pair.nodes[0].process.send_signal(signal.SIGTERM)
    else:
        assert pair.page(0, "/v1/drain", "POST", "{}")[0] == 200
    wait_for(lambda: pair.page(0, "/ready") == (503, "v2c ends\n"), 5 * SLOWER, "it to be ready no more")
    assert pair.page(0, "/live")[0] == 200
    assert visit(at_entry(pair, 0), NAME) is None
    wait_for(lambda: seen(pair, 1, 0) in ("drains", "gone"), 5 * SLOWER, "the other one to hear of it")
    ends(pair.nodes[0])
    wait_for(lambda: seen(pair, 1, 0) == "gone", 10 * SLOWER, "the other one to see that it is gone")
    assert pair.page(1, "/ready")[0] == 200
    pair.nodes[0].start()
    wait_for(lambda: seen(pair, 1, 0) == "up", 10 * SLOWER, "the other one to see that it is back")
    wait_served(pair, 1)


def wait_served(cluster, i):
    wait_for(lambda: visit(at_entry(cluster, i), NAME) is None, 10 * SLOWER, "a visitor to be served")


def test_nothing_that_rests_holds_up_who_leaves(pair):
    """An entry keeps its way to the origin open, through the other node: not while that one ends."""
    wait_served(pair, 1)
    pair.nodes[0].process.send_signal(signal.SIGTERM)
    ends(pair.nodes[0], 4 * SLOWER)
    pair.nodes[0].start()


def test_bridges_do_not_run_against_who_leaves(pair):
    """It is the only portal that this bridge knows, so it comes again and again, but slowly."""
    pair.nodes[0].process.send_signal(signal.SIGTERM)
    ends(pair.nodes[0])
    assert pair.bridges[0].log().count("connected to its portal") <= 8  # not 20 a second
    pair.nodes[0].start()


def test_a_second_signal_ends_at_once_who_leaves(tmp_path):
    with Cluster(tmp_path, count=2, spread="60s") as both:
        wait_for(lambda: seen(both, 1, 0) == "up", 10 * SLOWER, "the nodes to see each other")
        both.nodes[0].process.send_signal(signal.SIGTERM)
        wait_for(lambda: both.page(0, "/ready")[0] == 503, 5 * SLOWER, "it to be ready no more")
        both.nodes[0].process.send_signal(signal.SIGTERM)
        ends(both.nodes[0], 10 * SLOWER)
        both.nodes.pop(0)


def test_who_is_alone_does_not_wait_when_it_ends(tmp_path):
    with Cluster(tmp_path, count=1, spread="60s") as alone:
        alone.nodes[0].process.send_signal(signal.SIGTERM)
        ends(alone.nodes[0], 10 * SLOWER)
        alone.nodes.clear()


def test_a_reload_keeps_the_cluster_and_says_so(pair):
    node = pair.nodes[1]
    wait_served(pair, 1)
    config = json.loads(node.path.read_text())
    config["cluster"]["key"] = "7c" * 32
    node.path.write_text(json.dumps(config))
    node.process.send_signal(signal.SIGHUP)
    wait_for(lambda: 'reload: "cluster" changes at the next start' in node.log(), 10 * SLOWER, "the reload")
    assert visit(at_entry(pair, 1), NAME) is None
    assert seen(pair, 0, 1) == "up"


def test_a_portal_that_a_reload_replaces_is_in_the_cluster(pair):
    node = pair.nodes[1]
    wait_served(pair, 1)
    config = json.loads(node.path.read_text())
    config["reverse"]["portals"][0]["users"] = list(pair.users)
    node.path.write_text(json.dumps(config))
    node.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "reload: done" in node.log(), 10 * SLOWER, "the reload")
    assert visit(at_entry(pair, 1), NAME) is None


def test_a_port_for_peers_that_is_taken_is_named(tmp_path):
    with Cluster(tmp_path, count=1) as first:
        config = json.loads(first.nodes[0].path.read_text())
        del config["inbounds"], config["api"], config["routing"]
        second = tmp_path / "second.json"
        second.write_text(json.dumps(config))
        run = subprocess.run([rig.V2C, "run", "-c", second], capture_output=True, text=True, timeout=20)
        assert run.returncode == 255
        assert "/cluster/listen: " in run.stderr and "in use" in run.stderr


def test_two_quick_portals_are_one(tmp_path, origin):
    """The commands of README: one key for both, each with the other one's --peer-listen."""
    users, key = tmp_path / "users", tmp_path / "cluster.key"
    assert subprocess.run([rig.V2C, "portal", "--new-key", users], capture_output=True).returncode == 0
    key.write_text(KEY + "\n")
    key.chmod(0o600)
    links, entries, peers = ([free_port(), free_port()] for _ in range(3))
    running = []
    try:
        for i in range(2):
            words = ["portal", "--listen", f"{HOST}:{links[i]}", "--entry", f"{HOST}:{entries[i]}", "--key", users]
            words += ["--route", "*=web", "--cluster-key", key, "--node", f"n{i}"]
            words += ["--peer-listen", f"{HOST}:{peers[i]}", "--peers", f"{HOST}:{peers[1 - i]}"]
            running.append(start(words))
        target = f"{HOST}:{origin.port}"
        running.append(start(["bridge", "--to", f"{HOST}:{links[0]}", "--tunnel", "web", "--key", users, target]))
        wait_for(lambda: visit((HOST, entries[1]), "any.test") is None, 15 * SLOWER, "a visitor to be passed on")
    finally:
        for p in running:
            p.kill()
            p.wait()


def start(words):
    return subprocess.Popen(
        [rig.V2C, *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


# ------------------------------------------------------------------------------------------------ with a registry


@pytest.fixture
def redis(tmp_path):
    made = Redis(tmp_path)
    yield made
    made.stop()


def metric(cluster, name, i=0):
    lines = cluster.page(i, "/metrics")[1].splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(f"v2c_{name} ")), None)


def test_a_node_starts_until_its_registry_answers(tmp_path, redis):
    redis.kill()
    made = Cluster(tmp_path, count=1, redis=redis)
    try:
        made.nodes[0].start()
        assert made.page(0, "/ready") == (503, "v2c starts\n") and made.page(0, "/live")[0] == 200
        redis.start()
        made.wait_ready()
    finally:
        made.stop()


def test_a_node_is_ready_without_its_registry_once_it_was(tmp_path, redis):
    with Cluster(tmp_path, count=2, redis=redis, by_peers=False, spread="1s") as made:
        wait_for(lambda: seen(made, 0, 1) == "up", 10 * SLOWER, "the nodes to find each other")
        wait_for(lambda: metric(made, "cluster_nodes") == 1, 5 * SLOWER, "the other one to be counted")
        assert metric(made, "registry_up") == 1 and metric(made, "registry_unwritten") == 0
        redis.kill()
        wait_for(lambda: metric(made, "registry_up") == 0, 10 * SLOWER, "the registry to be missed")
        command = [rig.V2C, "status", "-server", f"{HOST}:{made.ports[0]['admin']}"]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=20).stdout
        assert "REGISTRY" in shown and "away" in shown
        assert made.page(0, "/ready")[0] == 200 and made.page(0, "/live")[0] == 200
        assert seen(made, 0, 1) == "up"
        redis.start()
        wait_for(lambda: metric(made, "registry_up") == 1, 15 * SLOWER, "the registry to be back")
        wait_for(lambda: "v2c:test:n:node-b" in redis.keys(), 10 * SLOWER, "its lease")
        made.nodes[1].process.send_signal(signal.SIGTERM)
        ends(made.nodes.pop(1))
        assert "v2c:test:n:node-b" not in redis.keys()  # it would last 10 s
