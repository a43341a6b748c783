"""Bytes of who means no good, by every listener and from every server that we dial: cut, garbled, slow, without end. Each
ends its own connection; memory and files come back, and others are served meanwhile."""
import base64
import contextlib
import hashlib
import random
import socket
import ssl
import subprocess

import pytest

from certs import Cert
from configs import LOG, dokodemo
from origins import Server
from proxies import Association, socks_in
from rig import (
    HOST, SLOWER, connect, free_port, read_exactly, read_to_end, reset, visit_whole, wait_for,
)
from test_proxy_in import SIGNATURE, version_1, version_2, version_2_ipv6

pytestmark = [pytest.mark.v2c, pytest.mark.quick]
MB = 1 << 20


@pytest.fixture
def door(run, origins):
    """A visitors' port with these streamSettings, by default to the odd origin."""

    def start(stream=None, target=None, **more):
        port = free_port()
        inbound = dokodemo("door", port, target or origins.odd)
        if stream:
            inbound["streamSettings"] = stream
        v2c = run("v2c", {"log": LOG, "inbounds": [inbound], "outbounds": [{"protocol": "freedom"}], **more})
        v2c.port = port
        return v2c

    return start


def until_end(s, seconds=5):
    """However it ends, it does."""
    got = read_to_end(s, seconds)
    assert got.how != "open", got.data[:100]
    return got.data


def say_all(s, data):
    """That, and the end; the peer may have had enough before."""
    with contextlib.suppress(OSError):
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)


# ----------------------------------------------------------------------------------------- PROXY headers


HEADERS = {"1": version_1(), "2": version_2(values=b"\x04\0\x02xy"), "6": version_2_ipv6()}
NO_HEADERS = [
    b"PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n", b"PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n", b"PROXY TCP4  1.1.1.1 2.2.2.2 1 1\r\n",
    b"PROXY TCP4 1.1.1.1 2.2.2.2 1 1 \r\n", b"PROXY TCP4 1.1.1.1 2.2.2.2 1 1\n", b"PROXY TCP4 1.1.1.1 2.2.2.2 -1 1\r\n",
    b"PROXY TCP4 01.1.1.1 2.2.2.2 1 1\r\n", b"PROXY TCP6 [::1] ::1 1 1\r\n", b"PROXY TCP6 ::1%lo ::1 1 1\r\n",
    b"PROXY TCP4 ::1 ::1 1 1\r\n", b"PROXY TCP6 1.1.1.1 2.2.2.2 1 1\r\n", b"PROXY TCP4 \t1.1.1.1 2.2.2.2 1 1\r\n",
    b"PROXY " + b"x" * 120, b"PROXY \r\n", b"PROXY TCP5 a b 1 1\r\n", b"PROXYTCP4\r\n", b"proxy TCP4 1.1.1.1 2.2.2.2 1 1\r\n",
    SIGNATURE + b"\x11\x11\0\x0c" + bytes(12), SIGNATURE + b"\x22\x11\0\x0c" + bytes(12),
    SIGNATURE + b"\x21\x11\0\x0b" + bytes(11), SIGNATURE + b"\x21\x21\0\x23" + bytes(35), b"\x16\x03\x01\x02\0", b"\0" * 300,
]


def test_proxy_headers_that_are_none(door, origins):
    v2c = door({"sockopt": {"acceptProxyProtocol": True}})
    before = origins.odd_server.accepted
    for header in NO_HEADERS:
        with connect(v2c.port) as s:
            say_all(s, header)
            assert until_end(s) == b"", header
    for header in HEADERS.values():
        for at in range(len(header)):
            with connect(v2c.port) as s:
                say_all(s, header[:at])
                assert until_end(s) == b"", header[:at]
    assert origins.odd_server.accepted == before
    for header in HEADERS.values():
        with connect(v2c.port) as s:
            for byte in header:
                s.sendall(bytes([byte]))
            s.sendall(b"late yes\n")
            assert read_exactly(s, 3) == b"yes"


# ------------------------------------------------------------------------------------------- associations


