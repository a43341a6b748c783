"""A Redis that says what no Redis says: it greets as one does, and answers all else in whatever manner it is told to."""
import collections
import itertools
import os
import time

from origins import Server
from rig import HOST

MOMENT = 0.2  # seconds
GREETING = {b"ROLE": b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n", b"INFO": b"$10\r\nrun_id:abc\r\n", b"PING": b"+PONG\r\n"}

# What comes instead of an answer: pieces of bytes, without end where there is none.
MANNERS = {
    "bytes": lambda: iter(lambda: os.urandom(1000), None),
    "an endless array": lambda: itertools.chain([b"*1000000000\r\n"], itertools.repeat(b":1\r\n" * 5000)),
    "arrays of arrays": lambda: itertools.repeat(b"*1\r\n" * 5000),
    "many elements": lambda: itertools.repeat(b"*9000\r\n" + b"$-1\r\n" * 9000),
    "an endless text": lambda: itertools.chain([b"$536870912\r\n"], itertools.repeat(bytes(65536))),
    "an endless line": lambda: itertools.chain([b"+"], itertools.repeat(b"x" * 65536)),
    "half an answer": lambda: [b"$100\r\nabc"],
    "pushes": lambda: itertools.repeat(b">2\r\n$7\r\nmessage\r\n$1\r\nx\r\n" * 100),
    "maps": lambda: itertools.repeat(b"%2\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n:2\r\n"),
    "a number": lambda: [b":-9223372036854775808\r\n"],
    "a status": lambda: [b"+OK\r\n"],
    "a list": lambda: [b"*2\r\n$4\r\n1e99\r\n$3\r\nnan\r\n"],
    "nothing": lambda: [b"$-1\r\n"],
    "an empty text": lambda: [b"$0\r\n\r\n"],
    "another kind": lambda: [b"-WRONGTYPE Operation against a key\r\n"],
    "another place": lambda: [b"-MOVED %d 127.0.0.%d:1\r\n" % (n % 16384, n % 250 + 1) for n in os.urandom(1)],
    "no place": lambda: [b"-ASK 99999 :::::\r\n"],
}


CALM = ["a number", "a status", "a list", "nothing", "an empty text", "another kind"]  # a connection outlives them
SLOW = "slow bytes"  # of an answer that takes for ever


class StrangeRedis:
    """`manner`: of MANNERS, or SLOW; None: each connection has the next one, for a moment. `heard`: commands by manner,
    greetings left out."""

    def __init__(self, manner=None):
        self.manner, self.heard = manner, collections.Counter()
        self.turns = itertools.cycle([*MANNERS, SLOW])
        self.server = Server(self._serve)
        self.port = self.server.port

    def url(self):
        return f"redis://{HOST}:{self.port}/0"

    def stop(self):
        self.server.close()

    def _serve(self, server, s):
        commands, own, began = s.makefile("rb"), None, time.monotonic()
        while line := commands.readline():
            words = []
            for _ in range(int(line[1:])):
                words.append(commands.read(int(commands.readline()[1:]) + 2)[:-2])
            if words[0] in GREETING:
                s.sendall(GREETING[words[0]])
                continue
            own = own or (None if self.manner else next(self.turns))
            manner = self.manner or own
            self.heard[manner] += 1
            if manner == SLOW:
                self._drip(server, s)
                return
            for piece in MANNERS[manner]():
                s.sendall(piece)
            if not self.manner and time.monotonic() - began > MOMENT:
                return

    @staticmethod
    def _drip(server, s):
        s.sendall(b"$100000\r\n")
        while not server.stopping.wait(0.01):
            s.sendall(b"x")
