"""The ingress: HTTP, WebSocket and TLS on one port, each to where it belongs; with curl, OpenSSL, nginx and python3-websockets."""
import asyncio
import copy
import http.server
import json
import signal
import socket
import ssl
import struct
import subprocess
import threading
from types import SimpleNamespace

import pytest
import websockets

from certs import Cert
from configs import LOG
from origins import MB, known_bytes
from rig import (
    HOST, NGINX, SLOWER, connect, free_port, free_ports, in_parallel, listening, read_answer, read_exactly, read_to_end, wait_for,
)
from test_reload import reload_to

pytestmark = [pytest.mark.v2c, pytest.mark.quick]


# --------------------------------------------------------------------------------------------- origins


class Handler(http.server.BaseHTTPRequestHandler):
    """Says who it is and what it was asked."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        length = int(self.headers.get("Content-Length", 0))
        self.rfile.read(length)
        said = {"who": self.server.who, "path": self.path, "headers": dict(self.headers.items())}
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        pass


class Origin(http.server.ThreadingHTTPServer):
    """`cert`, if given, makes it speak TLS."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, who, cert=None, folder=None):
        super().__init__((HOST, 0), Handler)
        self.who = who
        self.port = self.server_address[1]
        if cert:
            files = cert.files(folder, who)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(files["certificateFile"], files["keyFile"])
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def handle_error(self, *_):
        pass

    def close(self):
        self.shutdown()
        self.server_close()


@pytest.fixture(scope="module")
def pair():
    """Two plain origins."""
    one, two = Origin("one"), Origin("two")
    yield SimpleNamespace(one=one, two=two)
    one.close()
    two.close()


@pytest.fixture(scope="module")
def known():
    ca = Cert(authority=True)
    return SimpleNamespace(
        ca=ca, a=Cert(["a.example", "a2.example"], ca), b=Cert(["b.example"], ca), c=Cert(["c.example"], ca)
    )


# --------------------------------------------------------------------------------------------- the entry


def entry_config(port, origins, routes=None, proxy=False, **settings):
    """`origins`: by tag, the port where it is. Each tag is also a host: TAG.example."""
    routes = routes or [{"host": f"{tag}.example", "outboundTag": tag} for tag in origins]
    inbound = {
        "tag": "entry",
        "listen": HOST,
        "port": port,
        "protocol": "ingress",
        "settings": {"routes": routes, **settings},
    }
    if proxy:
        inbound["streamSettings"] = {"sockopt": {"acceptProxyProtocol": True}}
    return {
        "log": LOG,
        "drain": 2,
        "inbounds": [inbound],
        "outbounds": [
            {"tag": tag, "protocol": "freedom", "settings": {"redirect": f"{HOST}:{port}"}}
            for tag, port in origins.items()
        ],
    }


@pytest.fixture
def entry(run):
    def start(origins, routes=None, name="entry", **more):
        config = entry_config(free_port(), origins, routes, **more)
        port = config["inbounds"][0]["port"]
        return SimpleNamespace(program=run("v2c", config, name), port=port, config=config)

    return start


def request(host, path="/", extra="", method="GET", body=""):
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{length}{extra}\r\n{body}".encode()


def ask(s, host, path="/", **more):
    s.sendall(request(host, path, **more))
    answer = read_answer(s)
    return SimpleNamespace(status=answer.status, text=answer.text, said=said(answer))


def said(answer):
    try:
        return SimpleNamespace(**json.loads(answer.text))
    except ValueError:
        return None


def secure(port, cert, name, context=None):
    context = context or ssl.create_default_context(cadata=cert.pem)
    return context.wrap_socket(connect(port), server_hostname=name)


def openssl(port, *arguments, name=None, send=b""):
    """What OpenSSL's client says, of both kinds."""
    names = ["-servername", name] if name else ["-noservername"]
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"{HOST}:{port}", *names, *arguments],
        input=send, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20,
    )  # fmt: skip
    return done.stdout.decode(errors="replace")


# --------------------------------------------------------------------------------------------- HTTP


@pytest.mark.workers
def test_each_request_of_a_connection_goes_to_its_own_host(entry, pair):
    e = entry({"one": pair.one.port, "two": pair.two.port})

    def visitor():
        with connect(e.port) as s:
            for who in ["one", "two", "one", "two", "two"]:
                got = ask(s, f"{who}.example", f"/{who}", method="POST", body="x" * 1000)
                assert got.status == 200 and got.said.who == who and got.said.path == f"/{who}"

    in_parallel([visitor] * 10)


