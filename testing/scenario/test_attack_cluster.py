"""Attacks on a cluster: by whoever is, or writes to, its Redis; by who reaches the port for peers, with and without the
key; and by visitors who invent names. What is known goes on being served, at a bounded cost."""
import os
import threading
import time

import pytest

import node_peer
import peer
from cluster import HOSTS, KEY, Cluster, Redis, first_word, visit
from node_peer import NOT_HERE, NodePeer
from origins import Server, labelled
from rig import HOST, SLOWER, WORKERS, connect, in_parallel, read_to_end, wait_for
from strange_redis import CALM, MANNERS, SLOW, StrangeRedis

pytestmark = pytest.mark.v2c
NAME = f"www{HOSTS}"
USER = node_peer.user_of(KEY)
GROWTH = (64 << 20) * SLOWER  # bytes of memory that no attack here may cost a portal


@pytest.fixture(scope="module")
def server():
    made = labelled("one")
    yield made
    made.close()


def reaches(c, i):
    return visit((c.address(i), c.ports[i]["door"]), "any.test", "/", b"one") is None


def all_reach(c, seconds=10 * SLOWER):
    for i in range(len(c.nodes)):
        wait_for(lambda: reaches(c, i), seconds, f"portal {i} to lead there")


def memory(c):
    return [n.rss() for n in c.nodes]


def assert_small(c, before):
    for had, has in zip(before, memory(c)):
        assert has - had < GROWTH, (had, has)


# ------------------------------------------------------------------------------------------------ Redis


@pytest.fixture(scope="module")
def strange(tmp_path_factory, server):
    redis = StrangeRedis()
    c = Cluster(tmp_path_factory.mktemp("strange"), 3, redis=redis, by_peers=True, doors={"door": ("t1", server.port)})
    c.strange = redis
    for n in c.nodes:
        n.start()
    c.bridge("t1", server.port, [1], hosts=[NAME])
    all_reach(c)
    yield c
    c.stop()
    redis.stop()


def test_a_redis_that_says_what_none_says(strange):
    c, had = strange, memory(strange)
    c.strange.manner, wanted = None, {*MANNERS, SLOW}
    began = time.monotonic()
    while not wanted <= set(c.strange.heard):
        assert [reaches(c, i) for i in range(3)] == [True] * 3
        assert time.monotonic() - began < 15 * SLOWER, wanted - set(c.strange.heard)
    assert_small(c, had)


@pytest.mark.parametrize("manner", CALM)
def test_a_redis_that_makes_no_sense_is_asked_no_more_for_it(strange, manner):
    c, heard = strange, strange.strange.heard
    c.strange.manner, before = manner, heard[manner]
    wait_for(lambda: heard[manner] > before, 5 * SLOWER, "commands")
    before, began = heard[manner], time.monotonic()
    while time.monotonic() - began < 0.4:
        assert [reaches(c, i) for i in range(3)] == [True] * 3
    assert heard[manner] - before < 100 + 300 * (time.monotonic() - began)


def test_a_redis_whose_answers_never_end_is_away(strange):
    c = strange
    c.strange.manner = SLOW
    up = lambda: c.json(0, "/v1/cluster")["cluster"]["registry"]["connections"][0]["up"]
    wait_for(lambda: not up(), 5 * SLOWER, "redis to be taken for one that is away")
    c.strange.manner = "nothing"
    wait_for(up, 5 * SLOWER, "redis to be taken back")


# ------------------------------------------------------------------------------------------------ peers


@pytest.fixture(scope="module")
def town(tmp_path_factory, server):
    """Two portals; at the first one there are the tunnel "t1" with a hostname, and "ssh", which is private."""
    claims = [
        {"user": "home", "tunnels": ["t1", "$ssh"], "hosts": [HOSTS]},
        {"user": "other", "tenant": "other", "tunnels": ["*"], "hosts": [HOSTS]},
    ]
    c = Cluster(tmp_path_factory.mktemp("town"), 2, doors={"door": ("t1", server.port)}, claims=claims)
    c.start()
    c.bridge("t1", server.port, [0], hosts=[NAME])
    c.bridge("ssh", server.port, [0])
    c.bridge("t2", server.port, [0], user="other")
    all_reach(c)
    c.wait_carriers("ssh", 1, at=[0])
    yield c
    c.stop()


def peers_port(c, i=0):
    return c.ports[i]["peers"]


def is_deaf(s):
    """Nothing came, whether the connection is still open or not."""
    return read_to_end(s, 0.15).data == b""


