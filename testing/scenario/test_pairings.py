"""What every tunnel must carry, for all four pairings of portal and bridge."""
import contextlib
import hashlib
import socket

import pytest

from origins import BANNER, DISTINCT, MB, distinct_file, known_bytes
from rig import (
    SLOWER, connect, counters, free_port, http_get, http_request, in_parallel, read_answer,
    read_exactly, read_to_end, reset, wait_for,
)

pytestmark = pytest.mark.workers
SECURITIES = ("auto", "aes-128-gcm", "chacha20-poly1305", "none")


@pytest.fixture(params=SECURITIES)
def security(request):
    return request.param


@pytest.mark.quick
def test_small_and_empty_answers(tunnels, pairing, security):
    t = tunnels.get(pairing, security)
    assert http_get(t.web, "/small.txt") == (200, b"small\n")
    assert http_get(t.web, "/empty.txt") == (200, b"")
    assert http_get(t.web, "/absent.txt").status == 404


@pytest.mark.quick
def test_server_that_speaks_first(tunnels, pairing):
    t = tunnels.get(pairing)
    with connect(t.banner) as s:
        assert read_exactly(s, len(BANNER)) == BANNER
        s.sendall(b"noop")
        assert read_exactly(s, 4) == b"NOOP"


def test_download(tunnels, origins, pairing, security):
    t = tunnels.get(pairing, security)
    digest = hashlib.sha256()
    with connect(t.web, 60) as s:
        s.sendall(http_request("/big.bin"))
        assert read_answer(s, digest.update).status == 200
    assert digest.hexdigest() == origins.big_sha256


def test_upload(tunnels, pairing, security):
    t = tunnels.get(pairing, security)
    body = known_bytes(30 * MB)
    with t.ask(f"sink {len(body)}", 60) as s:
        s.sendall(body)
        assert read_exactly(s, 64).decode() == hashlib.sha256(body).hexdigest()


@pytest.mark.quick
def test_both_directions_at_once(tunnels, pairing):
    t = tunnels.get(pairing)
    body = known_bytes(4 * MB)
    with t.ask("echo", 60) as s:
        got, _ = in_parallel([lambda: read_exactly(s, len(body)), lambda: s.sendall(body)])
    assert hashlib.sha256(got).digest() == hashlib.sha256(body).digest()


@pytest.mark.quick
def test_parallel_streams_do_not_mix(tunnels, pairing, security):
    t = tunnels.get(pairing, security)
    answers = in_parallel(
        [lambda i=i: http_get(t.web, f"/{i}.bin", timeout=40) for i in range(DISTINCT)]
    )
    for i, answer in enumerate(answers):
        assert answer.status == 200
        assert answer.body == distinct_file(i), f"stream {i} got other bytes"


@pytest.mark.quick
def test_many_requests_on_one_connection(tunnels, pairing, security):
    t = tunnels.get(pairing, security)
    with connect(t.web) as s:
        for i in range(150):
            s.sendall(http_request(f"/{i % 4}.bin", keep=True))
            assert read_answer(s).body == distinct_file(i % 4)


def test_many_short_connections(tunnels, pairing, security):
    t = tunnels.get(pairing, security)

    def some():
        return [http_get(t.web, "/small.txt", 20).body for _ in range(60)]

    for bodies in in_parallel([some] * 5):
        assert bodies == [b"small\n"] * 60


def flows_live(status_port):
    """Without links, of which there may be more later. The request that asks is itself a flow, perhaps more than one."""
    found = counters(status_port)
    return found["flows_live"] - sum(n for name, n in found.items() if name.endswith(">>>carriers"))


@pytest.mark.quick
def test_visitors_that_vanish(tunnels, pairing):
    """In the middle of a download, half with RST and half with a plain close."""
    t = tunnels.get(pairing)
    http_get(t.web, "/small.txt")
    status = [p for p in (t.portal_status, t.bridge_status) if p]
    before = [wait_for(lambda p=p: flows_live(p), 5, "counters") for p in status]
    for i in range(24):
        s = connect(t.web)
        s.sendall(http_request("/big.bin"))
        read_exactly(s, 100_000)
        reset(s) if i % 2 else s.close()
    assert http_get(t.web, "/small.txt", timeout=15).body == b"small\n"
    for port, count in zip(status, before):
        wait_for(lambda: flows_live(port) <= count, 15 * SLOWER, f"flows_live to return to {count}")


def datagram_echo(port, size, tries=1):
    body = known_bytes(size + 7)[7:]
    for _ in range(tries):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(3)
            s.connect(("127.0.0.1", port))
            s.send(body)
            with contextlib.suppress(TimeoutError):
                return s.recv(65536) == body
    return False


def tries(tunnel):
    """V2Ray loses datagrams of a source whose port it has just forgotten; another port helps."""
    return 1 if tunnel.both_new() else 4


@pytest.mark.quick
def test_datagrams(tunnels, pairing, security):
    t = tunnels.get(pairing, security)
    sizes = [1, 2, 3, 17, 100, 511, 512, 1000, 1200, 1400, 1472, 1500, 1800, 1900]
    if t.both_new():
        sizes += [1966, 2000, 2048, 2049, 3000, 4000]
    for size in sizes:
        assert datagram_echo(t.udp, size, tries(t)), f"{size} bytes"


@pytest.mark.quick
def test_datagrams_of_one_visitor_keep_their_borders(tunnels, pairing):
    t = tunnels.get(pairing)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.connect(("127.0.0.1", t.udp))
        for i in range(1, 60):
            body = bytes([i]) * (i * 20)
            s.send(body)
            assert s.recv(65536) == body


def test_too_large_datagram_harms_nobody(tunnels, pairing):
    """V2Ray truncates or drops it; what matters is that the link goes on."""
    t = tunnels.get(pairing)
    with t.ask("echo") as held:
        held.sendall(b"a")
        assert read_exactly(held, 1) == b"a"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(bytes(9000), ("127.0.0.1", t.udp))
        assert datagram_echo(t.udp, 500, tries(t))
        held.sendall(b"b")
        assert read_exactly(held, 1) == b"b"


@pytest.mark.quick
def test_closed_origin_port(own_tunnel, pairing):
    """The visitor is turned away and the tunnel serves on."""
    def prepare(tunnel):
        for inbound in tunnel.portal_config["inbounds"]:
            if inbound["tag"] == "banner":
                inbound["settings"]["port"] = free_port()

    t = own_tunnel(pairing, prepare)
    try:
        with connect(t.banner, 10) as s:
            s.sendall(b"anyone?")
            end = read_to_end(s, 10)
        assert end.data == b"" and end.how != "open"
    except ConnectionError:  # reset before a word was said
        pass
    assert http_get(t.web, "/small.txt").body == b"small\n"
