"""A visitor that stops reading costs bounded memory, and holds up the others for a bounded time."""
import socket
import threading
import time

import pytest

from configs import LOG, dokodemo
from origins import MB, known_bytes
from rig import HOST, SLOWER, connect, counters, free_port, http_get, in_parallel, read_exactly, wait_for

BOUND = 48 * MB * SLOWER
STALL_RULE = 10  # seconds after which the others must be served


def stuck(tunnel):
    """A visitor that reads a little of an endless answer and then nothing."""
    s = tunnel.ask("endless")
    read_exactly(s, 1 * MB)
    return s


def served(tunnel, timeout):
    try:
        return http_get(tunnel.web, "/small.txt", timeout=timeout).status == 200
    except (OSError, EOFError):
        return False


def memory(tunnel):
    kinds = ((tunnel.portal, tunnel.portal_kind), (tunnel.bridge, tunnel.bridge_kind))
    return [p.rss() for p, kind in kinds if kind == "v2c"]


@pytest.mark.quick
@pytest.mark.workers
@pytest.mark.pairings(("v2c", "v2c"), ("v2c", "v2ray"))
def test_one_stuck_visitor(own_tunnel, pairing):
    t = own_tunnel(pairing)
    before = memory(t)
    s = stuck(t)
    since = time.monotonic()
    wait_for(lambda: served(t, 12), STALL_RULE * SLOWER, "another visitor to be served")
    assert time.monotonic() - since <= STALL_RULE * SLOWER
    for _ in range(20):
        assert served(t, STALL_RULE * SLOWER)
    for old, new in zip(before, memory(t)):
        assert new - old <= BOUND
    s.close()


@pytest.mark.pairings(("v2c", "v2c"), ("v2c", "v2ray"))
def test_ten_stuck_visitors(own_tunnel, pairing):
    t = own_tunnel(pairing)
    before = memory(t)
    held = [t.ask("endless") for _ in range(10)]
    wait_for(lambda: served(t, 30), 30 * SLOWER, "another visitor to be served")
    for old, new in zip(before, memory(t)):
        assert new - old <= BOUND
    for s in held:
        s.close()
    assert served(t, STALL_RULE * SLOWER)


@pytest.mark.pairings(("v2c", "v2c"))
def test_slow_is_not_stuck(own_tunnel, pairing):
    """A visitor that reads slowly, but reads, gets everything; the others are served meanwhile."""
    t = own_tunnel(pairing)
    size, piece = 16 * MB, 64 * 1024
    done = threading.Event()

    def slowly():
        with t.ask(f"bytes {size}", 30) as s:
            for _ in range(size // piece):
                assert len(read_exactly(s, piece)) == piece
                done.wait(0.02)  # some 3 MB a second
        done.set()

    def others():
        count = 0
        while not done.is_set():
            assert served(t, STALL_RULE * SLOWER)
            count += 1
        return count

    assert in_parallel([slowly, others])[1] > 0
    assert counters(t.portal_status)["mux_stalled"] == 0


@pytest.mark.quick
@pytest.mark.pairings(("v2ray", "v2ray"))
def test_control_old_peers_let_all_wait(own_tunnel, pairing):
    t = own_tunnel(pairing)
    s = stuck(t)

    def all_wait():
        return not served(t, 2)

    wait_for(all_wait, 10, "a visitor who waits in vain")
    s.close()
    wait_for(lambda: served(t, 2), 10, "service after the stuck visitor has left")


def deaf(port):
    """Asks for an endless answer and takes next to nothing of it."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.settimeout(10 * SLOWER)
    s.connect((HOST, port))
    s.sendall(b"endless\n")
    read_exactly(s, 1)
    return s


@pytest.mark.v2c
@pytest.mark.quick
def test_without_a_tunnel_memory_is_bounded_too(run, origins):
    port = free_port()
    v2c = run("v2c", {
        "log": LOG,
        "memory": 16,
        "inbounds": [dokodemo("door", port, origins.odd)],
        "outbounds": [{"protocol": "freedom"}],
    })
    before = v2c.rss()
    held = in_parallel([lambda: deaf(port)] * 150)
    with connect(port, 20 * SLOWER) as s:  # meanwhile queues fill, and others are served
        s.sendall(b"bytes %d\n" % (20 * MB))
        assert read_exactly(s, 20 * MB) == known_bytes(20 * MB)
    assert v2c.rss() - before < 40 * MB * SLOWER
    for s in held:
        s.close()
