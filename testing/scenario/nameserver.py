"""A DNS server with odd manners, by UDP, TCP and HTTPS; and a target that says at which address it was reached."""
import http.server
import ipaddress
import socket
import socketserver
import ssl
import struct
import threading
import time

from rig import HOST

A, CNAME, SOA, AAAA = 1, 5, 6, 28
SILENT, SERVFAIL, NXDOMAIN = "silent", "servfail", "nxdomain"


def same_port(*makers):
    """What the makers return, all given the port that the first one found, which the others must find free."""
    for _ in range(50):
        made = [makers[0](0)]
        port = made[0].getsockname()[1]
        try:
            for make in makers[1:]:
                made.append(make(port))
            return port, made
        except OSError:
            for s in made:
                s.close()
    raise AssertionError("no port is free for all")


def datagrams(port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        s.bind((HOST, port))
    except OSError:
        s.close()
        raise
    return s


def wire_name(name):
    return b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\0"


def read_question(message):
    """Name as it was written, type, and the question's bytes."""
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1 : at + 1 + message[at]].decode())
        at += 1 + message[at]
    return ".".join(labels), struct.unpack(">H", message[at + 1 : at + 3])[0], message[12 : at + 5]


def record(owner, kind, ttl, data):
    return owner + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


def reply(message, records=(), code=0, flags=0, question=None, authority=()):
    question = read_question(message)[2] if question is None else question
    head = message[:2] + struct.pack(">5H", 0x8180 | code | flags, 1, len(records), len(authority), 0)
    return head + question + b"".join(records) + b"".join(authority)


class Zone:
    """`names`: what each name means, as a function of the question, or a list of addresses, or a word above."""

    def __init__(self, names, ttl=60):
        self.names, self.ttl = {k.lower(): v for k, v in names.items()}, ttl
        self.asked = []  # (how, name, type)

    def count(self, name, kind=A):
        return sum(1 for _, n, k in self.asked if n == name and k == kind)

    def answers(self, message, how):
        """Datagrams, or messages, that answer this one."""
        name, kind, _ = read_question(message)
        self.asked.append((how, name.lower(), kind))
        meaning = self.names.get(name.lower(), NXDOMAIN)
        if callable(meaning):
            return meaning(self, message, how)
        return self.usual(message, meaning)

    def usual(self, message, meaning):
        _, kind, _ = read_question(message)
        if meaning == SILENT:
            return []
        if meaning in (SERVFAIL, NXDOMAIN):
            return [reply(message, code=2 if meaning == SERVFAIL else 3)]
        addresses = [ipaddress.ip_address(m) for m in meaning]
        wanted = [a.packed for a in addresses if (a.version == 4) == (kind == A)]
        return [reply(message, [record(b"\xc0\x0c", kind, self.ttl, p) for p in wanted])]


def slow(seconds, meaning):
    def answer(zone, message, _):
        time.sleep(seconds)
        return zone.usual(message, meaning)

    return answer


class NameServer:
    """The same zone by UDP and TCP on one port."""

    def __init__(self, zone):
        self.zone = zone
        self.port, (tcp, self.udp) = same_port(lambda p: socket.create_server((HOST, p)), datagrams)
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                outer.converse(self.request)

        class Tcp(socketserver.ThreadingTCPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.tcp = Tcp((HOST, self.port), Handler, bind_and_activate=False)
        self.tcp.socket.close()
        self.tcp.socket = tcp
        threading.Thread(target=self.tcp.serve_forever, args=(0.05,), daemon=True).start()
        threading.Thread(target=self.serve_udp, daemon=True).start()

    def serve_udp(self):
        while True:
            try:
                message, peer = self.udp.recvfrom(4096)
            except OSError:
                return
            threading.Thread(target=self.answer_udp, args=(message, peer), daemon=True).start()

    def answer_udp(self, message, peer):
        for answer in self.zone.answers(message, "udp"):
            self.udp.sendto(answer, peer)

    def converse(self, s):
        stream = s.makefile("rb")
        while head := stream.read(2):
            message = stream.read(struct.unpack(">H", head)[0])
            for answer in self.zone.answers(message, "tcp"):
                s.sendall(struct.pack(">H", len(answer)) + answer)

    def close(self):
        self.udp.close()
        self.tcp.shutdown()
        self.tcp.server_close()


class HttpsNameServer:
    """DNS over HTTPS (RFC 8484). `cert`: files, as certs.Cert.files() says."""

    def __init__(self, zone, cert):
        self.zone, self.requests, self.connections = zone, [], 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self):
                super().setup()
                outer.connections += 1

            def do_POST(self):
                message = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append((self.path, self.headers["Host"], self.headers["Content-Type"]))
                answers = outer.zone.answers(message, "https")
                self.send_response(200 if answers else 503)
                body = answers[0] if answers else b""
                self.send_header("Content-Type", "application/dns-message")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Server((HOST, 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert["certificateFile"], cert["keyFile"])
        self.server.socket = context.wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Signposts:
    """One port on 127.0.0.1 and some others: whoever connects is told the address, and that is all."""

    def __init__(self, last=(1, 2, 3)):
        self.port, self.sockets = same_port(
            *(lambda p, n=n: socket.create_server((f"127.0.0.{n}", p)) for n in last)
        )
        for s in self.sockets:
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    @staticmethod
    def serve(listening):
        while True:
            try:
                s, _ = listening.accept()
                with s:
                    s.sendall(s.getsockname()[0].encode())
            except OSError:
                return

    def close(self):
        for s in self.sockets:
            s.shutdown(socket.SHUT_RDWR)
            s.close()