def test_hosts_are_one_whatever_their_spelling(entry, pair):
    e = entry({"one": pair.one.port})
    with connect(e.port) as s:
        for host in ("one.example", "ONE.Example", "one.example.", f"One.example:{e.port}"):
            assert ask(s, host).said.who == "one"
        assert ask(s, "three.example").status == 404
    with connect(e.port) as s:
        s.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert read_answer(s).status == 400


def nginx_before(directory, port):
    """nginx that sends what it gets to the entry over as few connections as it can."""
    front = free_port()
    conf = directory / "front.conf"
    temp = "".join(
        f"{kind}_temp_path {directory}/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    conf.write_text(
        f"""daemon off; master_process off; worker_processes 1; pid {directory}/front.pid;
        error_log {directory}/front.log; events {{ worker_connections 256; }}
        http {{ access_log off; {temp}
            upstream entry {{ server {HOST}:{port}; keepalive 1; }}
            server {{ listen {HOST}:{front};
                location / {{ proxy_pass http://entry; proxy_http_version 1.1; proxy_set_header Connection "";
                    proxy_set_header Host $host; proxy_set_header X-Forwarded-For $http_x_client; }} }} }}"""
    )
    process = subprocess.Popen([NGINX, "-c", str(conf), "-p", str(directory), "-e", f"{directory}/front.log"])
    wait_for(lambda: listening(front), 10, "nginx to listen")
    return front, process


def test_nginx_in_front_may_mix_hosts_and_tells_who_asks(entry, pair, tmp_path):
    e = entry({"one": pair.one.port, "two": pair.two.port}, trustedProxies=["127.0.0.0/8"])
    front, process = nginx_before(tmp_path, e.port)
    try:
        with connect(front) as s:
            for i in range(20):
                who = "one" if i % 3 else "two"
                got = ask(s, f"{who}.example", extra=f"X-Client: 192.0.2.{i}\r\n")
                assert got.said.who == who
                assert got.said.headers["X-Forwarded-For"].startswith(f"192.0.2.{i}")
        accepted = len([line for line in e.program.log().splitlines() if " accepted " in line])
        assert accepted < 20
    finally:
        process.terminate()
        process.wait(10)


PROXY_V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack("!H4s4sHH", 12, b"\xc0\0\2\7", b"\x7f\0\0\1", 5555, 80)


@pytest.mark.parametrize("header", [b"PROXY TCP4 192.0.2.7 127.0.0.1 5555 80\r\n", PROXY_V2], ids=["v1", "v2"])
def test_a_proxy_header_tells_who_asks(entry, pair, known, tmp_path, header):
    tls = {"certificates": [known.a.files(tmp_path, "a")]}
    e = entry({"a": pair.one.port}, proxy=True, tls=tls)
    with connect(e.port) as s:
        s.sendall(header)
        assert ask(s, "a.example").said.headers["X-Forwarded-For"] == "192.0.2.7"
    with connect(e.port) as s:
        s.sendall(header)
        context = ssl.create_default_context(cadata=known.ca.pem)
        with context.wrap_socket(s, server_hostname="a.example") as inner:
            got = ask(inner, "a.example").said.headers
            assert (got["X-Forwarded-For"], got["X-Forwarded-Proto"]) == ("192.0.2.7", "https")


def test_http2_without_tls_is_refused_with_a_page(entry, pair):
    e = entry({"one": pair.one.port})
    with connect(e.port) as s:
        s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        got = read_to_end(s)
    assert got.data.startswith(b"HTTP/1.1 505 ") and got.how == "fin"


# --------------------------------------------------------------------------------------------- TLS ended here


@pytest.fixture
def ends(entry, pair, known, tmp_path):
    """An entry with certificates for a and b, of which each has its own origin."""

    def start(**more):
        certificates = [known.a.files(tmp_path, "a"), known.b.files(tmp_path, "b")]
        routes = [
            {"host": "a.example", "outboundTag": "a"},
            {"host": "a2.example", "outboundTag": "a"},
            {"host": "b.example", "outboundTag": "b"},
        ]
        tls = {"certificates": certificates, **more}
        return entry({"a": pair.one.port, "b": pair.two.port}, routes, tls=tls)

    return start


def test_curl_gets_the_certificate_and_the_origin_of_its_name(ends, known, tmp_path):
    e = ends()
    known.ca.trusted(tmp_path, "ca")
    for name, who in (("a", "one"), ("b", "two")):
        for version in ("--http1.1", "--http2"):
            done = subprocess.run(
                ["curl", "-sS", version, "--cacert", tmp_path / "ca.pem", "--resolve",
                 f"{name}.example:{e.port}:{HOST}", f"https://{name}.example:{e.port}/x"],
                capture_output=True, timeout=20, check=True,
            )  # fmt: skip
            assert json.loads(done.stdout)["who"] == who
    done = subprocess.run(["curl", "-sS", "-H", "Host: a.example", f"http://{HOST}:{e.port}/"], capture_output=True)
    assert json.loads(done.stdout)["who"] == "one"


