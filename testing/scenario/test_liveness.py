"""A link that is cut without a word is noticed; one that is only slow, or old, is left in peace."""
import hashlib
import time

import pytest

from gates import GateRelay, SlowRelay
from origins import known_bytes
from rig import (
    SLOWER, counters, http_get, in_parallel, read_exactly, read_to_end, wait_for,
)

BOTH_NEW = (("v2c", "v2c"),)
WITH_OLD = (("v2c", "v2ray"), ("v2ray", "v2c"))


def carriers(tunnel):
    return counters(tunnel.portal_status)["portal>>>portal>>>carriers"]


def timed_get(tunnel):
    since = time.monotonic()
    body = http_get(tunnel.web, "/small.txt", timeout=30).body
    return body, time.monotonic() - since


@pytest.fixture
def gated(own_tunnel):
    """Two links through gates."""

    def make(pairing):
        t = own_tunnel(pairing, via=GateRelay)
        wait_for(lambda: carriers(t) == 2, 5, "both links")
        return t

    return make


@pytest.mark.quick
@pytest.mark.pairings(*BOTH_NEW)
def test_links_that_die_at_rest_are_replaced_within_ten_seconds(gated, pairing):
    t = gated(pairing)
    before = t.relay.count
    t.relay.shut(list(t.relay.gates))
    since = time.monotonic()
    wait_for(lambda: t.relay.count >= before + 2, 12, "two new links")
    assert time.monotonic() - since <= 10 * SLOWER
    body, seconds = timed_get(t)
    assert body == b"small\n" and seconds <= 3 * SLOWER
    wait_for(lambda: carriers(t) == 2, 10, "the dead links to be dropped by the portal, too")


@pytest.mark.quick
@pytest.mark.pairings(*BOTH_NEW)
def test_visitor_waits_three_seconds_at_most_while_another_link_lives(gated, pairing):
    t = gated(pairing)
    t.relay.shut(t.relay.gates[:1])
    for body, seconds in in_parallel([lambda: timed_get(t) for _ in range(16)]):
        assert body == b"small\n" and seconds <= 3 * SLOWER
    for body, seconds in in_parallel([lambda: timed_get(t) for _ in range(16)]):
        assert body == b"small\n" and seconds <= 1 * SLOWER  # now it is known


@pytest.mark.quick
@pytest.mark.pairings(*BOTH_NEW)
def test_busy_link_dies_under_a_visitor_who_just_came(gated, pairing):
    """What still came from it in the same moment is no sign of life."""
    t = gated(pairing)
    held = [t.ask("endless", 20) for _ in range(4)]
    for s in held:
        read_exactly(s, 100_000)
    t.relay.shut(t.relay.gates[:1])
    for body, seconds in in_parallel([lambda: timed_get(t) for _ in range(16)]):
        assert body == b"small\n" and seconds <= 3.5 * SLOWER
    for s in held:
        s.close()


@pytest.mark.quick
@pytest.mark.pairings(*BOTH_NEW)
def test_stalled_for_two_seconds_loses_nothing(gated, pairing):
    t = gated(pairing)
    held = [t.ask("echo", 20) for _ in range(6)]
    for s in held:
        s.sendall(b"a")
        assert read_exactly(s, 1) == b"a"
    t.relay.shut(t.relay.gates)
    jobs = [lambda: timed_get(t)[0] for _ in range(8)]

    def reopen():
        end = time.monotonic() + 2
        wait_for(lambda: time.monotonic() > end, 5, "two seconds")
        for gate in t.relay.gates:
            gate.open.set()

    assert in_parallel([*jobs, reopen])[:-1] == [b"small\n"] * 8
    for s in held:
        s.sendall(b"b")
        assert read_exactly(s, 1) == b"b"
        s.close()


@pytest.mark.pairings(*BOTH_NEW)
def test_slow_path_loses_nothing(own_tunnel, pairing):
    """Every byte takes between one and two seconds, there and back."""
    t = own_tunnel(pairing, via=lambda port: SlowRelay(port, 1))
    t.relay.start()
    data = known_bytes(150_000)
    digest = hashlib.sha256(data).hexdigest().encode()

    def upload():
        with t.ask(f"sink {len(data)}", 40) as s:
            s.sendall(data)
            return read_to_end(s, 40).data

    def download():
        with t.ask(f"bytes {len(data)}", 40) as s:
            return hashlib.sha256(read_to_end(s, 40).data).hexdigest().encode()

    assert in_parallel([upload, download] * 3) == [digest] * 6


@pytest.mark.pairings(*WITH_OLD)
def test_old_peer_at_rest_is_left_in_peace(own_tunnel, pairing):
    """Half a minute in which nobody says a word, one stream held open."""
    t = own_tunnel(pairing, via=GateRelay)
    with t.ask("echo", 60) as held:
        held.sendall(b"a")
        assert read_exactly(held, 1) == b"a"
        links = 2 if pairing[1] == "v2c" else 1
        wait_for(lambda: t.relay.count == links, 5, "all links")
        assert read_to_end(held, 30).how == "open"
        held.sendall(b"b")
        held.settimeout(5)
        assert read_exactly(held, 1) == b"b"
    for _ in range(10):
        assert http_get(t.web, "/small.txt").body == b"small\n"
    assert t.relay.count == links
