"""An authenticated peer that breaks the rules: a portal that attacks its bridge, and the reverse."""
import socket
import struct
import threading
import time
import uuid

import pytest
from cryptography.exceptions import InvalidTag

import peer
from configs import CONTROL_NAMES, DOMAIN, bridge_config
from origins import MB
from rig import (
    HOST, KINDS, SANITIZED, SLOWER, connect, counters, free_port, http_get, http_request,
    in_parallel, wait_for,
)

DRAIN = b"\x08\x01"
# Each of these is not a valid mux frame; the length in front is that of the metadata.
BROKEN_FRAMES = {
    "metadata of 3 bytes": struct.pack(">H", 3) + b"\0\1\2",
    "metadata of 513 bytes": struct.pack(">H", 513) + struct.pack(">HBB", 1, 2, 0) + bytes(509),
    "metadata of 65535 bytes": b"\xff" * 70_000,
    "status 0": struct.pack(">HHBB", 4, 1, 0, 0),
    "status 9": struct.pack(">HHBB", 4, 1, 9, 0),
    "New without an address": struct.pack(">HHBB", 4, 9, peer.NEW, 0),
    "New, network 7": peer.frame(9, peer.NEW, network=7, host=HOST, port=80),
    "New, address type 9": struct.pack(">HHBBBHB", 8, 9, peer.NEW, 0, 1, 80, 9),
    "New, empty name": peer.frame(9, peer.NEW, network=peer.TCP, host=b"", port=80),
    "New, name behind the end": struct.pack(">HHBBBHBB", 9, 9, peer.NEW, 0, 1, 80, 2, 200),
}


# ------------------------------------------------------------------------------- a portal of our making


class FakePortal:
    """Listens for bridges; each link is a peer.Accepted on which we are the mux client."""

    def __init__(self):
        self.user_id = str(uuid.uuid4())
        self.listener = socket.create_server((HOST, 0))
        self.port = self.listener.getsockname()[1]

    def link(self, timeout=8 * SLOWER):
        """Of our bridge; a program of another test may dial this port as well, which was another server's before."""
        end = time.monotonic() + timeout
        while True:
            self.listener.settimeout(max(end - time.monotonic(), 0.01))
            s, _ = self.listener.accept()
            s.settimeout(10)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                accepted = peer.Accepted(s, self.user_id)
            except InvalidTag:
                s.close()
                continue
            assert accepted.request.host == DOMAIN and accepted.request.command == peer.TCP
            return accepted

    def no_link_within(self, seconds):
        self.listener.settimeout(seconds)
        try:
            self.listener.accept()
        except TimeoutError:
            return True
        return False


@pytest.fixture
def portal():
    fake = FakePortal()
    yield fake
    fake.listener.close()


@pytest.fixture(params=KINDS)
def any_bridge(request, run, portal):
    return run(request.param, bridge_config(portal.port, portal.user_id), "bridge")


@pytest.fixture
def bridge(run, portal):
    config = bridge_config(portal.port, portal.user_id)
    config["reverse"]["bridges"][0]["connections"] = 1  # each link that comes has a reason
    return run("v2c", config, "bridge")


def open_stream(link, stream, origins, text=b"echo\nhello", network=peer.TCP, port=None):
    target = {"host": HOST, "port": port or origins.odd}
    link.send(peer.frame(stream, peer.NEW, text, network=network, **target))


def next_frame(link, stream):
    """The next frame of that stream with data or an end; others are passed over."""
    while True:
        f = peer.read_frame(link.read)
        if f.stream == stream and (f.data or f.status == peer.END):
            return f


def answer_probes(link):
    """A bridge that hears nothing asks about a stream that there is not, as if we were V2Ray's."""
    try:
        while True:
            f = peer.read_frame(link.read)
            if f.status == peer.KEEP and f.stream == 65535:
                link.send(peer.frame(f.stream, peer.END))
    except (OSError, EOFError, ValueError):
        pass  # the test is over


def echoes(link, stream, origins):
    open_stream(link, stream, origins)
    return next_frame(link, stream).data == b"hello"


@pytest.mark.quick
def test_bridge_serves_streams(any_bridge, portal, origins):
    with portal.link() as link:
        assert echoes(link, 1, origins) and echoes(link, 2, origins)
        open_stream(link, 3, origins, b"bytes 3\n")
        got = b""
        while (f := next_frame(link, 3)).status != peer.END:
            got += f.data
        assert len(got) == 3 and not f.option & peer.ERROR


@pytest.mark.quick
def test_bridge_ignores_keepalive_and_ends_unknown_streams(any_bridge, portal, origins):
    with portal.link() as link:
        assert echoes(link, 1, origins)
        link.send(peer.frame(0, peer.KEEPALIVE, b"unknown to the bridge"))
        link.send(peer.frame(77, peer.END))
        link.send(peer.frame(88, peer.KEEP, b"to nobody"))
        assert next_frame(link, 88).status == peer.END
        assert echoes(link, 2, origins)