def test_a_host_that_the_certificate_is_not_for_is_421(ends, known):
    e = ends()
    with secure(e.port, known.ca, "a.example") as s:
        assert ask(s, "a.example").said.who == "one"
        assert ask(s, "a2.example").said.who == "one"
        assert ask(s, "b.example").status == 421
        assert ask(s, "a.example").said.who == "one"
    context = ssl.create_default_context(cadata=known.ca.pem)
    context.check_hostname = False
    with secure(e.port, known.ca, None, context) as s:  # without a name: the first certificate
        assert ask(s, "a.example").said.who == "one"
        assert ask(s, "b.example").status == 421


def test_only_http1_is_offered(ends):
    e = ends()
    assert "ALPN protocol: http/1.1" in openssl(e.port, "-alpn", "h2,http/1.1", name="a.example")
    assert "no application protocol" in openssl(e.port, "-alpn", "h2", name="a.example")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_ticket_is_good_for_its_own_name_only(ends, tmp_path, version):
    e = ends(enableSessionResumption=True)
    ticket = str(tmp_path / "ticket")
    one = [version, "-ign_eof"]
    ending = request("a.example", extra="Connection: close\r\n")
    assert "New, TLSv1" in openssl(e.port, *one, "-sess_out", ticket, name="a.example", send=ending)
    assert "Reused, TLSv1" in openssl(e.port, *one, "-sess_in", ticket, name="a.example", send=ending)
    for name in ("b.example", "a2.example", None):
        assert "New, TLSv1" in openssl(e.port, *one, "-sess_in", ticket, name=name, send=ending)


@pytest.mark.slow
def test_changed_certificates_are_shown_without_a_reload(ends, known, tmp_path):
    e = ends()
    with secure(e.port, known.ca, "a.example") as s:
        assert ask(s, "a.example").status == 200
        fresh = Cert(["a.example", "new.example"], known.ca)
        fresh.files(tmp_path, "a")

        def shown():
            with secure(e.port, known.ca, "a.example") as other:
                return other.getpeercert(True) != s.getpeercert(True)

        wait_for(shown, 10, "the new certificate")
        assert ask(s, "a.example").status == 200


# --------------------------------------------------------------------------------------------- TLS passed on


@pytest.fixture
def behind(known, tmp_path):
    """A server that has its own certificate, for c.example."""
    server = Origin("c", known.c, tmp_path)
    yield server
    server.close()


@pytest.mark.workers
def test_tls_for_a_routed_name_is_its_servers_own(entry, behind, pair, known, tmp_path):
    tls = {"certificates": [known.a.files(tmp_path, "a")]}
    e = entry({"a": pair.one.port, "c": behind.port}, tls=tls)

    def visitor(name, who):
        with secure(e.port, known.ca, name) as s:
            for _ in range(3):
                assert ask(s, name).said.who == who

    in_parallel([lambda: visitor("c.example", "c"), lambda: visitor("a.example", "one")] * 5)


def test_a_hello_in_many_pieces_is_passed_on_whole(entry, behind, known):
    e = entry({"c": behind.port})
    context = ssl.create_default_context(cadata=known.ca.pem)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    inner = context.wrap_bio(incoming, outgoing, server_hostname="c.example")
    with pytest.raises(ssl.SSLWantReadError):
        inner.do_handshake()
    with connect(e.port) as s:
        for byte in outgoing.read():
            s.sendall(bytes([byte]))
        while True:
            incoming.write(s.recv(65536))
            try:
                inner.do_handshake()
                break
            except ssl.SSLWantReadError:
                pass
    assert inner.getpeercert()["subjectAltName"] == (("DNS", "c.example"),)


def test_a_name_that_leads_nowhere_gets_an_alert(entry, pair):
    e = entry({"one": pair.one.port})
    assert "unrecognized name" in openssl(e.port, name="d.example")
    assert "unrecognized name" in openssl(e.port)
    with connect(e.port) as s:
        s.sendall(b"\x16\3\1\0\5nonsense")
        assert read_to_end(s).how in ("fin", "rst")
    with connect(e.port) as s:
        assert ask(s, "one.example").said.who == "one"


# --------------------------------------------------------------------------------------------- WebSocket


