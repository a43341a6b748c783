"""An authenticated peer that speaks the link messages of docs/link.md and means no good.

Whatever it says: nothing ends but its own link or stream, memory stays bounded, and the visitors of an
honest bridge are served.
"""
import os
import socket
import struct
import threading
import time

import pytest

import link
import peer
from configs import DOMAIN, Tunnel, bridge_config
from origins import MB, Server
from rig import (
    HOST, SANITIZED, SLOWER, connect, counters, http_get, in_parallel, read_to_end, used, wait_for,
)
from test_hostile import FakePortal, echoes, next_frame, open_stream

pytestmark = pytest.mark.v2c
BOTH_NEW = ("v2c", "v2c")
MEMORY = 32 * MB * (4 if SANITIZED else 1)
HUGE = 0xFFFFFFFF


# ------------------------------------------------------------------------------------- a hostile portal


@pytest.fixture
def portal():
    fake = FakePortal()
    yield fake
    fake.listener.close()


@pytest.fixture
def bridge(run, portal):
    config = bridge_config(portal.port, portal.user_id)
    config["reverse"]["bridges"][0]["connections"] = 1
    return run("v2c", config, "bridge")


@pytest.fixture
def hostile(bridge, portal):
    """A link on which both sides have said HELLO."""
    with portal.link() as accepted:
        accepted.send(link.note(link.hello()))
        yield accepted


def say_pong(client, f):
    for kind, value in link.items(f.data) if f.status == peer.KEEPALIVE else ():
        if kind == link.PING:
            client.send(link.note(link.pong(value)))


def read_some(client, seconds, sink=lambda f: None):
    """Frames for so long, pings answered; then how it stands: "open" or "ended"."""
    end = time.monotonic() + seconds
    try:
        while (left := end - time.monotonic()) > 0:
            client.s.settimeout(left)
            f = peer.read_frame(client.read)
            say_pong(client, f)
            sink(f)
    except TimeoutError:
        pass
    except (OSError, EOFError, ValueError):
        return "ended"
    finally:
        client.s.settimeout(10)
    return "open"


def flood(client, data, count, timeout=3 * SLOWER):
    """Sends without reading a byte. False: the other side had enough, and ended or stopped reading."""
    client.s.settimeout(timeout)
    try:
        for _ in range(count):
            client.send(data)
    except OSError:
        return False
    return True


def serves_a_new_link(portal, origins):
    with portal.link(15 * SLOWER) as fresh:
        return echoes(fresh, 1, origins)


STRANGE_ITEMS = {
    "window for an unknown stream": link.window(4711, 1000),
    "window for stream 0": link.window(0, HUGE),
    "window of 0": link.window(1, 0),
    "blocked, unknown": link.of_stream(link.BLOCKED, 999),
    "opened by a client": link.opened(1),
    "refused by a client": link.refused(1, link.TARGET),
    "refused for an unknown reason": link.refused(1, 250),
    "pong that nobody asked for": link.pong(b"12345678"),
    "short window": link.item(link.WINDOW, b"\0\1"),
    "empty items": b"".join(link.item(k, b"") for k in range(256)),
    "unknown items": link.item(99, b"x" * 300),
    "length behind the end": struct.pack(">BH", link.WINDOW, 60_000) + b"\0\1",
    "second hello": link.hello(window=0, streams=0, features=0),
    "second hello, version 0": link.hello(version=0),
    "hello within": link.hello() * 20,
    "names of a portal": link.names("a", "b", "c", 255),
    "host of a portal": link.host("a.test"),
    "answers about hosts that nobody wanted": b"".join(
        link.host_answer(a, "x" * 40) for a in (0, 1, 2, 3, 4, 5, 255)
    ),
    "a reason of other bytes": link.why(b"\x1b[2J\n\0"),
    "a reason that is too long": link.why("w" * 121),
    "texts behind the end": link.item(link.WHY, b"\xffw") + link.item(link.HOST_ANSWER, b"\1\xfax"),
}