@pytest.mark.quick
@pytest.mark.v2c
@pytest.mark.parametrize("name", BROKEN_FRAMES)
def test_broken_frame_ends_one_link(bridge, portal, origins, name):
    with portal.link() as link:
        assert echoes(link, 1, origins)
        link.send(BROKEN_FRAMES[name])
        link.all_data()  # until the end; a link that stays open makes this time out
    with portal.link() as link:
        assert echoes(link, 1, origins)
    assert bridge.alive()


@pytest.mark.quick
@pytest.mark.v2c
def test_stream_that_cannot_be_dialled_ends_alone(bridge, portal, origins):
    with portal.link() as link:
        open_stream(link, 1, origins, port=free_port())
        assert next_frame(link, 1).status == peer.END
        link.send(peer.frame(2, peer.NEW, b"x", network=peer.TCP, host="no.such.name.invalid", port=80))
        assert next_frame(link, 2).status == peer.END
        assert echoes(link, 3, origins)


@pytest.mark.quick
@pytest.mark.v2c
def test_stream_id_in_use(bridge, portal, origins):
    """The second New does not get the bytes of the first stream, nor the other way round."""
    with portal.link() as link:
        open_stream(link, 1, origins)
        assert next_frame(link, 1).data == b"hello"
        open_stream(link, 1, origins, b"eof\nsecret")
        try:
            link.send(peer.frame(1, peer.KEEP, b"whose?"))
            f = next_frame(link, 1)
            assert f.status == peer.END and not f.data
        except (OSError, EOFError):
            pass  # to end the link is right as well
    assert bridge.alive()


STREAMS_MAX = 8192  # that a bridge takes on one link
LINKS_MAX = 64  # that it dials on a worker when those it has are crowded


@pytest.fixture
def deaf_ports():
    """Ports whose connections all stand and are never looked at: together for more than STREAMS_MAX."""
    listeners = [socket.create_server((HOST, 0), backlog=4096) for _ in range(4)]
    yield [s.getsockname()[1] for s in listeners]
    for s in listeners:
        s.close()


@pytest.mark.quick
@pytest.mark.v2c
def test_flood_of_streams(bridge, portal, origins, deaf_ports):
    """Thousands of streams that stay open: bounded, and the bridge lives."""
    count = STREAMS_MAX + 1000
    with portal.link() as link:
        assert echoes(link, 1, origins)
        files, memory = bridge.open_files(), bridge.rss()
        target = {"network": peer.TCP, "host": HOST}
        for i in range(2, count):
            link.send(peer.frame(i, peer.NEW, port=deaf_ports[i % len(deaf_ports)], **target))
        link.send(peer.frame(1, peer.KEEP, b"still?"))
        refused = 0
        while True:
            f = peer.read_frame(link.read)
            refused += f.status == peer.END and f.stream != 1
            if f.stream == 1 and f.data == b"still?":
                break
        assert refused >= count - 1 - STREAMS_MAX
        assert bridge.open_files() - files <= STREAMS_MAX + LINKS_MAX
        assert bridge.rss() - memory < 96 * MB * SLOWER
    wait_for(lambda: bridge.open_files() <= files + LINKS_MAX, 15 * SLOWER, "the streams to end")
    with portal.link() as link:
        assert echoes(link, 1, origins)


@pytest.mark.quick
@pytest.mark.v2c
def test_streams_opened_and_ended_in_a_row(bridge, portal, origins):
    with portal.link() as link:
        for i in range(1, 1500):
            open_stream(link, i, origins)
            link.send(peer.frame(i, peer.END, option=peer.ERROR))
        assert echoes(link, 5000, origins)
    assert bridge.alive()


@pytest.mark.quick
@pytest.mark.v2c
def test_large_datagram_ends_nothing(bridge, portal, origins):
    """A V2Ray bridge loses the whole link to 2049 bytes."""
    with portal.link() as link:
        open_stream(link, 1, origins, b"small", peer.UDP, origins.udp)
        assert next_frame(link, 1).data == b"small"
        for size in (2049, 9000, 65535):
            link.send(peer.frame(1, peer.KEEP, bytes(size)))
        assert echoes(link, 2, origins)


@pytest.mark.quick
@pytest.mark.v2c
@pytest.mark.parametrize("name", CONTROL_NAMES)
def test_drain_is_obeyed(bridge, portal, origins, name):
    """Whatever family the portal is of: the bridge dials another link and serves the old one on."""
    with portal.link() as link:
        link.send(peer.frame(1, peer.NEW, b"\x9a\x06\x03abc", network=peer.UDP, host=name))
        assert echoes(link, 2, origins)
        link.send(peer.frame(1, peer.KEEP, DRAIN))
        with portal.link() as other:
            assert echoes(other, 1, origins)
        assert echoes(link, 3, origins)


