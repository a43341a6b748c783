"""Hostnames of bridges in a cluster: found from every portal, by HTTP and by TLS, and held by one tunnel only."""
import contextlib
import socket
import ssl
import threading

import pytest

from certs import Cert
from cluster import HOSTS, Cluster, Redis, visit
from origins import Server, labelled
from rig import SLOWER, wait_for

WWW = f"www{HOSTS}"


@pytest.fixture
def servers():
    made = [labelled("one"), labelled("two")]
    yield made
    for s in made:
        s.close()


@pytest.fixture
def redis(tmp_path):
    made = Redis(tmp_path)
    yield made
    made.stop()


@pytest.fixture(params=["peers", "redis"])
def cluster(request, tmp_path):
    shared = request.getfixturevalue("redis") if request.param == "redis" else None
    with contextlib.ExitStack() as made:
        yield lambda **more: made.enter_context(Cluster(tmp_path, redis=shared, **more))


@pytest.fixture
def with_redis(redis, tmp_path):
    """Three portals that know each other by Redis."""
    with Cluster(tmp_path, redis=redis) as made:
        yield made


def entry(cluster, i):
    return cluster.address(i), cluster.ports[i]["entry"]


def answer(cluster, i, host):
    """Whose answer a visitor of this portal gets: "one" or "two"; or a status."""
    for label in ("one", "two"):
        wrong = visit(entry(cluster, i), host, "/", label.encode())
        if not wrong:
            return label
    return wrong.split(":")[0]


def answers(cluster, host):
    return [answer(cluster, i, host) for i in range(len(cluster.nodes))]


def wait_answers(cluster, host, label, seconds=5 * SLOWER):
    wanted = [label] * len(cluster.nodes)
    wait_for(lambda: answers(cluster, host) == wanted, seconds, f"all portals to give {label} for {host}")


def test_a_name_is_found_from_every_portal(cluster, servers):
    c = cluster()
    c.bridge("t1", servers[0].port, [0], hosts=[WWW, f"*.sub{HOSTS}"])
    c.bridges[0].wait_log(f"reachable at http://{WWW}")
    wait_answers(c, WWW, "one")
    wait_answers(c, f"a.sub{HOSTS}", "one")
    assert answers(c, f"nobody{HOSTS}") == ["404"] * 3


def test_a_name_that_the_portal_gives_is_found_from_every_portal(cluster, servers):
    c = cluster()
    c.bridge("t1", servers[0].port, [1], hosts=["auto"])
    c.bridges[0].wait_log("reachable at http://")
    name = c.bridges[0].log().split("reachable at http://")[1].split()[0]
    wait_answers(c, name, "one")


def test_a_name_is_one_tunnels_only_wherever_others_ask_for_it(cluster, servers):
    c = cluster()
    c.bridge("t1", servers[0].port, [0], hosts=[WWW])
    c.bridges[0].wait_log(f"reachable at http://{WWW}")
    c.bridge("t2", servers[1].port, [1], hosts=[WWW])
    c.bridge("t1", servers[1].port, [2], hosts=[WWW], user="other")  # another tenant's is another tunnel
    for bridge in c.bridges[1:]:
        bridge.wait_log(f"not reachable at {WWW}: another tunnel has that name")
    wait_answers(c, WWW, "one")


def test_of_two_that_ask_at_once_one_gets_it(cluster, servers):
    c = cluster()
    names = [f"n{i}{HOSTS}" for i in range(30)]
    bridges = [c.bridge(f"t{i}", servers[i].port, [i], hosts=names) for i in (0, 1)]
    wait_for(lambda: sum(b.log().count("reachable at http:") for b in bridges) == 30, 10 * SLOWER, "all to be granted")
    for name in names:
        got = [f"reachable at http://{name}\n" in b.log() for b in bridges]
        assert sorted(got) == [False, True], name
        wait_answers(c, name, "two" if got[1] else "one")


def test_when_its_last_link_is_elsewhere_a_name_goes_with_it(cluster, servers):
    c = cluster()
    first = c.bridge("t1", servers[0].port, [0], hosts=[WWW], name="first")
    first.wait_log(f"reachable at http://{WWW}")
    wait_answers(c, WWW, "one")
    c.bridge("t1", servers[1].port, [2], hosts=[WWW], name="second")
    c.bridges[1].wait_log(f"reachable at http://{WWW}")
    first.kill()
    wait_answers(c, WWW, "two")


