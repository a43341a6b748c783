"""Datagrams as streams of a mux connection: of an ordinary client's, and of a tunnel's link."""
import contextlib
import socket
import threading
import time

import pytest

from configs import LOG, dokodemo, vmess_in, vmess_out
from origins import known_bytes
from rig import HOST, free_port, free_ports, http_get

pytestmark = [pytest.mark.v2c, pytest.mark.workers]
USER = "11223344-5566-4788-99aa-bbccddeeff00"
SIDES = [("v2ray", "v2c"), ("v2c", "v2ray"), ("v2c", "v2c")]
TUNNELS = [("v2c", "v2c"), ("v2c", "v2ray"), ("v2ray", "v2c")]


class Thinker:
    """Answers a datagram "SECONDS text" after that time; else at once, with what came."""

    def __init__(self):
        self.s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.s.bind((HOST, 0))
        self.port = self.s.getsockname()[1]
        self.stopping = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        with contextlib.suppress(OSError):
            while True:
                data, source = self.s.recvfrom(65536)
                if source is None:  # shut down by close()
                    return
                threading.Thread(target=self._answer, args=(data, source), daemon=True).start()

    def _answer(self, data, source):
        word = data.split(b" ")[0]
        if word.isdigit():
            self.stopping.wait(int(word))
        with contextlib.suppress(OSError):
            self.s.sendto(data, source)

    def close(self):
        self.stopping.set()
        with contextlib.suppress(OSError):
            self.s.shutdown(socket.SHUT_RDWR)
        self.s.close()


@pytest.fixture
def thinker():
    made = Thinker()
    yield made
    made.close()


@pytest.fixture
def client(run, origins, thinker):
    """A client with mux and its server; answers the ports for datagrams and for requests."""

    def start(kind, server):
        udp, (web, link) = free_port(udp=True), free_ports(2)
        out = vmess_out("out", link, USER)
        out["mux"] = {"enabled": True}
        run(
            server,
            {
                "log": LOG,
                "inbounds": [vmess_in("in", link, [(USER, "user@test")])],
                "outbounds": [{"protocol": "freedom"}],
            },
            "server",
        )
        doors = [dokodemo("udp", udp, thinker.port, network="udp"), dokodemo("web", web, origins.web)]
        run(kind, {"log": LOG, "inbounds": doors, "outbounds": [out]}, "client")
        return udp, web

    return start


@pytest.fixture
def tunnel(own_tunnel, thinker):
    """The same for a tunnel, whose datagrams go to the thinker."""

    def start(pairing):
        def prepare(t):
            for door in t.portal_config["inbounds"]:
                if door["tag"] == "datagrams":
                    door["settings"]["port"] = thinker.port

        t = own_tunnel(pairing, prepare)
        return t.udp, t.web

    return start


def ask(port, body, seconds=5):
    """The answer, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(seconds)
        s.connect((HOST, port))
        s.send(body)
        with contextlib.suppress(TimeoutError):
            return s.recv(65536)
    return None


def comes_back(port, body):
    """One may be lost; nothing says that it must not."""
    return any(ask(port, body, 2) == body for _ in range(4))


def keeps_senders_apart(port):
    """Each hears its own words; one datagram may be lost, nothing says that it must not. V2Ray's server loses a whole
    stream now and then, of V2Ray's own clients, too: then the sender is another one."""
    senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(20)]
    for n, s in enumerate(senders):
        s.settimeout(2)
        s.connect((HOST, port))
        s.send(b"sender %d" % n)
    for n, s in enumerate(senders):
        words = b"sender %d" % n
        assert (said_again(s, words) or ask(port, words)) == words
        s.close()


def said_again(s, words):
    for _ in range(4):
        with contextlib.suppress(TimeoutError):
            return s.recv(100)
        s.send(words)
    return None


def carries_large_ones_or_drops_them(udp, web, both_new):
    """A frame above 2048 bytes would end a V2Ray carrier with all that is on it."""
    assert comes_back(udp, known_bytes(2000))
    if both_new:
        for size in (2049, 9000, 16384):
            assert comes_back(udp, known_bytes(size)), size
    else:
        assert ask(udp, known_bytes(2100), 0.5) is None
    assert http_get(web, "/small.txt").status == 200
    assert comes_back(udp, known_bytes(1000))


@pytest.mark.quick
@pytest.mark.parametrize("kind,server", SIDES)
def test_senders_of_a_client_with_mux_are_kept_apart(client, kind, server):
    udp, _ = client(kind, server)
    keeps_senders_apart(udp)


@pytest.mark.quick
@pytest.mark.parametrize("kind,server", [s for s in SIDES if s[0] == "v2c"])
def test_large_datagrams_of_a_client_with_mux(client, kind, server):
    udp, web = client(kind, server)
    assert http_get(web, "/small.txt").status == 200  # both sides know each other
    carries_large_ones_or_drops_them(udp, web, server == "v2c")


@pytest.mark.quick
@pytest.mark.parametrize("pair", [t for t in TUNNELS if t[0] == "v2c"])
def test_large_datagrams_of_a_tunnel(tunnel, pair):
    udp, web = tunnel(pair)
    carries_large_ones_or_drops_them(udp, web, pair[1] == "v2c")


def test_a_late_answer_passes(client, thinker):
    udp, _ = client("v2c", "v2c")
    assert ask(udp, b"3 s later", 6) == b"3 s later"


def is_answered_after_half_a_minute(udp):
    """V2Ray forgets a stream of datagrams after 8 to 24 s, with any answer that is still to come."""
    began = time.monotonic()
    assert ask(udp, b"33 s later", 40) == b"33 s later"
    assert time.monotonic() - began > 32


@pytest.mark.slow
def test_an_answer_after_half_a_minute_reaches_a_client_with_mux(client, thinker):
    is_answered_after_half_a_minute(client("v2c", "v2c")[0])


@pytest.mark.slow
def test_an_answer_after_half_a_minute_passes_a_tunnel(tunnel, thinker):
    is_answered_after_half_a_minute(tunnel(("v2c", "v2c"))[0])
