"""A small VMess (AEAD header) and Mux.Cool peer for attacks and probes: test equipment, not a product.

It is written apart from the program under test and can say things that no honest peer says. Sockets are
blocking; errors are exceptions (EOFError when the other side ends, ValueError when it sends nonsense).
"""
import hashlib
import hmac
import ipaddress
import os
import struct
import time
import types
import uuid
import zlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from rig import connect, read_exactly

TCP, UDP, MUX = 1, 2, 3  # commands of a request; the first two are also networks of a mux stream
GCM, CHACHA, NONE = 3, 4, 5
CHUNKS, MASK, PADDING, SEALED_LENGTH = 0x01, 0x04, 0x08, 0x10
USUAL = CHUNKS | MASK | PADDING
NEW, KEEP, END, KEEPALIVE = 1, 2, 3, 4
DATA, ERROR = 1, 2
TAG = 16


# --------------------------------------------------------------------------------------- key derivation


def kdf(secret, *path):
    """HMAC over HMAC: the hash function of each level is the HMAC of the level before."""

    def level(i, message):
        if i == 0:
            return hmac.digest(b"VMess AEAD KDF", message, "sha256")
        key = path[i - 1].ljust(64, b"\0")
        inner = level(i - 1, bytes(b ^ 0x36 for b in key) + message)
        return level(i - 1, bytes(b ^ 0x5C for b in key) + inner)

    return level(len(path), secret)


def command_key(user_id):
    return hashlib.md5(uuid.UUID(user_id).bytes + b"c48619fe-8f02-49e0-b9e9-edf763e17e21").digest()


def fnv1a(data):
    value = 0x811C9DC5
    for byte in data:
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def address(host):
    """Type and bytes of a host, as VMess and Mux.Cool both write it; bytes are taken as a name."""
    if isinstance(host, str):
        try:
            ip = ipaddress.ip_address(host)
            return bytes([1 if ip.version == 4 else 3]) + ip.packed
        except ValueError:
            host = host.encode()
    return bytes([2, len(host)]) + host


# ------------------------------------------------------------------------------------------------ body


class Words:
    """The endless 16-bit words of SHAKE128 that mask lengths and choose paddings."""

    def __init__(self, seed):
        self.seed, self.at, self.known = seed, 0, b""

    def next(self):
        if self.at + 2 > len(self.known):
            self.known = hashlib.shake_128(self.seed).digest(max(4096, 2 * len(self.known)))
        self.at += 2
        return int.from_bytes(self.known[self.at - 2 : self.at], "big")


def _twice_md5(key):
    first = hashlib.md5(key).digest()
    return first + hashlib.md5(first).digest()


class Framing:
    """One direction of a body. seal() makes chunks; open() reads them through read(n)."""

    def __init__(self, request, answer=False):
        self.security, option = request.security, request.option
        key, iv = request.key, request.iv
        if answer:
            key, iv = (hashlib.sha256(x).digest()[:16] for x in (key, iv))
        self.iv, self.count = iv, 0
        self.words = Words(iv) if option & MASK else None
        plain_stream = self.security == NONE and request.command != UDP
        self.padded = bool(option & PADDING) and not plain_stream
        self.cipher = self._cipher(key)
        self.length_cipher = None
        if option & SEALED_LENGTH and self.cipher:
            self.length_cipher = self._cipher(kdf(request.key, b"auth_len")[:16])
            self.length_iv = request.iv
        self.overhead = TAG if self.cipher else 0
        self.sizes = []  # of what open() has read

    def _cipher(self, key):
        if self.security == GCM:
            return AESGCM(key)
        return ChaCha20Poly1305(_twice_md5(key)) if self.security == CHACHA else None

    def _nonce(self, iv):
        return struct.pack(">H", self.count & 0xFFFF) + iv[2:12]

    def seal(self, data):
        padding = self.words.next() % 64 if self.padded else 0
        body = self.cipher.encrypt(self._nonce(self.iv), data, None) if self.cipher else data
        size = len(body) + padding
        if self.length_cipher:
            field = struct.pack(">H", size - TAG)
            field = self.length_cipher.encrypt(self._nonce(self.length_iv), field, None)
        else:
            field = struct.pack(">H", size ^ (self.words.next() if self.words else 0))
        self.count += 1
        return field + body + os.urandom(padding)

    def length(self, field):
        """Size and padding that a length field announces; moves the mask on."""
        padding = self.words.next() % 64 if self.padded else 0
        if self.length_cipher:
            plain = self.length_cipher.decrypt(self._nonce(self.length_iv), field, None)
            return int.from_bytes(plain, "big") + TAG, padding
        mask = self.words.next() if self.words else 0
        return int.from_bytes(field, "big") ^ mask, padding

    def field_size(self):
        return 2 + TAG if self.length_cipher else 2

    def open(self, read):
        """The data of the next chunk; b"" for the one that ends the stream."""
        size, padding = self.length(read(self.field_size()))
        if size < self.overhead + padding:
            raise ValueError(f"a chunk of {size} bytes with {padding} of padding")
        self.sizes.append(size)
        body = read(size)[: size - padding]
        if self.cipher:
            body = self.cipher.decrypt(self._nonce(self.iv), body, None)
        self.count += 1
        return body