def test_associations_are_bounded_and_come_back(run, origins):
    port = free_port()
    v2c = run("v2c", {"log": LOG, "inbounds": [socks_in("s", port)], "outbounds": [{"protocol": "freedom"}]})
    with contextlib.closing(Association(port)) as one:
        one.send(b"x", HOST, origins.udp)
        assert one.receive(HOST, origins.udp) == b"x"
    wait_for(lambda: v2c.open_files() < 64, 5, "rest")
    files, memory = v2c.open_files(), v2c.rss()
    many, refused = [], 0
    for i in range(1500):  # from two addresses: one alone gets half of the places
        s = socket.create_connection((HOST, port), 10, (f"127.0.0.{1 + i % 2}", 0))
        s.sendall(b"\x05\x01\0\x05\x03\0\x01\0\0\0\0\0\0")
        many.append(s)
    for s in many:
        head = read_exactly(s, 4)
        refused += head[3] != 0
    assert refused == 1500 - 1024 and v2c.open_files() - files < 2 * 1500
    for s in many:
        reset(s)
    wait_for(lambda: v2c.open_files() <= files + 2, 10, "all to end")
    with contextlib.closing(Association(port)) as one:
        target = random.randbytes(8)
        for n in range(3000):  # one client, many targets
            one.send(target, f"127.{n // 250}.{n % 250 + 1}.1", 9)
            for head in (b"\0\0\x01", b"\0\0\xff", b"\0", b"", b"\0\0\0"):
                one.socket.sendto(head, one.relay)

        def still_heard():
            one.socket.settimeout(0.1)
            one.send(b"still", HOST, origins.udp)
            with contextlib.suppress(TimeoutError):
                return one.receive(HOST, origins.udp) == b"still"

        wait_for(still_heard, 5, "an answer behind the flood")
        assert v2c.open_files() - files < 300
    wait_for(lambda: v2c.open_files() <= files + 2, 10, "the targets to end")
    assert v2c.rss() - memory < 16 * MB * SLOWER


# --------------------------------------------------------------------------------------------------- tls


@pytest.fixture(scope="module")
def cert():
    return Cert([HOST, "web.test"])


def test_handshakes_that_never_end_keep_nobody_out(door, origins, cert, tmp_path):
    """More of them than may greet at once; and those who only alert, or close."""
    tls = {"security": "tls", "tlsSettings": {"certificates": [cert.files(tmp_path, "c")]}}
    v2c = door(tls, target=origins.web)
    files, memory = v2c.open_files(), v2c.rss()
    context = ssl.create_default_context(cadata=cert.pem)

    def good():
        with context.wrap_socket(connect(v2c.port), server_hostname="web.test") as s:
            s.sendall(b"GET /small.txt HTTP/1.1\r\nHost: web.test\r\nConnection: close\r\n\r\n")
            return read_to_end(s, 10).data.endswith(b"small\n")

    assert good()
    stuck = []
    for i in range(1400):
        s = connect(v2c.port)
        with contextlib.suppress(OSError):
            s.sendall((b"", b"\x16", b"\x16\x03\x01\x02\0\x01\0")[i % 3])
        stuck.append(s)
        if i % 200 == 0:
            assert good()
    assert good()
    assert v2c.open_files() - files < 1200
    for s in stuck:
        s.close()
    wait_for(lambda: v2c.open_files() <= files + 4, 10, "all to end")
    for garbage in (b"\x15\x03\x01\0\x02\x01\0" * 400, b"\x15\x03\x03\0\x02\x02\x28", b"\x14\x03\x03\0\x01\x01" * 400,
                    b"\x17\x03\x03\x40\0" + bytes(16384), b"\x80\x2e\x01\0\x02" + bytes(60), bytes(5000),
                    b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(70000)):
        with connect(v2c.port) as s, contextlib.suppress(OSError):
            s.sendall(garbage)
            until_end(s)
    assert good()
    assert v2c.rss() - memory < 64 * MB * SLOWER


