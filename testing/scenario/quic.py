"""A QUIC client's first datagrams (RFC 9001), and a TLS ClientHello for any name."""
import hashlib
import hmac
import os
import ssl

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SALT = bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a")


def client_hello(name):
    """The record that OpenSSL sends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    out = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def _hmac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def _expand(secret, label, size):
    label = b"tls13 " + label
    info = size.to_bytes(2, "big") + bytes([len(label)]) + label + b"\0\1"
    return _hmac(secret, info)[:size]


def _two(number):
    return (number | 0x4000).to_bytes(2, "big")


def _initial(identity, number, frames):
    """One Initial packet of 1200 bytes."""
    secret = _expand(_hmac(SALT, identity), b"client in", 32)
    key, iv, hp = (_expand(secret, b"quic " + what, n) for what, n in ((b"key", 16), (b"iv", 12), (b"hp", 16)))
    head = b"\xc3\0\0\0\1" + bytes([len(identity)]) + identity + b"\0\0"
    plain = frames.ljust(1200 - len(head) - 2 - 4 - 16, b"\0")
    head += _two(4 + len(plain) + 16)
    packet_number = number.to_bytes(4, "big")
    nonce = bytes(a ^ b for a, b in zip(iv, number.to_bytes(12, "big")))
    sealed = AESGCM(key).encrypt(nonce, plain, head + packet_number)
    mask = Cipher(algorithms.AES(hp), modes.ECB()).encryptor().update(sealed[:16])
    hidden = bytes(a ^ b for a, b in zip(packet_number, mask[1:]))
    return bytes([head[0] ^ (mask[0] & 0x0F)]) + head[1:] + hidden + sealed


def first_datagrams(name, cut=150):
    """Two, with the hello's second part in the first."""
    hello = client_hello(name)[5:]
    identity = os.urandom(8)
    parts = [(cut, hello[cut:]), (0, hello[:cut])]
    frames = (b"\x06" + _two(at) + _two(len(part)) + part for at, part in parts)
    return [_initial(identity, i, frame) for i, frame in enumerate(frames)]