def test_tls_is_passed_to_where_the_name_is(cluster, tmp_path):
    cert, context = Cert([WWW]), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    files = cert.files(tmp_path, "server")
    context.load_cert_chain(files["certificateFile"], files["keyFile"])

    def greet(_, s):
        with context.wrap_socket(s, server_side=True) as t:
            t.sendall(b"hello")

    server, c = Server(greet), cluster()
    c.bridge("t1", server.port, [0], hosts=[WWW])
    c.bridges[0].wait_log(f"reachable at http://{WWW}")
    trusting = ssl.create_default_context(cadata=cert.pem)

    def greeted(i):
        try:
            with socket.create_connection(entry(c, i), 10) as s, trusting.wrap_socket(s, server_hostname=WWW) as t:
                return t.recv(5) == b"hello"
        except ssl.SSLError:  # nobody could say in time where the name is
            return False

    for i in (2, 1, 0):
        wait_for(lambda: greeted(i), 5 * SLOWER, f"TLS by portal {i}")
    server.close()


def test_who_tries_out_names_is_held_back_and_no_others(cluster, servers):
    def distrust(_, config):  # those of loopback are proxies else, for whom nobody counts
        config["inbounds"][0]["settings"]["trustedProxies"] = ["192.0.2.1"]

    c, count = cluster(count=2, prepare=distrust), 1000
    c.bridge("t1", servers[0].port, [0], hosts=[WWW])
    c.bridges[0].wait_log(f"reachable at http://{WWW}")
    wait_answers(c, WWW, "one")
    heads = "".join(f"GET / HTTP/1.1\r\nHost: x{i}{HOSTS}\r\n\r\n" for i in range(count)).encode()
    with socket.create_connection(entry(c, 1), 10) as s:
        s.settimeout(30)
        threading.Thread(target=s.sendall, args=(heads,), daemon=True).start()
        got = b""
        while got.count(b"HTTP/1.1 ") < count or not got.endswith(b"</html>\n"):
            got += s.recv(65536)
    assert got.startswith(b"HTTP/1.1 404 ") and got.count(b"HTTP/1.1 503 ") > count / 4
    assert answer(c, 1, WWW) == "one"  # what is known is not counted


# ------------------------------------------------------------------------------------------ a registry that fails


def granted(bridge, host=WWW):
    return f"reachable at http://{host}\n" in bridge.log()


def test_without_redis_a_name_stays_and_its_tunnel_may_come_back_elsewhere(with_redis, redis, servers):
    c = with_redis
    c.bridge("t1", servers[0].port, [0], hosts=[WWW])
    c.bridges[0].wait_log("reachable at http://")
    wait_answers(c, WWW, "one")
    redis.freeze()
    again = c.bridge("t1", servers[0].port, [2], hosts=[WWW])
    again.wait_log("reachable at http://")  # the first portal knows that it is this tunnel's
    thief = c.bridge("t2", servers[1].port, [1], hosts=[WWW])
    c.wait_carriers("t2", 1)
    assert answers(c, WWW) == ["one"] * 3 and not granted(thief)
    redis.thaw()
    thief.wait_log("another tunnel has that name", 15 * SLOWER)
    assert not granted(thief)
    wait_answers(c, WWW, "one")


def test_a_new_name_waits_for_redis(with_redis, redis, servers):
    c = with_redis
    redis.freeze()
    c.bridge("t1", servers[0].port, [0], hosts=[WWW])
    c.wait_carriers("t1", 1)
    assert set(answers(c, WWW)) <= {"404", "503"} and not granted(c.bridges[0])
    redis.thaw()
    c.bridges[0].wait_log("reachable at http://", 15 * SLOWER)
    wait_answers(c, WWW, "one")


def test_when_redis_forgets_all_nobody_takes_a_name_away(with_redis, redis, servers):
    c = with_redis
    c.bridge("t1", servers[0].port, [0], hosts=[WWW])
    c.bridges[0].wait_log("reachable at http://")
    wait_answers(c, WWW, "one")
    redis.ask("FLUSHALL")
    with c.visits([0, 1, 2], WWW, path="/", want=b"one") as visits:
        thief = c.bridge("t2", servers[1].port, [1], hosts=[WWW])
        c.wait_carriers("t2", 1)
        visits.go_on(2)
    assert not visits.failed() and not granted(thief)
    wait_for(lambda: any("t1" in str(redis.ask("GET", k)) for k in redis.keys("*h:*")), 45 * SLOWER, "the name")
