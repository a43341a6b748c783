"""A portal of a cluster that was broken into: it has the key, and says on links of its own what no portal says (docs/link.md,
"Clusters")."""
import hashlib
import hmac
import struct
import threading
import uuid

from cryptography.exceptions import InvalidTag

import link
import peer

NODE, ASK, HAVE = 0x0E, 0x0F, 0x10
NOT_HERE = 5
FEATURES = link.ALL_FEATURES & ~link.NAMED | 0x40 | 0x80
UNNAMED, BY_ID, BY_NODE, BY_CLUSTER, PRIVATE = range(5)
TUNNEL, WHOSE, CLAIM = 1, 2, 3
ADDRESS = ("peer.v2c", 7400)


def user_of(key, cluster="test"):
    """The id that all peers have; key: in hexadecimal digits."""
    key = hashlib.sha256(bytes.fromhex(key)).digest()
    made = hmac.digest(key, b"v2c cluster peer 1\0" + cluster.encode(), "sha256")
    return str(uuid.UUID(bytes=made[:16]))


def portal_key(domain):
    return hashlib.sha256(domain.encode()).digest()[:8]


def node(name="stranger", epoch=7, state=2, version=1, links=0, zone="", portals=2, wanted=2, spread=0):
    value = struct.pack(">BBQHBII", state, version, epoch, portals, wanted, spread, links)
    return link.item(NODE, value + link.text(name) + link.text(zone))


def tunnel(name, by=BY_ID, tenant=""):
    return bytes([by]) + link.text(tenant) + link.text(name)


def ask(token, kind, portal, of=tunnel("", UNNAMED), host=""):
    return link.item(ASK, struct.pack(">QB", token, kind) + portal + of + link.text(host))


def have(token, flags=0, portal=bytes(8), holder=tunnel("", UNNAMED), places=()):
    value = struct.pack(">QB", token, flags) + portal + holder + bytes([len(places)])
    return link.item(HAVE, value + b"".join(struct.pack(">QH", e, n) + link.text(name) for e, n, name in places))


def route(portal, to, by_claim=False, epoch=0):
    return bytes([0x80, by_claim]) + portal + struct.pack(">Q", epoch) + to


class NodePeer:
    """A link that it has dialled, or accepted (`on`: a peer.Accepted). A thread answers the first question and keeps what
    comes: `answers` by token, `refused` by stream, `data` by stream; `ended` once the link is over."""

    def __init__(self, port=None, user=None, on=None, name="stranger", prove=True, epoch=7):
        request = peer.Request(peer.TCP, *ADDRESS)
        self.link = on or peer.Client(port, user, request).start()
        self.prove, self.seen = prove, []
        self.answers, self.refused, self.data = {}, {}, {}
        self.ended, self.asked = threading.Event(), threading.Event()
        self.link.s.settimeout(None)
        self.lock = threading.Lock()
        self.say(link.hello(features=FEATURES), *([node(name, epoch)] if name else []))
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, data):
        with self.lock:
            self.link.send(data)

    def say(self, *items):
        self.send(link.note(*items))

    def _read(self):
        try:
            while True:
                self._hear(peer.read_frame(self.link.read))
        except (OSError, EOFError, ValueError, InvalidTag):
            self.ended.set()

    def _hear(self, f):
        if f.stream:
            self.data[f.stream] = self.data.get(f.stream, b"") + f.data
        for kind, value in link.items(f.data) if not f.stream else ():
            self.seen.append((kind, value))
            if kind == ASK and self.prove:
                self.say(have(struct.unpack(">Q", value[:8])[0]))
                self.asked.set()
            elif kind == HAVE:
                self.answers[struct.unpack(">Q", value[:8])[0]] = value[8:]
            elif kind == link.REFUSED:
                self.refused[struct.unpack(">H", value[:2])[0]] = value[2]

    def open(self, stream, extra, host="any.test", data=b""):
        self.send(peer.frame(stream, peer.NEW, data, network=peer.TCP, host=host, port=80, extra=extra))

    def close(self):
        self.link.close()
