"""The dns outbound: questions for addresses are answered here, all others by the server that was asked."""
import contextlib
import socket
import struct
import threading

import pytest

from configs import LOG, dokodemo
from rig import HOST, free_port, read_exactly

pytestmark = [pytest.mark.v2c, pytest.mark.quick]
A, MX, AAAA = 1, 15, 28


def question(name, kind, number=0x4711):
    labels = b"".join(bytes([len(part)]) + part for part in name.encode().split(b"."))
    return struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", kind, 1)


def addresses(answer, asked):
    """The code, and the addresses of an answer to `asked`."""
    number, flags, questions, count, _, _ = struct.unpack(">6H", answer[:12])
    assert number == struct.unpack(">H", asked[:2])[0] and flags & 0x8000 and questions == 1
    assert answer[12 : len(asked)] == asked[12:]
    at, found = len(asked), []
    for _ in range(count):
        name, _, _, ttl, length = struct.unpack(">3HIH", answer[at : at + 12])
        assert name == 0xC00C and ttl == 600
        found.append(answer[at + 12 : at + 12 + length])
        at += 12 + length
    assert at == len(answer)
    return flags & 15, found


def same_port():
    """A socket for datagrams and one for connections; somebody may have one of the two ports."""
    while True:
        udp, tcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.create_server((HOST, 0))
        try:
            udp.bind(tcp.getsockname())
            return udp, tcp
        except OSError:
            udp.close()
            tcp.close()


class NameServer:
    """Answers whatever it is asked with the question, its first bit set, and "seen" behind it."""

    def __init__(self):
        self.udp, self.tcp = same_port()
        self.port = self.tcp.getsockname()[1]
        self.asked = []
        for job in (self._datagrams, self._streams):
            threading.Thread(target=job, daemon=True).start()

    def _answer(self, asked):
        self.asked.append(asked)
        return asked[:2] + bytes([asked[2] | 0x80]) + asked[3:] + b"seen"

    def _datagrams(self):
        while True:
            try:
                asked, client = self.udp.recvfrom(4096)
            except OSError:
                return
            if not asked:
                return
            self.udp.sendto(self._answer(asked), client)

    def _streams(self):
        while True:
            try:
                s, _ = self.tcp.accept()
            except OSError:
                return
            with s, contextlib.suppress(ConnectionError):
                while head := s.recv(2):
                    asked = read_exactly(s, struct.unpack(">H", head)[0])
                    answer = self._answer(asked)
                    s.sendall(struct.pack(">H", len(answer)) + answer)

    def close(self):
        for s in (self.udp, self.tcp):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()


@pytest.fixture
def server():
    s = NameServer()
    yield s
    s.close()


@pytest.fixture
def door(run, server):
    def start(**settings):
        port = free_port(udp=True)  # and nobody is given it for a connection meanwhile
        config = {
            "log": LOG,
            "inbounds": [dokodemo("dns-in", port, server.port, network="tcp,udp")],
            "outbounds": [{"tag": "dns-out", "protocol": "dns", "settings": settings}],
            "dns": {"hosts": {"here.test": ["192.0.2.7", "192.0.2.8", "2001:db8::7"]}},
        }
        run("v2c", config, "dns")
        return port

    return start


def by_udp(port, asked):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.connect((HOST, port))
        s.send(asked)
        return s.recv(4096)


def by_tcp(port, *asked):
    with socket.create_connection((HOST, port), 5) as s:
        s.sendall(b"".join(struct.pack(">H", len(one)) + one for one in asked))
        answers = []
        for _ in asked:
            answers.append(read_exactly(s, struct.unpack(">H", read_exactly(s, 2))[0]))
        return answers


V4, V6 = [bytes([192, 0, 2, 7]), bytes([192, 0, 2, 8])], [socket.inet_pton(socket.AF_INET6, "2001:db8::7")]


@pytest.mark.workers
def test_addresses_are_answered_here(door, server):
    port = door()
    for kind, want in ((A, V4), (AAAA, V6)):
        asked = question("here.TEST", kind)
        code, found = addresses(by_udp(port, asked), asked)
        assert (code, sorted(found)) == (0, want)
        assert sorted(addresses(by_tcp(port, asked)[0], asked)[1]) == want
    assert server.asked == []


def test_other_questions_go_to_the_server(door, server):
    port = door()
    asked = question("here.test", MX)
    assert by_udp(port, asked).endswith(b"seen")
    assert by_tcp(port, asked)[0].endswith(b"seen")
    assert server.asked == [asked, asked]


def test_many_questions_on_one_connection(door, server):
    port = door()
    asked = [question("here.test", MX if n % 3 == 0 else A, n) for n in range(40)]
    answers = {answer[:2]: answer for answer in by_tcp(port, *asked)}
    for one in asked:
        answer = answers[one[:2]]
        if answer.endswith(b"seen"):
            assert one in server.asked
        else:
            assert sorted(addresses(answer, one)[1]) == V4
    assert len(server.asked) == 14


def test_who_does_not_read_is_not_heard(door, server):
    """And each question that was taken has its answer, however many came at once."""
    asked = question("here.test", A)
    wire = (struct.pack(">H", len(asked)) + asked) * 1000
    sent = 0
    with socket.create_connection((HOST, door()), 5) as s:
        s.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            while sent < 100_000_000:
                sent += s.send(wire)
        assert sent < 50_000_000
        s.settimeout(5)
        for _ in range(5000):
            answer = read_exactly(s, struct.unpack(">H", read_exactly(s, 2))[0])
            assert answer[:2] == asked[:2]


def test_another_server_and_network(door, server):
    port = door(network="tcp", address="127.0.0.1", port=server.port)
    asked = question("here.test", MX)
    assert by_udp(port, asked).endswith(b"seen")


def test_a_message_that_is_too_long_ends_its_connection(door):
    port = door()
    with socket.create_connection((HOST, port), 5) as s:
        s.sendall(b"\xff\xff" + bytes(5000))
        with pytest.raises(ConnectionResetError):
            while s.recv(100):
                pass