def test_no_renegotiation_and_no_downgrade(door, cert, tmp_path):
    tls = {"security": "tls", "tlsSettings": {"certificates": [cert.files(tmp_path, "c")]}}
    v2c = door(tls)
    for options in (["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"], ["-tls1", "-cipher", "DEFAULT@SECLEVEL=0"],
                    ["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"], ["-tls1_2", "-cipher", "NULL:@SECLEVEL=0"],
                    ["-tls1_2", "-fallback_scsv"]):
        done = subprocess.run(["openssl", "s_client", "-connect", f"{HOST}:{v2c.port}", *options], input=b"",
                              capture_output=True, timeout=10)
        assert b"Cipher is (NONE)" in done.stdout and b" alert " in done.stderr, options
    done = subprocess.Popen(["openssl", "s_client", "-connect", f"{HOST}:{v2c.port}", "-tls1_2"],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    out, _ = done.communicate(b"R\n", timeout=10)
    assert b"no renegotiation" in out, out[-300:]


# --------------------------------------------------------------------------------------------- websocket


CLIENT_SIDE = {
    "masked": b"\x82\x81\0\0\0\0x", "reserved bit": b"\xc2\x01x", "opcode 3": b"\x83\x01x", "opcode b": b"\x8b\x01x",
    "long ping": b"\x89\x7e\0\x7e" + bytes(126), "cut ping": b"\x09\x01x", "close of 1 byte": b"\x88\x01x",
    "close 1005": b"\x88\x02\x03\xed", "length 2^63": b"\x82\x7f\x80" + bytes(7), "continues nothing": b"\x80\x01x",
    "text within": b"\x02\x01x\x81\x01y",
    "pings": b"\x89\0" * 50, "pongs": b"\x8a\0" * 50,
}


def accept_of(head):
    key = head.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
    return base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


def head_of(s):
    got = b""
    while b"\r\n\r\n" not in got:
        piece = s.recv(4096)
        if not piece:
            return got
        got += piece
    return got


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_server_that_breaks_the_rules_of_ws(run, cert, tmp_path, tls):
    """Our client ends that one connection, and takes nothing for data that is not."""
    port = free_port()
    bad = {}

    def serve(_, s):
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            files = cert.files(tmp_path, "server")
            context.load_cert_chain(files["certificateFile"], files["keyFile"])
            s = context.wrap_socket(s, server_side=True)
        head = head_of(s)
        answer = bad.get("answer") or b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n"
        s.sendall(answer.replace(b"%s", accept_of(head)) + bad["frames"])
        read_to_end(s, 5)

    server = Server(serve)
    stream = {"network": "ws", "wsSettings": {"path": "/"}}
    if tls:
        stream.update(security="tls", tlsSettings={"certificates": [cert.trusted(tmp_path, "ca")]})
    out = {"protocol": "freedom", "streamSettings": stream}
    v2c = run("v2c", {"log": LOG, "inbounds": [dokodemo("in", port, server.port)], "outbounds": [out]})

    def visit():
        return visit_whole(port, b"hello", 5)

    for name, frames in CLIENT_SIDE.items():
        bad["frames"] = frames
        got = visit()
        assert got.how == "rst", (name, got)
        assert b"x" not in got.data or name == "text within", (name, got)
    bad["frames"] = b"\x82\x05stuff"
    for answer in (b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
                   b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
                   b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
                   b"x" * 70_000, b"HTTP/1.1 101\r\n" * 3000, b"\0" * 100 + b"\r\n\r\n", b"HTTP/2 101 x\r\n\r\n",
                   b"HTTP/1.1 101 x\r\nA: \0\r\n\r\n", b"HTTP/1.1 101 x\r\nA b: c\r\n\r\n"):
        bad["answer"] = answer
        got = visit()
        assert got.how == "rst" and not got.data, (answer[:60], got)
    bad.clear()
    bad["frames"] = b"\x82\x05stuff\x88\x02\x03\xe8"
    assert visit() == (b"stuff", "fin")
    assert v2c.alive()
    server.close()


UPGRADE = "GET /ray HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{more}\r\n"


def test_a_client_that_smuggles_in_the_handshake(door, origins):
    """No 101 for what another reader could read in another way."""
    v2c = door({"network": "ws", "wsSettings": {"path": "/ray", "headers": {"Host": "a"}}})
    key = "AAAAAAAAAAAAAAAAAAAAAA=="
    before = origins.odd_server.accepted
    for more in ("Host: b\r\n", "Content-Length: 0\r\nContent-Length: 5\r\n", " folded: x\r\n", "A : b\r\n", "A: b\nC: d\r\n", "A: \0\r\n", ": x\r\n", "Content-Length: 5\r\n",
                 "Transfer-Encoding: chunked\r\n", "Sec-WebSocket-Key: " + key + "\r\n", "Host: a\r\n"):
        with connect(v2c.port) as s:
            say_all(s, UPGRADE.format(key=key, more=more).encode())
            assert until_end(s).startswith(b"HTTP/1.1 404 "), more
    for key in ("", "x", "A" * 21 + "==", "A" * 24):
        with connect(v2c.port) as s:
            say_all(s, UPGRADE.format(key=key, more="").encode())
            assert until_end(s).startswith(b"HTTP/1.1 404 "), key
