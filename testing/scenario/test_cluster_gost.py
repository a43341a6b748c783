"""What went wrong with the tunnels of others (docs/CLUSTER.md, "What must not come back"), one test a row: G1 to G20.

Three portals and a Redis; the bridge has links to the first portal only, and visitors come to the third one. Rows that
are not here are those of other files, or cannot occur: the table says which and why.
"""
import pathlib
import statistics
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integrity"))

import harness
from certs import Cert
from cluster import HOSTS, Cluster, Redis, visit
from gates import SlowRelay
from origins import BANNER
from rig import HOST, SLOWER, Relay, connect, in_parallel, read_answer, read_exactly, read_to_end, reset, wait_for
from test_ingress import Origin, secure

pytestmark = [pytest.mark.v2c]
NAME = "www" + HOSTS
FAR = 2  # the portal that has no links


class Listener(Relay):
    """Stands before the first portal's port for peers, and remembers all that passes."""

    def __init__(self, target_port):
        self.heard = bytearray()
        super().__init__(target_port, lambda: self._hear)

    def _hear(self, _, data):
        self.heard += data
        return data


@pytest.fixture(scope="module")
def town(tmp_path_factory, origins):
    directory = tmp_path_factory.mktemp("gost")
    redis, listeners = Redis(directory), []

    def prepare(i, config):
        own = config["cluster"]
        if i == 0:
            listeners.append(Listener(int(own["listen"].rpartition(":")[2])))
            own["advertise"] = f"{HOST}:{listeners[0].port}"
        else:
            own["peers"][0] = f"{HOST}:{listeners[0].port}"

    claims = [
        {
            "user": "home",
            "tunnels": ["web", "odd", "banner", "tls", "boundary", "comes-and-goes", "$ssh"],
            "hosts": [HOSTS],
        }
    ]
    doors = {"odd": ("odd", origins.odd), "banner": ("banner", origins.banner)}
    made = Cluster(directory, redis=redis, by_peers=True, doors=doors, registry={"sweep": 10}, prepare=prepare, claims=claims)
    made.listener = listeners[0]
    try:
        made.start()
        made.bridge("web", origins.web, [0], name="web", hosts=[NAME])
        made.bridge("odd", origins.odd, [0], name="odd")
        made.bridge("banner", origins.banner, [0], name="banner")
        wait_for(lambda: served(made), 8 * SLOWER, "the host at the third portal")
        yield made
        made.stop()
    finally:
        made.listener.close()
        made.end_now()


def served(town):
    return visit((HOST, town.ports[FAR]["entry"]), NAME) is None


def far(town, door):
    return connect(town.ports[FAR][door])


def ask(town, order):
    s = far(town, "odd")
    s.sendall(order.encode() + b"\n")
    return s


def hours_of_name(town):
    """For which Redis keeps the hostname, if nobody renews it."""
    (key,) = [k for k in town.redis.keys("v2c:test:h:*") if NAME in k]
    return key, town.redis.ask("PTTL", key) / 3600_000


def test_g1_a_hostname_lives_as_long_as_its_tunnel(town):
    assert hours_of_name(town)[1] > 23


@pytest.mark.slow
def test_g1_a_hostname_is_renewed_while_its_tunnel_is_there(town):
    key, _ = hours_of_name(town)
    assert town.redis.ask("PEXPIRE", key, 12 * 3600_000) == 1
    wait_for(lambda: hours_of_name(town)[1] > 23, 45, "the sweep to renew it")


def test_g6_no_port_of_a_cluster_leads_to_a_private_tunnel(town, origins):
    """Not by an entry of another portal, and a peer's port is for peers."""
    town.bridge("ssh", origins.web, [0], name="ssh", hosts=["ssh" + HOSTS])
    town.wait_carriers("ssh", 1, at=[0])
    for i in range(3):
        for host in (f"ssh.{town.domain}", f"$ssh.{town.domain}", "ssh", "ssh" + HOSTS):
            assert visit((HOST, town.ports[i]["entry"]), host).startswith(("404", "503", "400")), host
    for data in (b"GET / HTTP/1.1\r\nHost: " + NAME.encode() + b"\r\n\r\n", bytes(200), b"\x05\x01\x00"):
        with connect(town.ports[0]["peers"], 2) as s:
            s.sendall(data)
            assert read_to_end(s, 0.3).data == b""


def test_g7_tls_by_its_server_name_goes_to_the_tunnel_of_that_name(town, tmp_path):
    ca = Cert(authority=True)
    server = Origin("secure", Cert(["tls" + HOSTS], ca), tmp_path)
    try:
        town.bridge("tls", server.port, [0], name="tls", hosts=["tls" + HOSTS])

        def good():
            try:
                with secure(town.ports[FAR]["entry"], ca, "tls" + HOSTS) as s:
                    s.sendall(b"GET / HTTP/1.1\r\nHost: tls.hosts.test\r\nConnection: close\r\n\r\n")
                    return b'"secure"' in read_answer(s).body
            except OSError:
                return False

        wait_for(good, 5 * SLOWER, "TLS through two portals")
    finally:
        server.close()


def test_g8_nothing_clear_passes_between_portals(town):
    """And nobody without the key is let in, whatever VMess user he is."""
    secret = b"nobody between two portals reads this"
    before = len(town.listener.heard)
    with ask(town, "echo") as s:
        s.sendall(secret)
        assert read_exactly(s, len(secret)) == secret
    assert len(town.listener.heard) >= before + 2 * len(secret)
    for word in (secret, b"echo", NAME.encode(), b"HTTP/1.1"):
        assert word not in town.listener.heard


