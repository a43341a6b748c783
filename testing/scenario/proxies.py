"""Clients of SOCKS and HTTP proxies that say what a test wants, and inbounds and outbounds of both kinds."""
import socket
import struct
import subprocess

from rig import HOST, connect, read_exactly

USER, PASSWORD = "visitor@test", "open sesame"


def account(user=USER, password=PASSWORD):
    return {"user": user, "pass": password}


def socks_in(tag, port, auth=False, **settings):
    if auth:
        settings.update(auth="password", accounts=[account()])
    settings.setdefault("udp", True)
    return {"tag": tag, "listen": HOST, "port": port, "protocol": "socks", "settings": settings}


def http_in(tag, port, auth=False, **settings):
    if auth:
        settings.update(accounts=[account()])
    return {"tag": tag, "listen": HOST, "port": port, "protocol": "http", "settings": settings}


def proxy_out(protocol, tag, port, auth=False):
    server = {"address": HOST, "port": port}
    if auth:
        server["users"] = [account()]
    return {"tag": tag, "protocol": protocol, "settings": {"servers": [server]}}


def curl(*args, timeout=20):
    """What curl prints, and its exit code."""
    done = subprocess.run(
        ["curl", "-sS", "--noproxy", "", "--max-time", str(timeout), *args],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout + 5,
    )
    return done.stdout, done.returncode


def wire_address(host, port):
    try:
        return b"\x01" + socket.inet_aton(host) + struct.pack(">H", port)
    except OSError:
        return b"\x03" + bytes([len(host)]) + host.encode() + struct.pack(">H", port)


def socks_reply(s):
    """The code of a reply and the address in it."""
    version, code, _, kind = read_exactly(s, 4)
    assert version == 5 and kind == 1
    raw = read_exactly(s, 6)
    return code, (socket.inet_ntoa(raw[:4]), struct.unpack(">H", raw[4:])[0])


def socks_greet(s, auth=None):
    """None: without; else (user, password). The status of the password's answer."""
    if auth is None:
        s.sendall(b"\x05\x01\x00")
        assert read_exactly(s, 2) == b"\x05\x00"
        return 0
    s.sendall(b"\x05\x01\x02")
    assert read_exactly(s, 2) == b"\x05\x02"
    user, password = (text.encode() for text in auth)
    s.sendall(bytes([1, len(user)]) + user + bytes([len(password)]) + password)
    return read_exactly(s, 2)[1]


def socks_ask(s, command, host, port):
    s.sendall(bytes([5, command, 0]) + wire_address(host, port))
    return socks_reply(s)


class Association:
    """A client's datagrams through a SOCKS server."""

    def __init__(self, port, auth=None):
        self.control = connect(port)
        assert socks_greet(self.control, auth) == 0
        code, self.relay = socks_ask(self.control, 3, "0.0.0.0", 0)
        assert code == 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(10)

    def send(self, data, host, port, head=b"\0\0\0"):
        self.socket.sendto(head + wire_address(host, port) + data, self.relay)

    def receive(self, host, port):
        head = b"\0\0\0" + wire_address(host, port)
        got, source = self.socket.recvfrom(65536)
        assert source == self.relay and got.startswith(head), got[:40]
        return got[len(head) :]

    def close(self):
        self.control.close()
        self.socket.close()
