"""What two v2c peers tell each other in KeepAlive frames (docs/link.md), for a peer of the tests' own."""
import struct

import peer

MAGIC = b"v2c1"
HELLO, WINDOW, BLOCKED, OPENED, REFUSED, PING, PONG, GOAWAY = range(1, 9)
NAMES, HOST, HOST_ANSWER, WEIGHT, WHY = range(9, 14)
TARGET, RULES, NO_ROOM, GOING = 1, 2, 3, 4
ALL_FEATURES, NAMED = 0x7F, 0x20


def item(kind, value):
    return struct.pack(">BH", kind, len(value)) + value


def note(*items):
    return peer.frame(0, peer.KEEPALIVE, MAGIC + b"".join(items))


def hello(window=65536, streams=8192, features=ALL_FEATURES, version=2, datagram=16384):
    value = struct.pack(">BHHIHBB", version, datagram, features, window, streams, 0, 0)
    return item(HELLO, value)


def window(stream, credit):
    return item(WINDOW, struct.pack(">HI", stream, credit))


def of_stream(kind, stream, value=b""):
    return item(kind, struct.pack(">H", stream) + value)


def opened(stream):
    return of_stream(OPENED, stream)


def refused(stream, why):
    return of_stream(REFUSED, stream, bytes([why]))


def ping(token=bytes(8)):
    return item(PING, token)


def pong(token):
    return item(PONG, token)


def goaway(wait=0, reason=2):
    return item(GOAWAY, struct.pack(">BI", reason, wait))


def text(words):
    data = words if isinstance(words, bytes) else words.encode()
    return bytes([len(data)]) + data


def names(node="", cluster="", tenant="", weight=1):
    return item(NAMES, bytes([weight]) + text(node) + text(cluster) + text(tenant))


def host(name):
    return item(HOST, text(name))


def host_answer(answer, name):
    return item(HOST_ANSWER, bytes([answer]) + text(name))


def weight(number):
    return item(WEIGHT, bytes([number]))


def why(words):
    return item(WHY, text(words))


def items(data):
    """Pairs of type and value; of what is no message of ours, none."""
    at, found = 4, []
    if data[:4] != MAGIC:
        return found
    while at + 3 <= len(data):
        kind, size = struct.unpack_from(">BH", data, at)
        found.append((kind, data[at + 3 : at + 3 + size]))
        at += 3 + size
    return found