@pytest.fixture
def echo():
    """A WebSocket server of python3-websockets that sends back what it gets."""
    loop, ready = asyncio.new_event_loop(), threading.Event()
    box = SimpleNamespace(port=free_port(), stop=None)

    async def answer(ws, *_):
        async for message in ws:
            await ws.send(message)

    async def serve():
        box.stop = loop.create_future()
        async with websockets.serve(answer, HOST, box.port, max_size=16 * MB):
            ready.set()
            await box.stop

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert ready.wait(10)
    yield box
    loop.call_soon_threadsafe(box.stop.set_result, None)
    thread.join(10)


@pytest.mark.workers
@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_websocket_traffic_passes(entry, echo, known, tmp_path, scheme):
    e = entry({"a": echo.port}, tls={"certificates": [known.a.files(tmp_path, "a")]})
    context = ssl.create_default_context(cadata=known.ca.pem) if scheme == "wss" else None
    sizes = [0, 1, 125, 126, 65535, 65536, MB]

    async def talk():
        s = connect(e.port)
        s.setblocking(False)
        more = {"ssl": context, "server_hostname": "a.example"} if context else {}
        async with websockets.connect(f"{scheme}://a.example/chat", sock=s, max_size=16 * MB, **more) as ws:
            for size in sizes:
                await ws.send(known_bytes(size))
                assert await ws.recv() == known_bytes(size)
                await ws.send("text")
                assert await ws.recv() == "text"
            await (await ws.ping())

    asyncio.run(asyncio.wait_for(talk(), 30))


# --------------------------------------------------------------------------------------------- changes, and the end


def ended(program):
    assert program.process.wait(10 * SLOWER) == 0
    program.check_health()
    program.process = None


def test_a_kept_connection_takes_new_routes_with_its_next_request(entry, pair):
    e = entry({"one": pair.one.port, "two": pair.two.port})
    config = copy.deepcopy(e.config)
    with connect(e.port) as s:
        assert ask(s, "one.example").said.who == "one"
        config["inbounds"][0]["settings"]["routes"] = [{"host": "one.example", "outboundTag": "two"}]
        reload_to(e.program, config)
        assert ask(s, "one.example").said.who == "two"
        assert ask(s, "two.example").status == 404
        config["outbounds"].reverse()  # other numbers for the same outbounds
        reload_to(e.program, config)
        assert ask(s, "one.example").said.who == "two"
        reload_to(e.program, e.config)
        assert ask(s, "two.example").said.who == "two"


def test_who_was_about_to_say_hello_at_a_reload_is_served(entry, pair):
    e = entry({"one": pair.one.port})
    config = copy.deepcopy(e.config)
    config["inbounds"][0]["settings"]["routes"].append({"host": "x.example", "outboundTag": "one"})
    with connect(e.port) as s, connect(e.port) as other:
        assert ask(other, "one.example").status == 200  # so the first one was accepted as well
        reload_to(e.program, config)
        assert ask(s, "x.example").said.who == "one"


def test_an_ingress_that_is_gone_ends_its_idle_connections(entry, pair):
    e = entry({"one": pair.one.port})
    config = copy.deepcopy(e.config)
    config["inbounds"] = [{**config["inbounds"][0], "tag": "other", "port": free_port()}]
    with connect(e.port) as s:
        assert ask(s, "one.example").status == 200
        reload_to(e.program, config)
        assert read_to_end(s, 5).how == "fin"
    assert not listening(e.port)


def test_a_drain_lets_answers_end_and_idle_connections_go(entry, pair):
    e = entry({"one": pair.one.port})
    with connect(e.port) as idle, connect(e.port) as busy:
        assert ask(idle, "one.example").status == 200
        busy.sendall(b"POST / HTTP/1.1\r\nHost: one.example\r\nContent-Length: 4\r\n\r\nab")
        assert ask(idle, "one.example").status == 200
        e.program.process.send_signal(signal.SIGTERM)
        assert read_to_end(idle, 5).how == "fin"
        busy.sendall(b"cd")
        assert read_answer(busy).status == 200
        assert read_to_end(busy, 5).how == "fin"
    ended(e.program)


def test_who_says_nothing_is_let_go_and_holds_up_nobody(run, pair):
    config = entry_config(free_port(), {"one": pair.one.port})
    config["policy"] = {"levels": {"0": {"handshake": 1}}}
    port = config["inbounds"][0]["port"]
    run("v2c", config, "entry")
    slow = [connect(port) for _ in range(100)]
    for i, s in enumerate(slow):
        s.sendall(b"\x16\3\1"[: i % 4])
    with connect(port) as s:
        assert ask(s, "one.example").said.who == "one"
    assert all(read_to_end(s, 5).how == "fin" for s in slow)
    for s in slow:
        s.close()