@pytest.mark.quick
@pytest.mark.parametrize("name", STRANGE_ITEMS)
def test_bridge_takes_strange_items_calmly(hostile, origins, name):
    assert echoes(hostile, 1, origins)
    hostile.send(link.note(STRANGE_ITEMS[name]))
    hostile.send(peer.frame(1, peer.KEEP, b"still"))
    assert next_frame(hostile, 1).data == b"still"
    assert echoes(hostile, 2, origins)


@pytest.mark.quick
def test_credit_overflows_nothing(hostile, origins):
    """Four gigabytes of credit, a thousand times."""
    open_stream(hostile, 1, origins)
    assert next_frame(hostile, 1).data == b"hello"
    for _ in range(100):
        hostile.send(link.note(*[link.window(1, HUGE)] * 50))
    hostile.send(peer.frame(1, peer.KEEP, b"x" * 10_000))
    got = b""
    while len(got) < 10_000:
        got += next_frame(hostile, 1).data
    assert got == b"x" * 10_000
    assert echoes(hostile, 2, origins)


@pytest.mark.quick
def test_notes_about_ended_and_udp_streams(hostile, origins):
    assert echoes(hostile, 1, origins)
    hostile.send(peer.frame(1, peer.END))
    open_stream(hostile, 2, origins, b"datagram", peer.UDP, origins.udp)
    assert next_frame(hostile, 2).data == b"datagram"
    for stream in (1, 2):
        for kind in (link.BLOCKED, link.OPENED):
            hostile.send(link.note(link.of_stream(kind, stream)))
        hostile.send(link.note(link.window(stream, HUGE), link.refused(stream, link.NO_ROOM)))
    hostile.send(peer.frame(2, peer.KEEP, b"again"))
    assert next_frame(hostile, 2).data == b"again"
    assert echoes(hostile, 3, origins)


