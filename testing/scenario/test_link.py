"""What two v2c peers add to a link, seen on the path, and that an old peer is left in peace by it."""
import time

import pytest

import link
import peer
from origins import MB, known_bytes
from recorder import Recorder
from rig import (
    HOST, SLOWER, counters, http_get, in_parallel, read_exactly, read_to_end, wait_for,
)

STRAY = 65535
NEW_NEW, NEW_OLD, OLD_NEW = ("v2c", "v2c"), ("v2c", "v2ray"), ("v2ray", "v2c")


@pytest.fixture
def recorded(own_tunnel):
    return lambda pairing: own_tunnel(pairing, via=Recorder)


def said(tunnel):
    """Frames of all links: what the bridge wrote, and what the portal did."""
    both = [r.frames(tunnel.user_id) for r in tunnel.relay.recordings]
    return [f for up, _ in both for f in up], [f for _, down in both for f in down]


def kinds(frames):
    """The link messages' items in them."""
    return [k for f in frames if f.status == peer.KEEPALIVE for k, _ in link.items(f.data)]


def use(tunnel):
    """All that a tunnel is for."""
    data = known_bytes(300_000)
    assert http_get(tunnel.web, "/small.txt").body == b"small\n"
    with tunnel.ask(f"bytes {len(data)}") as s:
        assert read_to_end(s).data == data
    with tunnel.ask("echo") as s:
        s.sendall(data[:50_000])
        assert read_exactly(s, 50_000) == data[:50_000]


# ------------------------------------------------------------------------------------------ two v2c peers


@pytest.mark.quick
@pytest.mark.pairings(NEW_NEW)
def test_both_sides_say_hello_first(recorded, pairing):
    t = recorded(pairing)
    for recording in t.relay.recordings:
        wait_for(lambda r=recording: all(r.frames(t.user_id)), 5, "both sides to speak")
        for frames, size in zip(recording.frames(t.user_id), (21, 13)):
            (kind, value), = link.items(frames[0].data)
            assert frames[0].stream == 0 and frames[0].status == peer.KEEPALIVE
            assert kind == link.HELLO and value[0] == 2 and len(value) == size
            assert kinds(frames).count(link.HELLO) == 1


@pytest.mark.quick
@pytest.mark.pairings(NEW_NEW)
def test_all_links_of_a_bridge_say_whose_they_are(own_tunnel, pairing):
    """Whichever worker dialled them; and after a restart it is another one."""
    def prepare(t):
        t.bridge_config["workers"] = 4
        t.bridge_config["reverse"]["bridges"][0]["connections"] = 4

    def instances(t, links):
        def all_said():
            said = [r.frames(t.user_id)[0] for r in t.relay.recordings[links]]
            return said if len(said) >= 4 and all(said) else None

        hellos = [link.items(up[0].data)[0][1] for up in wait_for(all_said, 5 * SLOWER, "four links")]
        return {value[13:] for value in hellos}

    t = own_tunnel(pairing, prepare, via=Recorder)
    first = instances(t, slice(None))
    assert len(first) == 1 and len(*first) == 8
    t.bridge.kill()
    count = len(t.relay.recordings)
    t.bridge.start()
    second = instances(t, slice(count, None))
    assert len(second) == 1 and second != first


@pytest.mark.quick
@pytest.mark.pairings(NEW_NEW)
def test_streams_are_answered_and_told_their_visitor(recorded, pairing):
    t = recorded(pairing)
    use(t)
    with t.ask("silent") as s:
        port = s.getsockname()[1]
        expected = b"\x01" + port.to_bytes(2, "big") + peer.address(HOST)

        def asked():
            return [f for f in said(t)[1] if f.extra == expected]

        def opened():
            wanted = (link.OPENED, asked()[0].stream.to_bytes(2, "big"))
            return wanted in [i for f in said(t)[0] for i in link.items(f.data)]

        wait_for(asked, 5, "the visitor's address")
        wait_for(opened, 5, "OPENED from a target that says nothing")


def sent_bytes(frames):
    """By stream; of one link."""
    sent = {}
    for f in frames:
        if f.status == peer.KEEP:
            sent[f.stream] = sent.get(f.stream, 0) + len(f.data)
    return sent