# --------------------------------------------------------------------------------------------- headers


class Request:
    """What a client says first. Every field may be set to something wrong."""

    def __init__(self, command, host="127.0.0.1", port=0, security=GCM, option=USUAL, **more):
        self.command, self.host, self.port = command, host, port
        self.security, self.option = security, option
        self.key, self.iv = os.urandom(16), os.urandom(16)
        self.proof = os.urandom(1)[0]
        self.version, self.padding, self.sum_error = 1, b"", 0
        self.__dict__.update(more)

    def plain(self):
        head = bytes([self.version]) + self.iv + self.key
        head += bytes([self.proof, self.option, len(self.padding) << 4 | self.security, 0])
        head += bytes([self.command])
        if self.command != MUX:
            head += struct.pack(">H", self.port) + address(self.host)
        head += self.padding
        return head + struct.pack(">I", fnv1a(head) ^ self.sum_error)

    def sealed(self, user_id, at=None):
        return seal_header(command_key(user_id), self.plain(), at)


def auth_id(key, at=None):
    block = struct.pack(">q", int(time.time() if at is None else at)) + os.urandom(4)
    block += struct.pack(">I", zlib.crc32(block))
    aes = Cipher(algorithms.AES(kdf(key, b"AES Auth ID Encryption")[:16]), modes.ECB()).encryptor()
    return aes.update(block) + aes.finalize()


def _header_part(key, name, name_iv, who, nonce):
    return AESGCM(kdf(key, name, who, nonce)[:16]), kdf(key, name_iv, who, nonce)[:12]


def seal_header(key, plain, at=None):
    who, nonce = auth_id(key, at), os.urandom(8)
    cipher, iv = _header_part(
        key, b"VMess Header AEAD Key_Length", b"VMess Header AEAD Nonce_Length", who, nonce
    )
    length = cipher.encrypt(iv, struct.pack(">H", len(plain)), who)
    cipher, iv = _header_part(key, b"VMess Header AEAD Key", b"VMess Header AEAD Nonce", who, nonce)
    return who + length + nonce + cipher.encrypt(iv, plain, who)


def open_header(user_id, read):
    """What a server makes of a client's first bytes: a namespace like Request, and their number."""
    key = command_key(user_id)
    who, length, nonce = read(16), read(2 + TAG), read(8)
    cipher, iv = _header_part(
        key, b"VMess Header AEAD Key_Length", b"VMess Header AEAD Nonce_Length", who, nonce
    )
    size = int.from_bytes(cipher.decrypt(iv, length, who), "big")
    cipher, iv = _header_part(key, b"VMess Header AEAD Key", b"VMess Header AEAD Nonce", who, nonce)
    head = cipher.decrypt(iv, read(size + TAG), who)
    if int.from_bytes(head[-4:], "big") != fnv1a(head[:-4]):
        raise ValueError("checksum")
    request = types.SimpleNamespace(
        iv=head[1:17], key=head[17:33], proof=head[33], option=head[34], security=head[35] & 15,
        command=head[37], host=None, port=0,
    )
    if request.command != MUX:
        request.port, request.host, _ = read_address(head, 38)
    return request, 16 + 2 + TAG + 8 + size + TAG


def read_address(data, at):
    """Port, host and the place behind them."""
    port, kind = struct.unpack_from(">HB", data, at)
    at += 3
    if kind == 2:
        size = data[at]
        return port, data[at + 1 : at + 1 + size].decode("latin-1"), at + 1 + size
    size = {1: 4, 3: 16}[kind]
    return port, str(ipaddress.ip_address(data[at : at + size])), at + size


