"""Outbounds with mux: many visitors on a few connections to a server that is V2Ray, or v2c."""
import contextlib
import hashlib
from types import SimpleNamespace

import pytest

from configs import LOG, dokodemo, vmess_in, vmess_out
from origins import MB, known_bytes
from recorder import Recorder
from rig import (
    WORKERS, connect, free_port, free_ports, http_get, http_request, in_parallel, read_answer, read_exactly, read_to_end,
    wait_for,
)
from test_forward import datagram_comes_back

pytestmark = [pytest.mark.v2c, pytest.mark.workers]
USER = "11223344-5566-4788-99aa-bbccddeeff00"
SERVERS = ["v2ray", "v2c"]


def client_config(ports, link, origins, concurrency, security):
    out = vmess_out("out", link, USER, security)
    out["mux"] = {"enabled": True, "concurrency": concurrency}
    return {
        "log": LOG,
        "inbounds": [
            dokodemo("web", ports.web, origins.web),
            dokodemo("odd", ports.odd, origins.odd),
            dokodemo("banner", ports.banner, origins.banner),
            dokodemo("nobody", ports.nobody, ports.shut),
            dokodemo("udp", ports.udp, origins.udp, network="udp"),
        ],
        "outbounds": [out],
    }


@pytest.fixture
def mux(run, origins):
    """A client with mux, a recorder on the way, and a server."""
    made = []

    def start(server, concurrency=8, security="auto"):
        names = ("web", "odd", "banner", "nobody", "shut", "server")
        t = SimpleNamespace(**dict(zip(names, free_ports(len(names)))))
        t.udp = free_port(udp=True)
        t.far = run(
            server,
            {
                "log": LOG,
                "inbounds": [vmess_in("in", t.server, [(USER, "user@test")])],
                "outbounds": [{"protocol": "freedom"}],
            },
            "server",
        )
        t.recorder = Recorder(t.server)
        made.append(t.recorder)
        t.client = run("v2c", client_config(t, t.recorder.port, origins, concurrency, security), "client")
        t.links = lambda: len(t.recorder.recordings)
        return t

    yield start
    for recorder in made:
        recorder.close()


@pytest.mark.quick
@pytest.mark.parametrize("security", ["auto", "none"])
@pytest.mark.parametrize("server", SERVERS)
def test_all_that_visitors_do_passes_through_mux(mux, origins, server, security):
    t = mux(server, security=security)
    assert http_get(t.web, "/small.txt") == (200, b"small\n")
    digest = hashlib.sha256()
    with connect(t.web, 60) as s:
        s.sendall(http_request("/big.bin"))
        assert read_answer(s, digest.update).status == 200
    assert digest.hexdigest() == origins.big_sha256
    body = known_bytes(5 * MB)
    with connect(t.odd, 60) as s:
        s.sendall(b"sink %d\n" % len(body) + body)
        assert read_exactly(s, 64).decode() == hashlib.sha256(body).hexdigest()
    with connect(t.banner) as s:  # the server speaks first
        assert s.recv(100)
    for size in (1, 500, 1400, 1900):
        assert datagram_comes_back(t.udp, known_bytes(size)), f"datagram of {size} bytes"
    assert t.links() <= max(1, WORKERS)


@pytest.mark.quick
@pytest.mark.parametrize("server", SERVERS)
def test_no_connection_carries_more_than_its_share(mux, server):
    """Seven at once, three on each."""
    t = mux(server, concurrency=3)
    held = [connect(t.odd) for _ in range(7)]
    for s in held:
        s.sendall(b"echo\nping")
        assert read_exactly(s, 4) == b"ping"
    news = [sum(f.status == 1 for f in r.frames(USER)[0]) for r in t.recorder.recordings]
    assert sum(news) == 7 and max(news) <= 3, news
    for s in held:
        s.close()


@pytest.mark.quick
@pytest.mark.parametrize("server", SERVERS)
def test_many_visitors_one_after_the_other(mux, server):
    """More than the 128 streams after which a connection is worn."""
    t = mux(server)
    for _ in range(20):
        bodies = in_parallel([lambda: http_get(t.web, "/small.txt").body] * 15)
        assert bodies == [b"small\n"] * 15
    news = [sum(f.status == 1 for f in r.frames(USER)[0]) for r in t.recorder.recordings]
    assert sum(news) == 300 and max(news) <= 128, news


@pytest.mark.quick
@pytest.mark.parametrize("server", SERVERS)
def test_a_target_that_refuses_ends_its_visitor_only(mux, server):
    t = mux(server)
    with connect(t.odd) as other:
        other.sendall(b"echo\n1")
        assert read_exactly(other, 1) == b"1"
        with contextlib.suppress(ConnectionError), connect(t.nobody) as s:
            s.sendall(b"hello")
            assert read_to_end(s)[0] == b""
        other.sendall(b"2")
        assert read_exactly(other, 1) == b"2"


@pytest.mark.quick
@pytest.mark.parametrize("server", SERVERS)
def test_a_connection_that_is_cut_is_replaced(mux, server):
    t = mux(server)
    assert http_get(t.web, "/small.txt").status == 200
    with connect(t.odd) as s:
        s.sendall(b"echo\n1")
        assert read_exactly(s, 1) == b"1"
        t.recorder.cut()
        read_to_end(s)
    wait_for(lambda: http_get(t.web, "/small.txt").status == 200, 5, "an answer on a new connection")
    assert t.links() >= 2


@pytest.mark.quick
def test_a_reload_keeps_the_connections_of_an_outbound_that_stays(mux, run):
    t = mux("v2c")
    with connect(t.odd) as s:
        s.sendall(b"echo\n1")
        assert read_exactly(s, 1) == b"1"
        before = t.links()
        t.client.process.send_signal(1)
        t.client.wait_log("reload: done")
        s.sendall(b"2")
        assert read_exactly(s, 1) == b"2"
        assert http_get(t.web, "/small.txt").status == 200
        assert t.links() <= before + 1