def granted(frames):
    """The same."""
    credit = {}
    for f in frames:
        for kind, value in link.items(f.data) if f.status == peer.KEEPALIVE else ():
            if kind == link.WINDOW:
                stream = int.from_bytes(value[:2], "big")
                credit[stream] = credit.get(stream, 0) + int.from_bytes(value[2:], "big")
    return credit


@pytest.mark.quick
@pytest.mark.pairings(NEW_NEW)
def test_windows_are_kept_and_given_back(recorded, pairing):
    """No side has ever sent more of a stream than the other had allowed until then, or could have."""
    t = recorded(pairing)
    use(t)
    with t.ask("endless", 20) as s:
        read_exactly(s, 3 * MB)
    most_sent = most_credit = 0
    for recording in t.relay.recordings:
        up, down = recording.frames(t.user_id)
        if not down:
            continue  # a second link that only just begins
        first = int.from_bytes(link.items(down[0].data)[0][1][5:9], "big")
        sent, credit = sent_bytes(up), granted(down)
        for stream, count in sent.items():
            assert count <= first + credit.get(stream, 0)
        most_sent = max([most_sent, *sent.values()])
        most_credit = max([most_credit, *credit.values()])
    assert most_sent > 3 * MB and most_credit > 2 * MB


def fast(tunnel, seconds):
    since = time.monotonic()
    assert http_get(tunnel.web, "/small.txt", timeout=10).body == b"small\n"
    return time.monotonic() - since <= seconds * SLOWER


@pytest.mark.quick
@pytest.mark.pairings(NEW_NEW)
def test_visitors_that_do_not_read_or_are_not_read_cost_the_others_nothing(own_tunnel, pairing):
    t = own_tunnel(pairing)
    downloads = [t.ask("endless", 20) for _ in range(20)]
    uploads = [t.ask("echo", 20) for _ in range(20)]
    for s in uploads:
        s.settimeout(0.5)
        try:
            while True:
                s.send(known_bytes(100_000))
        except TimeoutError:
            s.settimeout(20)
    for _ in range(50):
        assert fast(t, 1)
    data = known_bytes(5 * MB)
    with t.ask(f"bytes {len(data)}", 20) as s:
        assert read_to_end(s, 20).data == data
    for status in (t.portal_status, t.bridge_status):
        assert counters(status)["mux_stalled"] == 0
        assert counters(status)["mux_shed"] == 0
    for s in downloads:
        assert read_exactly(s, 2 * MB) == known_bytes(2 * MB)
        s.close()
    for s in uploads:
        assert read_exactly(s, 100_000) == known_bytes(100_000)
        s.close()
    assert fast(t, 1)


# ------------------------------------------------------------------------------------------ an old peer


@pytest.mark.quick
@pytest.mark.pairings(NEW_OLD, OLD_NEW)
def test_an_old_peer_hears_nothing_but_hello(recorded, pairing):
    """And no visitor's address, and says nothing of the kind itself."""
    t = recorded(pairing)
    use(t)
    up, down = said(t)
    new, old = (down, up) if pairing == NEW_OLD else (up, down)
    assert kinds(new) == [link.HELLO] * t.relay.count
    assert kinds(old) == []
    assert not [f for f in down if f.status == peer.NEW and f.extra]
    assert t.relay.count == len(t.relay.recordings)


@pytest.mark.pairings(NEW_OLD)
def test_an_old_bridge_that_is_quiet_answers_the_stray(recorded, pairing):
    t = recorded(pairing)
    with t.ask("echo", 20) as held:
        held.sendall(b"a")
        assert read_exactly(held, 1) == b"a"

        def asked():
            return [f for f in said(t)[1] if f.stream == STRAY and f.status == peer.KEEP]

        def answered():
            return [f for f in said(t)[0] if f.stream == STRAY and f.status == peer.END]

        wait_for(answered, 10, "an End for the stray")
        assert len(asked()[0].data) == 1
        held.sendall(b"b")
        assert read_exactly(held, 1) == b"b"
    use(t)
    assert t.relay.count == 1


@pytest.mark.pairings(NEW_OLD, OLD_NEW)
def test_an_old_peer_serves_many_at_once(recorded, pairing):
    t = recorded(pairing)
    in_parallel([lambda: use(t) for _ in range(8)])
    assert kinds(said(t)[0 if pairing == NEW_OLD else 1]) == []