@pytest.mark.quick
def test_control_of_an_old_bridge(run, portal, origins):
    """What the test above asks of v2c, V2Ray does for its own family's name."""
    run("v2ray", bridge_config(portal.port, portal.user_id), "bridge")
    with portal.link() as link:
        link.send(peer.frame(1, peer.NEW, DRAIN, network=peer.UDP, host=CONTROL_NAMES[0]))
        portal.link().close()


@pytest.mark.quick
@pytest.mark.v2c
def test_control_is_obeyed_in_its_own_stream_only(bridge, portal, origins):
    with portal.link() as link:
        name = CONTROL_NAMES[0]
        link.send(peer.frame(1, peer.NEW, b"\x9a\x06\x03abc", network=peer.UDP, host=name))
        link.send(peer.frame(2, peer.NEW, DRAIN, network=peer.TCP, host=name, port=443))
        link.send(peer.frame(3, peer.NEW, DRAIN, network=peer.UDP, host=name, port=0))
        link.send(peer.frame(4, peer.NEW, DRAIN, network=peer.TCP, host=name, port=0))
        assert echoes(link, 5, origins)
        threading.Thread(target=answer_probes, args=(link,), daemon=True).start()
        assert portal.no_link_within(3)


# ------------------------------------------------------------------------------- a bridge of our making


def fake_bridge(tunnel):
    request = peer.Request(peer.TCP, DOMAIN, 0)
    return peer.Client(tunnel.link, tunnel.user_id, request).start()


def until_ready(client):
    """The portal has taken it for a bridge: its first frame, the control stream's New."""
    f = peer.read_frame(client.read)
    while f.status == peer.KEEPALIVE:  # v2c asks whether we are v2c, too
        f = peer.read_frame(client.read)
    assert f.status == peer.NEW and f.network == peer.UDP and f.host in CONTROL_NAMES
    return client


def carriers(tunnel):
    return counters(tunnel.portal_status)["portal>>>portal>>>carriers"]


NEW_PORTAL = (("v2c", "v2c"), ("v2c", "v2ray"))


@pytest.mark.quick
@pytest.mark.pairings(("v2c", "v2c"))
@pytest.mark.parametrize("name", BROKEN_FRAMES)
def test_portal_survives_broken_frames(tunnels, pairing, name):
    t = tunnels.get(pairing)
    before = counters(t.portal_status)["mux_errors"]
    with until_ready(fake_bridge(t)) as c:
        c.send(BROKEN_FRAMES[name])
        c.all_data()
    harmless = name.startswith("New")  # a portal may pass over any New that a bridge sends
    if not harmless:
        wait_for(lambda: counters(t.portal_status)["mux_errors"] > before, 5, "the error to be counted")
    assert http_get(t.web, "/small.txt").body == b"small\n"


@pytest.mark.quick
@pytest.mark.pairings(("v2c", "v2c"))
def test_portal_dials_nothing_for_a_bridge(tunnels, origins, pairing):
    t = tunnels.get(pairing)
    before = origins.odd_server.accepted
    with until_ready(fake_bridge(t)) as c:
        for i in range(20):
            open_stream(c, 100 + i, origins)
        c.send(peer.frame(60_000, peer.KEEP, b"nobody's"))
    wait_for(lambda: carriers(t) == 2, 5, "the honest links alone")  # another would take its visitors along
    assert http_get(t.web, "/small.txt").body == b"small\n"
    assert origins.odd_server.accepted == before


@pytest.mark.quick
@pytest.mark.pairings(("v2c", "v2c"))
def test_bridge_that_answers_nothing_does_not_keep_all_visitors(own_tunnel, pairing):
    """It gets a share of them at most, and when it goes they learn of it at once."""
    t = own_tunnel(pairing)
    c = until_ready(fake_bridge(t))
    sockets = [connect(t.web, 5) for _ in range(8)]
    good = 0
    for s in sockets:
        s.sendall(http_request("/small.txt"))
    for s in sockets:
        s.settimeout(0.5 * SLOWER)
        try:
            good += s.recv(100).startswith(b"HTTP/1.1 200")
        except OSError:
            pass
        s.close()
    assert good >= 3
    c.close()
    for _ in range(10):
        assert http_get(t.web, "/small.txt").body == b"small\n"


@pytest.mark.pairings(("v2c", "v2c"))
def test_flood_of_small_frames(own_tunnel, pairing):
    """An authenticated bridge that talks nonsense without end costs bounded memory."""
    t = own_tunnel(pairing)
    before = t.portal.rss()
    with until_ready(fake_bridge(t)) as c:
        piece = peer.frame(0, peer.KEEPALIVE) * 800 + peer.frame(999, peer.KEEP, b"x") * 400
        try:
            for _ in range(100):
                c.send(piece)
        except OSError:
            pass  # to end such a link is right

        def visit():
            try:
                return http_get(t.web, "/small.txt", timeout=2 * SLOWER).body == b"small\n"
            except (OSError, EOFError):
                return False

        assert any(in_parallel([visit] * 4))  # some of the four are the nonsensical bridge's
    assert t.portal.rss() - before < 48 * MB * (4 if SANITIZED else 1)