def test_without_the_key_the_port_says_nothing(town):
    other = node_peer.user_of("00" * 32)
    namesake = node_peer.user_of(KEY, "prod")
    for user in (other, namesake, town.users["home"]):
        with peer.Client(peers_port(town), user, peer.Request(peer.TCP, *node_peer.ADDRESS)) as p:
            assert is_deaf(p.start(b"x" * 100).s)
    for data in (os.urandom(4000), b"GET / HTTP/1.1\r\n\r\n", b""):
        with connect(peers_port(town)) as s:
            s.sendall(data)
            assert is_deaf(s)


def test_what_was_recorded_opens_nothing(town):
    first = peer.Client(peers_port(town), USER, peer.Request(peer.TCP, *node_peer.ADDRESS))
    sealed = first.sealed + first.up.seal(node_peer.link.note(node_peer.link.hello(features=node_peer.FEATURES)))
    first.s.sendall(sealed)
    peer.open_answer(first.request, first.raw)
    for _ in range(3):
        with connect(peers_port(town)) as s:
            s.sendall(sealed)
            assert is_deaf(s)
    first.close()


def test_with_the_key_the_port_leads_to_peers_only(town, server):
    for host, number in ((HOST, server.port), ("v1.mux.cool", 9527), (f"t1.{town.domain}", 80), ("peer.v2c.test", 7400)):
        with peer.Client(peers_port(town), USER, peer.Request(peer.TCP, host, number)) as p:
            assert p.start(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").all_data() == b""


def portal_key(town):
    """Of the portal, whose domain it may know by either text."""
    with_key = NodePeer(peers_port(town), USER)
    with_key.asked.wait(5)
    found = [node_peer.portal_key(d) for d in (f"*.{town.domain}", town.domain)]
    for n, key in enumerate(found):
        with_key.say(node_peer.ask(1000 + n, node_peer.TUNNEL, key, node_peer.tunnel("t1")))
    wait_for(lambda: len(with_key.answers) == 2, 5 * SLOWER, "answers")
    with_key.close()
    return next(key for n, key in enumerate(found) if with_key.answers[1000 + n][0] & 1)


def test_who_does_not_prove_itself_opens_nothing(town):
    key = portal_key(town)
    for p in (NodePeer(peers_port(town), USER, prove=False), NodePeer(peers_port(town), USER, name=None)):
        p.open(1, node_peer.route(key, node_peer.tunnel("t1")))
        p.say(node_peer.ask(1, node_peer.TUNNEL, key, node_peer.tunnel("t1")))
        wait_for(lambda: 1 in p.refused, 5 * SLOWER, "a refusal")
        assert p.refused == {1: 3}
        p.close()


def test_a_route_leads_to_its_very_tunnel_or_nowhere(town):
    key = portal_key(town)
    p = NodePeer(peers_port(town), USER)
    p.asked.wait(5)
    t = node_peer.tunnel
    wrong = [
        (t("ssh"), False, "any.test"),  # it is private
        (t("t1", node_peer.PRIVATE), False, "any.test"),  # it is not
        (t("t1", tenant="other"), False, "any.test"),
        (t("t2"), False, "any.test"),  # of another tenant
        (t("t2", tenant="other"), True, NAME),  # the name is another tunnel's
        (t("t1"), True, f"nobody{HOSTS}"),
        (t("t1"), True, "192.0.2.1"),
        (t("t1", node_peer.UNNAMED), False, "any.test"),
        (t("t1", 200), False, "any.test"),
        (t("", node_peer.BY_ID), False, "any.test"),
        (t("x" * 63), False, "any.test"),
    ]
    for n, (to, by_claim, host) in enumerate(wrong, 1):
        p.open(n, node_peer.route(key, to, by_claim), host)
    p.open(50, node_peer.route(bytes(8), t("t1")))
    p.open(51, node_peer.route(key, t("t1"), epoch=12345))
    p.open(52, b"")  # no route at all
    wait_for(lambda: len(p.refused) == len(wrong) + 3, 5 * SLOWER, "refusals")
    assert set(p.refused.values()) == {NOT_HERE, 2} and p.refused[52] == 2
    request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    good = [(t("t1"), False, "any.test"), (t("t1"), True, NAME), (t("t2", tenant="other"), False, "any.test")]
    for n, (to, by_claim, host) in enumerate(good, 60):
        p.open(n, node_peer.route(key, to, by_claim), host, request)
    wait_for(lambda: all(b"one" in p.data.get(n, b"") for n in (60, 61, 62)), 5 * SLOWER, "answers")
    p.close()


def say_all(p, items):
    """As far as it is listened to."""
    p.asked.wait(5)
    try:
        for item in items:
            p.say(item)
    except OSError:
        pass


def test_odd_words_of_a_peer(town):
    """Names that change, texts that lie about their length, answers to nothing, items of zeros, and so on."""
    had = memory(town)
    key = portal_key(town)
    for kind in (node_peer.NODE, node_peer.ASK, node_peer.HAVE):
        say_all(NodePeer(peers_port(town), USER), [node_peer.link.item(kind, b * n) for n in range(60) for b in (b"\xff", b"\0")])
    p = NodePeer(peers_port(town), USER)
    p.asked.wait(5)
    say_all(p, [node_peer.have(n, 3, key, node_peer.tunnel("t1", 9), [(n, 65535, "node-a")] * 4) for n in range(50)])
    p.say(node_peer.ask(1, node_peer.TUNNEL, key, node_peer.tunnel("t1")))
    wait_for(lambda: 1 in p.answers, 5 * SLOWER, "an answer")
    changed = [NodePeer(peers_port(town), USER, epoch=n) for n in range(8, 12)]
    for n, c in enumerate(changed):
        c.asked.wait(5)
        c.say(node_peer.node("stranger" if n % 2 else f"other-{n}", epoch=n))
    for name in ("node-a", "", "node-b"):  # its own, nobody's, another one's
        changed.append(NodePeer(peers_port(town), USER, name=name))
    for c in changed[:5]:
        assert c.ended.wait(5 * SLOWER)
    for c in (p, *changed):
        c.close()
    assert reaches(town, 0) and reaches(town, 1)
    assert_small(town, had)


def test_floods_of_questions_streams_and_links(town):
    had, key = memory(town), portal_key(town)
    flood = [NodePeer(peers_port(town), USER, name=f"flood-{n}", epoch=n + 1) for n in range(40)]
    questions = b"".join(node_peer.ask(n, node_peer.TUNNEL, key, node_peer.tunnel(f"x{n}")) for n in range(12))
    asks = node_peer.link.note(questions) * 100

    def ask(p):
        p.asked.wait(5)
        for n in range(10):
            p.send(asks)

    def open_many(p):
        p.asked.wait(5)
        streams = (
            peer.frame(n, peer.NEW, b"", network=peer.TCP, host="x.test", port=80, extra=node_peer.route(key, node_peer.tunnel(f"u{n}")))
            for n in range(1, 2000)
        )
        p.send(b"".join(streams))
        wait_for(lambda: len(p.refused) == 1999 or p.ended.is_set(), 20 * SLOWER, "refusals")

    in_parallel([lambda p=p: ask(p) for p in flood[:4]] + [lambda p=p: open_many(p) for p in flood[4:6]])
    assert reaches(town, 0) and reaches(town, 1)
    for p in flood:
        p.close()
    assert_small(town, had)


def test_a_peer_that_goes_as_soon_as_it_came_is_not_dialled_all_the_time(tmp_path, server):
    def serve(_, s):
        p = NodePeer(on=peer.Accepted(s, USER), name="brief")
        p.say(node_peer.ask(1, node_peer.TUNNEL, bytes(8)))
        threading.Event().wait(0.02)

    false = Server(serve)

    def prepare(_, config):
        config["cluster"]["peers"] = [f"{HOST}:{false.port}"]

    c = Cluster(tmp_path, 1, doors={"door": ("t1", server.port)}, prepare=prepare)
    try:
        c.start()
        c.nodes[0].wait_log("linked to node brief")
        threading.Event().wait(1.2)
        assert false.accepted < 10
    finally:
        c.stop()
        false.close()


# --------------------------------------------------------------------------------------------- visitors


def test_invented_names_cost_little(tmp_path, server):
    """Those of one visitor are asked for up to a limit only, and what is known is served meanwhile."""

    def distrust(_, config):  # those of loopback are proxies else, for whom nobody counts
        config["inbounds"][0]["settings"]["trustedProxies"] = ["192.0.2.1"]

    redis = Redis(tmp_path)
    c = Cluster(tmp_path, 3, redis=redis, by_peers=True, doors={"door": ("t1", server.port)}, prepare=distrust)
    try:
        c.start()
        c.bridge("t1", server.port, [0])
        all_reach(c)
        at = (HOST, c.ports[2]["entry"])
        had, asked, began = memory(c), first_word(c, "cluster_asked")[2], time.monotonic()

        def invent(n):
            for i in range(150):
                host = f"{os.urandom(4).hex()}.a.b.c.d.e.f.g{HOSTS}" if n % 2 else f"{'x' * 60}.{n}-{i}{HOSTS}"
                assert visit(at, host).startswith(("404", "503"))
                if i % 30 == 0:
                    assert reaches(c, 2)

        in_parallel([lambda n=n: invent(n) for n in range(6)])
        took = time.monotonic() - began
        loops = WORKERS or 1  # each counts for itself
        assert first_word(c, "cluster_asked")[2] - asked <= loops * (200 + 50 * took) + 20
        assert_small(c, had)
    finally:
        c.stop()
        redis.stop()
