"""Origins behind the bridge: nginx with files, and servers with odd manners.

The odd origin reads one line and does what it says:
    echo            sends back what comes, until EOF, then ends
    sink N          reads N bytes, answers their SHA-256 in hex, ends
    eof             reads until EOF, answers "got " and what came, ends
    late TEXT       answers TEXT after a short while, ends; does not wait for an EOF
    bytes N         sends N known bytes, ends
    endless         sends until it cannot
    cut N           sends N known bytes, then resets the connection
    silent          accepts, and never says anything
"""
import hashlib
import os
import pathlib
import socket
import threading
import types

from rig import HOST, Nginx, reset

MB = 1 << 20
DISTINCT = 48
BANNER = b"220 ready before you ask\r\n"
PATTERN = hashlib.shake_128(b"the known bytes").digest(MB)


def known_bytes(count):
    whole, rest = divmod(count, MB)
    return PATTERN * whole + PATTERN[:rest]


class Server:
    """Accepts on a port of its own; every connection gets a thread."""

    def __init__(self, handler):
        self.handler = handler
        self.live = set()
        self.accepted = 0
        self.stopping = threading.Event()
        self.listener = socket.create_server((HOST, 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        self.live.add(s)
        try:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.handler(self, s)
        except OSError:
            pass
        finally:
            self.live.discard(s)
            s.close()

    def close(self):
        self.stopping.set()
        for s in [self.listener, *self.live]:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.listener.close()


def _line(s):
    """Up to the newline, byte by byte so that nothing behind it is lost; b"" at EOF."""
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = s.recv(1)
        if not byte:
            return b""
        line += byte
    return bytes(line[:-1])


def odd(server, s):
    order, _, rest = _line(s).decode(errors="replace").partition(" ")
    if order == "echo":
        while data := s.recv(65536):
            s.sendall(data)
    elif order == "sink":
        left, digest = int(rest), hashlib.sha256()
        while left:
            data = s.recv(min(left, 1 << 18))
            if not data:
                return
            digest.update(data)
            left -= len(data)
        s.sendall(digest.hexdigest().encode())
    elif order == "eof":
        got = b""
        while data := s.recv(65536):
            got += data
        s.sendall(b"got " + got)
    elif order == "late":
        server.stopping.wait(0.3)  # a server that thinks
        s.sendall(rest.encode())
    elif order == "bytes":
        s.sendall(known_bytes(int(rest)))
    elif order == "endless":
        while True:
            s.sendall(PATTERN)
    elif order == "cut":
        s.sendall(known_bytes(int(rest)))
        reset(s)
    elif order == "silent":
        while s.recv(65536):
            pass


def banner(_, s):
    s.sendall(BANNER)
    while data := s.recv(65536):
        s.sendall(data.upper())


def labelled(text):
    """An HTTP server that only says who it is."""

    def serve(_, s):
        head = b""
        while b"\r\n\r\n" not in head:
            data = s.recv(65536)
            if not data:
                return
            head += data
        body = text.encode()
        s.sendall(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )

    return Server(serve)


class UdpEcho:
    def __init__(self):
        self.s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.s.bind((HOST, 0))
        self.port = self.s.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                data, source = self.s.recvfrom(65536)
            except OSError:
                return
            if source is None:  # shut down by close()
                return
            self.s.sendto(data, source)

    def close(self):
        try:
            self.s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.s.close()


def distinct_file(index):
    """Some 100 kB that no other index has."""
    return hashlib.shake_128(b"file %d" % index).digest(100_000 + 1_000 * index)


def start_all(directory):
    """Every origin; .close() ends them."""
    directory = pathlib.Path(directory)
    files = directory / "files"
    files.mkdir()
    os.chmod(directory, 0o755)
    (files / "small.txt").write_text("small\n")
    (files / "empty.txt").write_bytes(b"")
    big = known_bytes(60 * MB)
    (files / "big.bin").write_bytes(big)
    for i in range(DISTINCT):
        (files / f"{i}.bin").write_bytes(distinct_file(i))
    nginx = Nginx(directory, files)
    odd_server, banner_server, udp = Server(odd), Server(banner), UdpEcho()

    def close():
        nginx.stop()
        odd_server.close()
        banner_server.close()
        udp.close()

    return types.SimpleNamespace(
        web=nginx.port,
        odd=odd_server.port,
        odd_server=odd_server,
        banner=banner_server.port,
        udp=udp.port,
        files=files,
        big_sha256=hashlib.sha256(big).hexdigest(),
        close=close,
    )