def test_g10_counters_have_no_more_labels_with_more_visitors(town):
    def names():
        return {line.split(" ")[0] for line in town.page(FAR, "/metrics")[1].splitlines() if line[:1] != "#"}

    assert served(town)
    before = names()
    for i in range(20):
        visit((HOST, town.ports[FAR]["entry"]), f"host-{i}{HOSTS}")
        with connect(town.ports[FAR]["entry"]) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: %s\r\nX-Forwarded-For: 192.0.2.%d\r\n\r\n" % (NAME.encode(), i))
            read_answer(s)
    assert names() == before


def test_g12_half_a_connection_ends_and_the_answer_still_comes(town):
    with ask(town, "eof") as s:
        s.sendall(b"half")
        s.shutdown(1)
        assert read_to_end(s, 5).data == b"got half"


def test_g15_links_that_went_leave_nothing_behind(town, origins):
    """Where a tunnel is stands once for each portal, whatever becomes of its links."""
    redis, before = town.redis, set(town.redis.keys("v2c:test:t:*"))
    bridge = town.bridge("comes-and-goes", origins.web, [0], name="restless")
    (key,) = wait_for(lambda: set(redis.keys("v2c:test:t:*")) - before, 5 * SLOWER, "its entry")
    for _ in range(3):
        bridge.kill()
        bridge.start()
        town.wait_carriers("comes-and-goes", 1, at=[0])
    assert list(redis.hash(key)) == ["node-a"]
    assert redis.ask("PTTL", key) > 0


@pytest.mark.skipif(bool(harness.ready()), reason=str(harness.ready()))
@pytest.mark.parametrize("skew", [100, -100])
def test_g16_a_clock_that_is_wrong_hides_nobody(tmp_path, origins, skew):
    """100 s, as VMess itself allows no more than 120."""
    redis, page = Redis(tmp_path), harness.Shim(tmp_path / "page")
    page.wall(skew)
    two = Cluster(tmp_path, 2, redis=redis)
    two.nodes[1].environment = page.environment()
    try:
        two.start()
        two.bridge("web", origins.web, [0], hosts=[NAME])
        wait_for(lambda: visit((HOST, two.ports[1]["entry"]), NAME) is None, 8 * SLOWER, "the host at the other portal")
        two.stop()
    finally:
        two.end_now()


def test_g17_a_name_that_only_ends_like_ours_is_not_below_it(town, origins):
    bridge = town.bridge("boundary", origins.web, [0], name="boundary", hosts=["xhosts.test"])
    bridge.wait_log(r"not reachable at xhosts\.test: the portal does not allow it")
    assert visit((HOST, town.ports[FAR]["entry"]), "xhosts.test").startswith("404")


def test_g18_a_visitor_who_is_sent_on_costs_no_connection_between_portals(town):
    def connections():
        port = f":{town.ports[0]['peers']:04X}"
        with open("/proc/net/tcp") as f:
            return sum(line.split()[1].endswith(port) and line.split()[3] in ("01", "06") for line in f)

    assert served(town)
    before = connections()
    assert before > 0
    assert in_parallel([lambda: visit((HOST, town.ports[FAR]["entry"]), NAME)] * 20) == [None] * 20
    assert connections() == before


def test_g18_a_visitor_who_is_sent_on_waits_for_one_round_trip_more(tmp_path, origins):
    """Between the two portals each way takes 100 to 200 ms: one round trip is less than two at their shortest."""
    late, relays = 0.1, []

    def prepare(i, config):
        if i == 1:
            (peer,) = config["cluster"]["peers"]
            relays.append(SlowRelay(int(peer.rpartition(":")[2]), late))
            config["cluster"]["peers"] = [f"{HOST}:{relays[0].port}"]
        else:
            config["cluster"]["peers"] = []

    two = Cluster(tmp_path, 2, doors={"web": ("web", origins.web)}, prepare=prepare)
    try:
        two.start()
        two.bridge("web", origins.web, [0])

        def took(i):
            began = time.monotonic()
            assert visit((HOST, two.ports[i]["web"]), "web.test") is None
            return time.monotonic() - began

        wait_for(lambda: visit((HOST, two.ports[1]["web"]), "web.test") is None, 5 * SLOWER, "the tunnel at the other portal")
        relays[0].start()
        more = statistics.median(took(1) - took(0) for _ in range(3))
        assert 2 * late <= more < 4 * late
        two.stop()
    finally:
        two.end_now()
        relays[0].close()


def test_g19_a_server_that_speaks_first_is_heard_at_once(town):
    began = time.monotonic()
    with far(town, "banner") as s:
        assert read_exactly(s, len(BANNER)) == BANNER
    assert time.monotonic() - began < 1 * SLOWER


def test_g20_a_download_that_is_given_up_ends_at_its_server(town, origins):
    others = set(origins.odd_server.live)  # what tests of other files have not ended
    with ask(town, "endless") as s:
        read_exactly(s, 100_000)
        (own,) = wait_for(lambda: origins.odd_server.live - others, 5, "the download")
        reset(s)
    wait_for(lambda: own not in origins.odd_server.live, 5 * SLOWER, "the server to hear of it")