def upload_without_credit(client, stream, total):
    """So many bytes, as fast as they go, whatever the windows say."""
    piece = peer.frame(stream, peer.KEEP, bytes(16_000))
    return flood(client, piece * 8, total // (16_000 * 8), 20 * SLOWER)


@pytest.mark.quick
def test_data_beyond_the_window_is_not_hoarded(hostile, bridge, portal, origins):
    """The target reads nothing; 30 MB more than may be sent are."""
    def listen(_, s):
        stop.wait(60)

    stop = threading.Event()
    server = Server(listen)
    try:
        before = bridge.rss()
        open_stream(hostile, 1, origins, b"x", port=server.port)
        upload_without_credit(hostile, 1, 30 * MB)
        assert bridge.rss() - before < MEMORY
        state = read_some(hostile, 1)
        assert bridge.rss() - before < MEMORY
        assert state == "ended" or echoes(hostile, 2, origins)
    finally:
        stop.set()
        server.close()
    assert bridge.alive()


@pytest.mark.quick
def test_peer_that_grants_nothing_gets_its_first_window(bridge, portal, origins):
    """60 MB want to come, 1000 bytes may; other streams have their own windows."""
    with portal.link() as client:
        client.send(link.note(link.hello(window=1000)))
        before = bridge.rss()
        for stream in range(1, 21):
            open_stream(client, stream, origins, b"endless\n")
        got = dict.fromkeys(range(1, 21), 0)

        def count(f):
            if f.stream in got:
                got[f.stream] += len(f.data)

        assert read_some(client, 2 * SLOWER, count) == "open"
        assert set(got.values()) == {1000}
        assert bridge.rss() - before < MEMORY
        assert echoes(client, 50, origins)


@pytest.mark.quick
def test_window_of_nothing(bridge, portal, origins):
    """HELLO with a window of 0 and no streams: nothing comes before there is credit."""
    with portal.link() as client:
        client.send(link.note(link.hello(window=0, streams=0)))
        open_stream(client, 1, origins, b"bytes 100\n")
        got = []
        read_some(client, 1, lambda f: got.append(f) if f.stream == 1 else None)
        assert sum(len(f.data) for f in got) == 0
        client.send(link.note(link.window(1, 60)))
        f = next_frame(client, 1)
        assert len(f.data) == 60
        client.send(link.note(link.window(1, 60)))
        assert len(next_frame(client, 1).data) == 40


FLOODS = {
    "pings": link.note(*[link.ping()] * 40) * 20,
    "goaways": link.note(*[link.goaway(HUGE)] * 40) * 20,
    "hellos": link.note(*[link.hello()] * 20) * 20,
    "windows": link.note(*[link.window(1, HUGE)] * 40) * 20,
    "refusals": link.note(*[link.refused(1, 3)] * 40) * 20,
    "names": b"".join(
        link.note(*[link.names(f"n{i}", f"c{j}", "", j) for j in range(20)]) for i in range(20)
    ),
    "hosts": b"".join(
        link.note(*[link.host(f"h{i}.h{j}.test") for j in range(20)]) for i in range(20)
    ),
    "weights": link.note(*[link.weight(i) for i in range(80)]) * 20,
    "reasons": link.note(*[link.why(f"because of {i}") for i in range(20)]) * 20,
    "empty notes": link.note() * 800,
    "64 KB of items": peer.frame(0, peer.KEEPALIVE, link.MAGIC + link.ping() * 5900),
}


@pytest.mark.quick
@pytest.mark.parametrize("name", FLOODS)
def test_bridge_is_not_flooded(hostile, bridge, portal, origins, name):
    """20 MB and more of notes, whose answers nobody reads."""
    assert echoes(hostile, 1, origins)
    before = bridge.rss()
    flood(hostile, FLOODS[name], 20 * MB // len(FLOODS[name]))
    assert bridge.rss() - before < MEMORY
    if name == "goaways":  # it was told to stay away for long; 60 s are the most
        hostile.close()
        assert portal.no_link_within(3)
    elif read_some(hostile, 0.5) == "ended":
        hostile.close()
        assert serves_a_new_link(portal, origins)
    assert bridge.alive()


@pytest.mark.quick
def test_forged_sources_are_read_and_no_more(hostile, bridge, origins):
    """What stands behind the target in New: every kind of nonsense, and honest ones."""
    target = {"network": peer.TCP, "host": HOST, "port": origins.odd}
    extras = [
        b"\1", b"\1\0", b"\1\0\x50", b"\1\0\x50\2", b"\1\0\x50\2\xff", b"\1\0\x50\7abcd",
        b"\2\0\x50\1\1\2\3\4", b"\1\0\x50\1\x0a\1\2\3", b"\1\0\x50\3" + bytes(16),
        b"\1\0\x50\2\x09bad\r\nname", b"\1\0\x50\2\x04%n%s", os.urandom(300), bytes(480),
    ]
    for stream, extra in enumerate(extras, 1):
        hostile.send(peer.frame(stream, peer.NEW, b"echo\nhello", extra=extra, **target))
        f = next_frame(hostile, stream)
        assert f.data == b"hello" or f.status == peer.END
    assert echoes(hostile, 1000, origins)
    assert "bad\r\nname" not in bridge.log()


@pytest.mark.quick
def test_streams_opened_and_never_read(hostile, bridge, portal, origins):
    """Every answer is owed and none is read."""
    before = bridge.rss()
    new = [
        peer.frame(i, peer.NEW, b"silent\n", network=peer.TCP, host=HOST, port=origins.odd)
        for i in range(1, 2000)
    ]
    flood(hostile, b"".join(new), 1)
    new = [peer.frame(i, peer.NEW, network=peer.TCP, host=DOMAIN, port=1) for i in range(2000, 60_000)]
    flood(hostile, b"".join(new), 1)
    assert bridge.rss() - before < 3 * MEMORY
    hostile.close()
    assert serves_a_new_link(portal, origins)


# ------------------------------------------------------------------------------------- a hostile bridge


class Bridge:
    """A bridge of our making: says HELLO, then calls `serve(frame, bridge)` for every New of a visitor."""

    def __init__(self, tunnel, serve=lambda f, b: None, **hello):
        request = peer.Request(peer.TCP, DOMAIN, 0)
        self.c = peer.Client(tunnel.link, tunnel.user_id, request)
        self.c.start(link.note(link.hello(**hello)))
        self.serve, self.news, self.bytes = serve, 0, {}
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            while True:
                f = peer.read_frame(self.c.read)
                say_pong(self.c, f)
                if f.status == peer.NEW and f.network == peer.TCP:
                    self.news += 1
                    self.serve(f, self)
                elif f.status == peer.KEEP:
                    self.bytes[f.stream] = self.bytes.get(f.stream, 0) + len(f.data)
        except Exception:  # whatever ends the link; the test looks at the other side
            pass

    def close(self):
        """Only shutdown() ends a connection in which a thread reads."""
        try:
            self.c.s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.thread.join(10)
        self.c.close()


@pytest.fixture(scope="module")
def attacked(origins, tmp_path_factory):
    """A tunnel that only these tests use: streams that others leave open are weighed against a hostile link."""
    t = Tunnel(tmp_path_factory.mktemp("attacked"), origins, *BOTH_NEW)
    try:
        yield t.start()
        t.stop()
    finally:
        t.end_now()


@pytest.fixture
def tunnel(attacked):
    used.extend((attacked.portal, attacked.bridge))
    return attacked


def joined(tunnel, before):
    name = "portal>>>portal>>>carriers"
    wait_for(lambda: counters(tunnel.portal_status)[name] > before[name], 5, "the hostile link")


@pytest.fixture
def intruder(tunnel):
    """Makes hostile bridges that are gone after the test, and looks after the others' visitors."""
    made = []

    def make(*args, **hello):
        before = counters(tunnel.portal_status)
        made.append(Bridge(tunnel, *args, **hello))
        joined(tunnel, before)
        return made[-1]

    make.rss = tunnel.portal.rss()
    yield make
    assert tunnel.portal.rss() - make.rss < MEMORY
    for bridge in made:
        bridge.close()
    assert tunnel.alive()
    for _ in range(10):
        assert http_get(tunnel.web, "/small.txt").body == b"small\n"


def good_visits(tunnel, count, timeout=10):
    def visit():
        try:
            return http_get(tunnel.web, "/small.txt", timeout=timeout).body == b"small\n"
        except (OSError, EOFError):
            return False

    return sum(in_parallel([visit] * count))


@pytest.mark.quick
@pytest.mark.parametrize("why", [link.NO_ROOM, link.GOING])
def test_bridge_that_refuses_everything_costs_nobody(tunnel, intruder, why):
    """No storm either: what it refused goes elsewhere, and it is not asked again at once."""
    b = intruder(lambda f, b: b.c.send(link.note(link.refused(f.stream, why))))
    before = counters(tunnel.portal_status)["streams_retried"]
    assert good_visits(tunnel, 40) == 40
    assert good_visits(tunnel, 40) == 40
    assert b.news <= 60
    assert counters(tunnel.portal_status)["streams_retried"] - before == b.news


@pytest.mark.quick
def test_bridge_whose_targets_all_refuse_is_passed_over(tunnel, intruder):
    """Five visitors believe it, then it is ejected."""
    b = intruder(lambda f, b: b.c.send(link.note(link.refused(f.stream, link.TARGET))))
    lost = 0
    for _ in range(40):
        lost += good_visits(tunnel, 1) == 0
    assert lost <= 5 and b.news <= 5


@pytest.mark.quick
def test_bridge_that_answers_nothing_at_all_loses_its_visitors(tunnel, intruder):
    """It takes New and is silent, though it answers pings: its visitors wait, others do not."""
    intruder()
    assert good_visits(tunnel, 30, timeout=2 * SLOWER) >= 15


@pytest.mark.quick
def test_answers_twice_and_for_others(tunnel, intruder):
    def serve(f, b):
        junk = [link.opened(f.stream)] * 3 + [link.refused(f.stream + 1, link.NO_ROOM)]
        junk += [link.opened(s) for s in (0, 1, f.stream + 7, 65535)]
        junk += [link.window(f.stream, HUGE)] * 5 + [link.of_stream(link.BLOCKED, f.stream)]
        b.c.send(link.note(*junk))
        b.c.send(link.note(link.refused(f.stream, link.NO_ROOM)))  # too late: it said OPENED
        b.c.send(peer.frame(f.stream, peer.KEEP, b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsmall\n"))
        b.c.send(peer.frame(f.stream, peer.END))
        b.c.send(link.note(link.opened(f.stream), link.window(f.stream, 1)))

    intruder(serve)
    good_visits(tunnel, 40)
    assert tunnel.portal.alive()


@pytest.mark.quick
def test_window_that_never_grows_holds_its_visitor_only(tunnel, intruder):
    """A visitor with 20 MB to send, and a bridge that takes the first 64 KiB."""
    b = intruder(lambda f, b: b.c.send(link.note(link.opened(f.stream))))
    sockets = [tunnel.ask("sink 20000000", 3) for _ in range(12)]

    def send(s):
        try:
            for _ in range(200):
                s.sendall(bytes(100_000))
            return read_to_end(s, 10).how
        except OSError:
            return "held"

    results = in_parallel([lambda s=s: send(s) for s in sockets])
    assert results.count("fin") >= 3
    assert max(b.bytes.values(), default=0) <= 65536
    for s in sockets:
        s.close()


@pytest.mark.quick
def test_portal_gets_data_beyond_its_window(tunnel, intruder):
    """A visitor reads nothing; its bridge sends 30 MB more than it may."""
    done = threading.Event()

    def serve(f, b):
        b.c.send(link.note(link.opened(f.stream)))
        upload_without_credit(b.c, f.stream, 30 * MB)
        done.set()

    intruder(serve)
    held = [tunnel.ask("silent", 5) for _ in range(6)]
    assert done.wait(20 * SLOWER)
    assert tunnel.portal.rss() - intruder.rss < MEMORY
    for s in held:
        s.close()


@pytest.mark.quick
@pytest.mark.parametrize("name", FLOODS)
def test_portal_is_not_flooded(tunnel, intruder, name):
    b = intruder()
    flood(b.c, FLOODS[name], 20 * MB // len(FLOODS[name]))
    assert tunnel.portal.rss() - intruder.rss < MEMORY


@pytest.mark.quick
def test_goaway_sends_visitors_elsewhere(tunnel, intruder):
    b = intruder()
    b.c.send(link.note(link.goaway(HUGE)))
    wait_for(lambda: good_visits(tunnel, 8, timeout=3) == 8, 10, "visitors on the other links only")
    news = b.news
    assert good_visits(tunnel, 40) == 40
    assert b.news == news


@pytest.mark.quick
def test_hello_without_room_gets_nobody(tunnel, intruder):
    """streams 1, then a second HELLO that would like thousands."""
    b = intruder(streams=1, window=0)
    b.c.send(link.note(link.hello(streams=60_000)))
    held = [connect(tunnel.origin) for _ in range(12)]
    wait_for(lambda: b.news or good_visits(tunnel, 4, timeout=3) == 4, 5, "visitors")
    assert b.news <= 1
    for s in held:
        s.close()


@pytest.mark.quick
def test_bridge_that_opens_streams_at_the_portal(tunnel, intruder):
    b = intruder()
    prey = Server(lambda server, s: None)
    for i in range(2, 200):
        b.c.send(peer.frame(i, peer.NEW, b"echo\nx", network=peer.TCP, host=HOST, port=prey.port))
        b.c.send(link.note(link.opened(i), link.window(i, HUGE), link.refused(i, 3)))
    good_visits(tunnel, 10, timeout=3)
    assert prey.accepted == 0
    prey.close()


@pytest.mark.quick
def test_random_notes(tunnel, intruder):
    """Items of all kinds with random values, from many links at once."""
    for _ in range(4):
        b = intruder()
        for _ in range(60):
            body = b"".join(
                link.item(os.urandom(1)[0] % 15, os.urandom(os.urandom(1)[0] % 16)) for _ in range(30)
            )
            if not flood(b.c, peer.frame(0, peer.KEEPALIVE, link.MAGIC + body), 1):
                break
    assert tunnel.portal.alive()
