"""Three portals that know each other's addresses, without Redis: a visitor may come to any of them."""
import hashlib
import re
import socket
import time

import pytest

from cluster import Cluster, Visits
from origins import known_bytes
from rig import HOST, SLOWER, connect, free_port, http_get, in_parallel, read_exactly, read_to_end, visit_end, wait_for

pytestmark = pytest.mark.v2c
MB = 1 << 20


@pytest.fixture(scope="module")
def three(tmp_path_factory, origins):
    """Tunnel "web" is at the first portal, "odd" at the second, "udp" at the third, and "shut" leads nowhere."""
    refused = free_port()
    doors = {"web": ("web", origins.web), "odd": ("odd", origins.odd), "shut": ("shut", refused), "udp": ("udp", origins.udp)}

    def prepare(i, config):
        config["workers"] = 2
        config["cluster"]["peers"].append(config["cluster"]["listen"])  # itself: it is left alone
        for inbound in config["inbounds"]:
            if inbound["tag"] == "udp":
                inbound["settings"]["network"] = "udp"

    with Cluster(tmp_path_factory.mktemp("three"), doors=doors, prepare=prepare) as cluster:
        for at, tag in enumerate(("web", "odd", "udp")):
            cluster.bridge(tag, doors[tag][1], [at])
        cluster.bridge("shut", refused, [0])
        for tag in doors:
            cluster.wait_carriers(tag, 1)
        yield cluster


def forwarded(cluster):
    """How many visitors each portal has sent to another one."""
    pages = [cluster.page(i, "/stats")[1] for i in range(len(cluster.nodes))]
    return [int(re.search(r"(?m)^cluster_forwarded: (\d+)$", page).group(1)) for page in pages]


def test_a_visitor_may_come_to_any_portal(three):
    before = forwarded(three)
    for ports in three.ports:
        for _ in range(10):
            assert http_get(ports["web"], "/small.txt").body == b"small\n"
    sent = [b - a for a, b in zip(before, forwarded(three))]
    assert sent == [0, 10, 10]


def test_all_bytes_come_both_ways_and_each_may_end_alone(three):
    def up(port):
        with connect(port) as s:
            s.sendall(b"sink %d\n" % (5 * MB) + known_bytes(5 * MB))
            assert read_to_end(s).data == hashlib.sha256(known_bytes(5 * MB)).hexdigest().encode()

    def down(port):
        with connect(port) as s:
            s.sendall(b"bytes %d\n" % (5 * MB))
            assert read_to_end(s) == (known_bytes(5 * MB), "fin")

    def half(port):
        with connect(port) as s:
            s.sendall(b"eof\nlast words")
            s.shutdown(socket.SHUT_WR)
            assert read_to_end(s) == (b"got last words", "fin")

    in_parallel([lambda f=f, p=p: f(p["odd"]) for p in three.ports for f in (up, down, half)])


def test_a_cut_is_a_cut(three):
    for ports in three.ports:
        with connect(ports["odd"]) as s:
            s.sendall(b"cut 100000\n")
            assert read_to_end(s).how == "rst"


def test_a_server_that_refuses_is_asked_once(three):
    for ports in three.ports:
        began = time.monotonic()
        assert visit_end(ports["shut"]) == "rst"
        assert time.monotonic() - began < 2 * SLOWER


def test_datagrams_are_forwarded(three):
    for ports in three.ports:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect((HOST, ports["udp"]))
            s.settimeout(10)
            s.send(b"there")
            assert s.recv(100) == b"there"


def test_a_portal_leaves_itself_alone(three):
    for i, node in enumerate(three.nodes):
        assert f"node node-{'abc'[i]} " not in node.log()


def test_a_tunnel_moves_to_another_portal(three, origins):
    with Visits([p["web"] for p in three.ports], HOST) as visits:
        visits.go_on(0.3)
        old, new = three.bridges[0], three.bridge("web", origins.web, [1], "bridge-new")
        three.wait_carriers("web", 1, at=[1])
        three.bridges.remove(old)
        old.stop()
        moved = visits.go_on(1)
    three.bridges.remove(new)
    three.bridges.insert(0, new)
    assert not visits.failed()[:3] and len(visits.since(moved)) > 10


@pytest.fixture
def pair(tmp_path, origins):
    """A tunnel with links to two of three portals."""
    with Cluster(tmp_path, doors={"web": ("web", origins.web)}) as cluster:
        cluster.bridge("web", origins.web, [0, 1])
        cluster.wait_carriers("web", 2)
        yield cluster


def linked(cluster, i, others):
    for j in others:
        cluster.nodes[i].wait_log(f"linked to node node-{'abc'[j]} ", 10 * SLOWER)


def test_a_portal_dies_and_comes_back(pair):
    linked(pair, 2, [0, 1])
    with Visits([pair.ports[i]["web"] for i in (1, 2)], HOST) as visits:
        visits.go_on(0.3)
        pair.nodes[0].kill()
        killed = time.monotonic()  # who had half of his answer by then has lost the rest
        visits.go_on(2)
        pair.nodes[0].start()
        wait_for(lambda: not http_error(pair.ports[0]["web"]), 5 * SLOWER, "the portal that began anew to serve")
        visits.go_on(0.3)
    assert not visits.failed(killed)[:3]


def http_error(port):
    try:
        return http_get(port, "/small.txt").status != 200
    except (OSError, EOFError):
        return True


def test_a_portal_that_stands_still_is_passed_over(pair):
    linked(pair, 2, [0, 1])
    with Visits([pair.ports[2]["web"]], HOST, threads=8) as visits:
        visits.go_on(0.3)
        pair.nodes[0].freeze()
        visits.go_on(4)
        pair.nodes[0].thaw()
        thawed = visits.go_on(1)
    assert not visits.failed()[:3]
    assert visits.percentile(1, since=thawed) < 2 * SLOWER


def test_who_has_another_key_is_no_peer(tmp_path, origins):
    stranger = tmp_path / "stranger.key"
    stranger.write_text("7c" * 32 + "\n")
    stranger.chmod(0o600)

    def prepare(i, config):
        if i == 1:
            config["cluster"]["key"] = f"file:{stranger}"

    with Cluster(tmp_path, 2, doors={"web": ("web", origins.web)}, prepare=prepare) as cluster:
        cluster.bridge("web", origins.web, [0])
        cluster.wait_carriers("web", 1)
        cluster.nodes[1].wait_log(f"no link to peer {HOST}:{cluster.ports[0]['peers']}: .*check that \"key\"")
        assert "linked to" not in cluster.nodes[0].log() + cluster.nodes[1].log()
        assert http_get(cluster.ports[0]["web"], "/small.txt").body == b"small\n"
