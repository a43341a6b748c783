"""Sequences that once broke something: each test failed before the defect it names was mended."""
import os
import pathlib
import socket
import time

import pytest

import peer
from configs import (
    CONTROL_NAMES, DOMAIN, LOG, bridge_config, dokodemo, portal_config, rule, vmess_in,
)
from origins import MB
from rig import HOST, SANITIZED, connect, free_port, read_exactly, reset, wait_for
from test_hostile import DRAIN, FakePortal

USER = "5d3c9c3e-0a4f-4f0e-8f5b-0c6a3f1b2d77"


def processor_seconds(program):
    fields = pathlib.Path(f"/proc/{program.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def connecting(port):
    """True while somebody's SYN to that port is under way."""
    rows = (line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:])
    return any(int(r[2].rpartition(":")[2], 16) == port and r[3] == "02" for r in rows)


def server_config(port, *more):
    """A VMess server, and what else should lie in front of its freedom outbound."""
    return {
        "log": LOG,
        "inbounds": [vmess_in("in", port, [(USER, "user@test")]), *more],
        "outbounds": [{"tag": "out", "protocol": "freedom"}],
        "routing": {"rules": [rule("none", "out")]},
    }


def unread_datagrams(port):
    """Bytes that the kernel holds for whoever is bound to that port."""
    rows = (line.split() for line in pathlib.Path("/proc/net/udp").read_text().splitlines()[1:])
    return sum(
        int(r[4].rpartition(":")[2], 16) for r in rows if int(r[1].rpartition(":")[2], 16) == port
    )


class UdpOrigin:
    def __init__(self):
        self.s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.s.bind((HOST, 0))
        self.s.settimeout(10)
        self.port = self.s.getsockname()[1]


@pytest.fixture
def datagrams():
    origin = UdpOrigin()
    yield origin
    origin.s.close()


@pytest.mark.quick
@pytest.mark.v2c
def test_empty_datagram_stops_nothing(run, datagrams):
    """An empty buf in front of the socket was written for ever."""
    port = free_port()
    program = run("v2c", server_config(port))
    request = peer.Request(peer.UDP, HOST, datagrams.port)
    with peer.Client(port, USER, request).start(b"ping") as c:
        _, back = datagrams.s.recvfrom(2048)
        for answer in (b"", b"", b"pong"):
            datagrams.s.sendto(answer, back)
        assert c.receive() == b"pong"
        datagrams.s.sendto(b"", back)
        before = processor_seconds(program)
        with peer.Client(port, USER, peer.Request(peer.UDP, HOST, datagrams.port)).start(b"two"):
            assert datagrams.s.recv(2048) == b"two"
        assert processor_seconds(program) - before < 0.5


@pytest.mark.quick
@pytest.mark.v2c
def test_datagram_is_whole_or_nothing(run, datagrams):
    """A datagram longer than a buf was delivered without its end."""
    udp = free_port(udp=True)
    config = server_config(free_port(), dokodemo("udp", udp, datagrams.port, network="udp"))
    run("v2c", config)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect((HOST, udp))
        s.settimeout(10)
        s.send(b"x" * 16_385)
        s.send(b"y" * 16_384)
        got, back = datagrams.s.recvfrom(65536)
        assert got == b"y" * 16_384
        datagrams.s.sendto(b"z" * 20_000, back)
        datagrams.s.sendto(b"end", back)
        assert s.recv(65536) == b"end"


@pytest.mark.quick
@pytest.mark.v2c
def test_half_close_while_still_connecting(run):
    """shutdown(2) on a socket whose SYN is under way throws the connection away."""
    door = free_port()
    with socket.socket() as origin, socket.socket() as first:
        origin.bind((HOST, 0))
        origin.listen(0)
        origin.settimeout(10)
        at = origin.getsockname()
        first.connect(at)  # the queue is full now: the next SYN has no answer
        config = server_config(free_port(), dokodemo("door", door, at[1]))
        run("v2c", config)
        with connect(door) as visitor:
            visitor.shutdown(socket.SHUT_WR)
            wait_for(lambda: connecting(at[1]), 10, "a SYN without an answer")
            origin.accept()[0].close()  # room for the next SYN, a second later
            s, _ = origin.accept()
            with s:
                s.sendall(b"banner")
            assert read_exactly(visitor, 6) == b"banner"


