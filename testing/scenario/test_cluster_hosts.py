"""Hostnames of bridges in a cluster: found from every portal, by HTTP and by TLS, and held by one tunnel only."""
import socket
import ssl

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


@pytest.fixture(params=["peers", "redis"])
def cluster(request, tmp_path):
    made, redis = [], Redis(tmp_path) if request.param == "redis" else None

    def start(**more):
        made.append(Cluster(tmp_path, redis=redis, **more))
        return made[-1].start()

    yield start
    for c in made:
        c.stop()
    if redis:
        redis.stop()


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
    for i in (2, 1, 0):
        with socket.create_connection(entry(c, i), 10) as s, trusting.wrap_socket(s, server_hostname=WWW) as t:
            assert t.recv(5) == b"hello"
    server.close()


def test_who_tries_out_names_is_held_back_and_no_others(cluster, servers):
    c = cluster(count=2)
    c.bridge("t1", servers[0].port, [0], hosts=[WWW])
    c.bridges[0].wait_log(f"reachable at http://{WWW}")
    wait_answers(c, WWW, "one")
    found = [visit(entry(c, 1), f"x{i}{HOSTS}", timeout=5).split(":")[0] for i in range(400)]
    assert found[0] == "404" and found[-1] == "503", found
    assert answer(c, 1, WWW) == "one"  # what is known is not counted