def seal_answer(request):
    key, iv = (hashlib.sha256(x).digest()[:16] for x in (request.key, request.iv))
    head = bytes([request.proof, 0, 0, 0])
    length = AESGCM(kdf(key, b"AEAD Resp Header Len Key")[:16]).encrypt(
        kdf(iv, b"AEAD Resp Header Len IV")[:12], struct.pack(">H", len(head)), None
    )
    return length + AESGCM(kdf(key, b"AEAD Resp Header Key")[:16]).encrypt(
        kdf(iv, b"AEAD Resp Header IV")[:12], head, None
    )


def open_answer(request, read):
    key, iv = (hashlib.sha256(x).digest()[:16] for x in (request.key, request.iv))
    length = AESGCM(kdf(key, b"AEAD Resp Header Len Key")[:16]).decrypt(
        kdf(iv, b"AEAD Resp Header Len IV")[:12], read(2 + TAG), None
    )
    head = AESGCM(kdf(key, b"AEAD Resp Header Key")[:16]).decrypt(
        kdf(iv, b"AEAD Resp Header IV")[:12], read(int.from_bytes(length, "big") + TAG), None
    )
    if head[0] != request.proof:
        raise ValueError("an answer to another request")


# ----------------------------------------------------------------------------------------- connections


class Client:
    """A VMess client's connection."""

    def __init__(self, port, user_id, request, timeout=10, at=None, sealed=None):
        self.request = request
        self.sealed = sealed or request.sealed(user_id, at)
        self.s = connect(port, timeout)
        self.up, self.down = Framing(request), Framing(request, answer=True)
        self.greeted, self.rest = False, b""

    def start(self, data=b""):
        self.s.sendall(self.sealed + (self.up.seal(data) if data else b""))
        return self

    def send(self, data):
        """In chunks of at most 16 KiB, borders wherever they fall."""
        pieces = (data[i : i + 16384] for i in range(0, len(data), 16384))
        self.s.sendall(b"".join(map(self.up.seal, pieces)))

    def raw(self, count):
        return read_exactly(self.s, count)

    def receive(self):
        """The data of one chunk; b"" at the end of the stream."""
        if not self.greeted:
            open_answer(self.request, self.raw)
            self.greeted = True
        return self.down.open(self.raw)

    def read(self, count):
        while len(self.rest) < count:
            data = self.receive()
            if not data:
                raise EOFError("end of the stream")
            self.rest += data
        data, self.rest = self.rest[:count], self.rest[count:]
        return data

    def all_data(self):
        """Whatever plain bytes come until the end; never raises."""
        got = b""
        try:
            while data := self.receive():
                got += data
        except (OSError, EOFError, ValueError, InvalidTag):
            pass
        return got

    def close(self):
        self.s.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Accepted(Client):
    """The server's side of a connection that a VMess client has made to us."""

    def __init__(self, s, user_id):
        self.s = s
        self.request, _ = open_header(user_id, self.raw)
        self.up, self.down = Framing(self.request, answer=True), Framing(self.request)
        self.greeted, self.rest = True, b""
        s.sendall(seal_answer(self.request))


# ------------------------------------------------------------------------------------------------- mux


def frame(stream, status, data=None, option=0, network=None, host=None, port=0, extra=b""):
    meta = struct.pack(">HBB", stream, status, option | (DATA if data is not None else 0))
    if network:
        meta += struct.pack(">BH", network, port) + address(host)
    meta += extra
    out = struct.pack(">H", len(meta)) + meta
    return out if data is None else out + struct.pack(">H", len(data)) + data


def read_frame(read):
    """A namespace: stream, status, option, network, host, port, extra (behind the target), data."""
    meta = read(int.from_bytes(read(2), "big"))
    stream, status, option = struct.unpack_from(">HBB", meta)
    f = types.SimpleNamespace(
        stream=stream, status=status, option=option, network=None, host=None, port=0, extra=b"",
        data=b"",
    )
    if status == NEW:
        f.network = meta[4]
        f.port, f.host, at = read_address(meta, 5)
        f.extra = meta[at:]
    if option & DATA:
        f.data = read(int.from_bytes(read(2), "big"))
    return f