@pytest.mark.quick
@pytest.mark.v2c
def test_streams_within_streams_end_early(run, origins):
    """Every carrier puts its header in front of the same buf; deep enough, it wrote before the buf."""
    port = free_port()
    run("v2c", server_config(port))
    depth = 14
    with peer.Client(port, USER, peer.Request(peer.TCP, b"v1.mux.cool", 9)) as c:
        order = b"bytes 200000\n"
        data = peer.frame(1, peer.NEW, order, network=peer.TCP, host=HOST, port=origins.odd)
        for _ in range(depth):
            new = peer.frame(1, peer.NEW, network=peer.TCP, host=b"v1.mux.cool", port=9)
            data = new + peer.frame(1, peer.KEEP, data)
        c.start(data)
        f = peer.read_frame(c.read)
        assert f.status == peer.END and f.option & peer.ERROR
        c.send(peer.frame(2, peer.NEW, b"echo\nhello", network=peer.TCP, host=HOST, port=origins.odd))
        f = peer.read_frame(c.read)
        assert (f.stream, f.data) == (2, b"hello")


@pytest.fixture
def portal():
    fake = FakePortal()
    yield fake
    fake.listener.close()


def drain(link, stream=1):
    name = CONTROL_NAMES[0].encode()
    link.send(peer.frame(stream, peer.NEW, DRAIN, network=peer.UDP, host=name, port=0))


@pytest.mark.quick
@pytest.mark.v2c
def test_bridge_waits_between_attempts_while_a_drained_link_lives(run, portal):
    """A portal that drains and then refuses was dialled without a pause."""
    run("v2c", bridge_config(portal.port, portal.user_id), "bridge")
    with portal.link() as link:
        drain(link)
        attempts, end = 0, time.monotonic() + 1
        portal.listener.settimeout(0.5)
        while time.monotonic() < end:
            try:
                reset(portal.listener.accept()[0])
                attempts += 1
            except TimeoutError:
                pass
        assert 2 <= attempts < 40


@pytest.mark.v2c
def test_portal_that_drains_every_link_gets_no_flood_of_them(run, portal):
    program = run("v2c", bridge_config(portal.port, portal.user_id), "bridge")
    links = []
    end = time.monotonic() + 3
    try:
        while time.monotonic() < end:
            try:
                links.append(portal.link(0.5))
            except TimeoutError:
                continue
            drain(links[-1])
        assert program.open_files() < 120
    finally:
        for link in links:
            link.close()


@pytest.mark.v2c
def test_peer_that_reads_no_answers_is_dropped(run, portal):
    """Refusals were queued without a bound, as fast as streams could be named."""
    program = run("v2c", bridge_config(portal.port, portal.user_id), "bridge")
    with portal.link() as link:
        before = program.rss()
        new = peer.frame(7, peer.NEW, network=peer.TCP, host=DOMAIN, port=80)
        with pytest.raises(ConnectionError):
            for _ in range(1200):
                link.send(new * 744)
        assert program.rss() - before < 48 * MB
    with portal.link() as link:
        drain(link)


@pytest.mark.v2c
def test_datagrams_of_many_sources_fill_no_memory(run):
    """Without a bridge each source had half a MiB for three seconds."""
    udp = free_port(udp=True)
    visitors = [dokodemo("udp", udp, 53, network="udp")]
    program = run("v2c", portal_config(free_port(), USER, visitors))
    before = program.rss()
    sources = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(500)]
    for s in sources:
        s.connect((HOST, udp))
    for _ in range(32):
        for i, s in enumerate(sources):
            s.send(bytes(16_000))
            while i % 8 == 0 and unread_datagrams(udp):
                pass  # else the kernel would drop them
    assert program.rss() - before < (240 if SANITIZED else 120) * MB
    for s in sources:
        s.close()


@pytest.mark.quick
@pytest.mark.v2c
def test_datagrams_are_answered_from_where_they_came_to(run, datagrams):
    """Bound to every address, the kernel chose the source of an answer; a connected client dropped it."""
    port = free_port()
    door = {**dokodemo("door", port, datagrams.port, network="udp"), "listen": "0.0.0.0"}
    run("v2c", {**server_config(free_port(), door), "routing": {}})
    for here in ("127.0.0.1", "127.0.0.2", "127.9.9.9"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(10)
            s.connect((here, port))
            s.send(b"question")
            question, asker = datagrams.s.recvfrom(100)
            datagrams.s.sendto(b"answer", asker)
            assert (question, s.recv(100)) == (b"question", b"answer")
