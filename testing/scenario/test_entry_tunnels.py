"""From one public port to the servers behind many bridges: by host, path and header, by the hostnames that bridges ask for,
by a service that knows them, and by the server name of TLS; with tenants, private tunnels, and bridges that die."""
import http.server
import json
import signal
import ssl
import threading
import uuid
from types import SimpleNamespace

import pytest

from certs import Cert
from configs import DOMAIN, LOG, bridge_config, rule, vmess_in
from origins import Server
from rig import HOST, WORKERS, connect, free_ports, in_parallel, read_answer, read_exactly, wait_for
from test_ingress import Origin, ask, openssl, request, secure

pytestmark = [pytest.mark.v2c, pytest.mark.quick]
USERS = {name: str(uuid.uuid4()) for name in ("alice", "bob")}
ALICE = {
    "user": "alice",
    "tunnels": ["web", "shop", "$ssh"],
    "hosts": [".alice.example", "c.example"],
    "nodes": ["*"],
    "clusters": ["*"],
}
BOB = {"user": "bob", "tenant": "b", "tunnels": ["*"], "hosts": [".bob.example"]}


@pytest.fixture
def origins_by_name(tmp_path):
    made = {}

    def port(who, cert=None):
        if who not in made:
            made[who] = Origin(who, cert, tmp_path)
        return made[who].port

    yield port
    for origin in made.values():
        origin.close()


@pytest.fixture
def town(run):
    """A portal with an entry; bridges come by .bridge()."""

    def start(routes=(), choice="leastLoad", sockopt=None, **settings):
        entry, link = free_ports(2)
        settings = {"portal": "portal", "routes": list(routes), **settings}
        config = {
            "log": LOG,
            "reverse": {
                "portals": [
                    {"tag": "portal", "domain": f"*.{DOMAIN}", "claims": [ALICE, BOB], "choice": choice}
                ]
            },
            "inbounds": [
                {
                    "tag": "entry",
                    "listen": HOST,
                    "port": entry,
                    "protocol": "ingress",
                    "settings": settings,
                    "streamSettings": {"sockopt": sockopt or {}},
                },
                vmess_in("links", link, [(i, name) for name, i in USERS.items()]),
            ],
            "routing": {"rules": [rule("links", "portal")]},
        }
        portal = run("v2c", config, "portal")
        count = iter(range(100))

        def bridge(tunnel, target, user="alice", freedom=None, **more):
            made = bridge_config(link, USERS[user])
            made["reverse"]["bridges"] = [
                {"tag": "bridge", "domain": f"{tunnel}.{DOMAIN}", "portals": ["interconn"], **more}
            ]
            made["outbounds"][0]["settings"] = {"redirect": f"{HOST}:{target}", **(freedom or {})}
            made["routing"]["rules"] = [rule("bridge", "out")]
            program = run("v2c", made, f"bridge-{next(count)}")
            program.wait_log("connected to its portal")
            return program

        return SimpleNamespace(port=entry, portal=portal, bridge=bridge, config=config)

    return start


def get(port, host, path="/", **more):
    with connect(port) as s:
        return ask(s, host, path, **more)


def who(port, host, path="/", **more):
    got = get(port, host, path, **more)
    return got.said.who if got.status == 200 else got.status


# --------------------------------------------------------------------------------------------- HTTP


ROUTES = [
    {"host": ".a.example", "tunnel": "web"},
    {"host": "a.example", "path": "/shop", "tunnel": "shop"},
    {"host": "a.example", "tunnel": "web"},
    {"host": "ssh.example", "tunnel": "ssh"},
    {"host": "dollar.example", "tunnel": "$web"},
    {"header": "x-remote-node-id", "by": "node"},
    {"header": "x-dst-cluster-uuid", "by": "cluster"},
]


def test_who_a_proxy_speaks_for_is_told_behind_the_bridge(town):
    """A PROXY header at the entry, the visitor's fields and another PROXY header at the server."""

    def serve(_, s):
        told = head = b""
        while not told.endswith(b"\r\n"):
            told += read_exactly(s, 1)
        while not head.endswith(b"\r\n\r\n"):
            head += read_exactly(s, 1)
        body = told + head
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    server = Server(serve)
    t = town([{"tunnel": "web"}], sockopt={"acceptProxyProtocol": True})
    t.bridge("web", server.port, freedom={"proxyProtocol": 1})
    with connect(t.port) as s:
        s.sendall(b"PROXY TCP4 198.51.100.7 203.0.113.9 4711 80\r\n" + request("a.example"))
        text = read_answer(s).text
    assert text.startswith("PROXY TCP4 198.51.100.7 ")
    assert "X-Forwarded-For: 198.51.100.7\r\n" in text and "Forwarded: for=198.51.100.7;" in text
    server.close()


@pytest.mark.workers
def test_tunnels_by_host_path_and_header(town, origins_by_name):
    t = town(ROUTES)
    t.bridge("web", origins_by_name("web"))
    t.bridge("shop", origins_by_name("shop"), node="n1", cluster="c1")

    def visitor():
        with connect(t.port) as s:
            for host, path, found in [
                ("a.example", "/", "web"),
                ("a.example", "/shop/1", "shop"),
                ("a.example", "/shopping", "web"),
                ("x.a.example", "/shop", "web"),
            ]:
                assert ask(s, host, path).said.who == found
            assert ask(s, "other.example").status == 404
            assert ask(s, "other.example", extra="X-Remote-Node-Id: n1\r\n").said.who == "shop"
            assert ask(s, "other.example", extra="x-dst-cluster-uuid: c1\r\n").said.who == "shop"

    in_parallel([visitor] * 5)


def test_no_public_way_leads_to_a_private_tunnel(town, origins_by_name, tmp_path):
    t = town(ROUTES, tls={"certificates": [Cert(["a.example"]).files(tmp_path, "a")]})
    t.bridge("ssh", origins_by_name("ssh"))
    t.bridge("web", origins_by_name("web"))
    assert who(t.port, "a.example") == "web"
    for host in ("ssh.example", "dollar.example", f"ssh.{DOMAIN}", "reverse.internal.v2fly.org"):
        assert get(t.port, host).status in (404, 503), host


@pytest.mark.workers
def test_hostnames_that_bridges_ask_for(town, origins_by_name):
    t = town()
    t.bridge("web", origins_by_name("web"), hosts=["www.alice.example", "c.example"])
    t.bridge("site", origins_by_name("b"), "bob", hosts=["www.bob.example", "www.alice.example"])
    wait_for(lambda: who(t.port, "www.bob.example") == "b", 5, "the hostname of a bridge")
    assert who(t.port, "www.alice.example") == "web"
    assert who(t.port, "c.example") == "web"
    assert who(t.port, "bob.example") == 404


def test_three_bridges_and_one_is_killed(town, origins_by_name):
    """No request fails that comes afterwards; an answer that is on its way at that moment may be cut."""
    t = town([{"tunnel": "web"}], choice="roundRobin")
    bridges = [t.bridge("web", origins_by_name(f"web-{i}")) for i in range(3)]
    assert len(set(in_parallel([lambda: who(t.port, "a.example")] * 30))) == 3
    failed, asked = [], []
    killed, stop = threading.Event(), threading.Event()

    def visitor():
        while not stop.is_set():
            new = killed.is_set()
            try:
                got = get(t.port, "a.example")
                if got.status != 200:
                    failed.append(got)
            except (OSError, EOFError) as error:
                if new:
                    failed.append(error)
            asked.append(1)

    threads = [threading.Thread(target=visitor) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(asked) > 100, 10, "answers")
    bridges[1].kill()
    killed.set()
    before = len(asked)
    wait_for(lambda: len(asked) > before + 200, 20, "answers without it")
    stop.set()
    for thread in threads:
        thread.join(10)
    assert not failed


# --------------------------------------------------------------------------------------------- TLS


@pytest.mark.workers
def test_tls_passes_through_a_tunnel(town, origins_by_name, tmp_path):
    ca = Cert(authority=True)
    t = town([{"host": "c.example", "tunnel": "web"}])
    t.bridge("web", origins_by_name("c", Cert(["c.example"], ca)))

    def visitor():
        with secure(t.port, ca, "c.example") as s:
            for _ in range(5):
                assert ask(s, "c.example").said.who == "c"

    in_parallel([visitor] * 5)
    assert "unrecognized name" in openssl(t.port, name="d.example")


def test_a_tls_connection_stays_with_its_tenant(town, origins_by_name, tmp_path):
    ca = Cert(authority=True)
    both = Cert(["www.alice.example", "www.bob.example"], ca)
    t = town(tls={"certificates": [both.files(tmp_path, "both")]})
    t.bridge("web", origins_by_name("web"), hosts=["www.alice.example", "c.example"])
    t.bridge("site", origins_by_name("b"), "bob", hosts=["www.bob.example"])
    wait_for(lambda: who(t.port, "www.bob.example") == "b", 5, "the hostname of a bridge")
    for name, found in (("www.alice.example", "web"), ("www.bob.example", "b")):
        other = "www.bob.example" if found == "web" else "www.alice.example"
        with secure(t.port, ca, name) as s:
            assert ask(s, name).said.who == found
            assert ask(s, other).status == 421
            assert ask(s, "c.example").status == 421
            assert ask(s, name).said.who == found


@pytest.mark.parametrize("claimed", ["name", "hash"])
def test_a_certificate_says_which_tunnel_a_bridge_may_have(run, origins_by_name, tmp_path, claimed):
    ca = Cert(authority=True)
    server, ours, other = Cert(["portal.test"], ca), Cert(["Bridge-7.example"], ca), Cert(["bridge-8.example"], ca)
    entry, link = free_ports(2)
    claim = {"certificate": "bridge-7.example" if claimed == "name" else ours.digest.hex(), "tunnels": ["web"]}
    links = vmess_in("links", link, [(USERS["alice"], "all")])
    links["streamSettings"] = {
        "security": "tls",
        "tlsSettings": {
            "verifyClientCertificate": True,
            "certificates": [server.files(tmp_path, "server"), ca.trusted(tmp_path, "ca")],
        },
    }
    config = {
        "log": LOG,
        "reverse": {"portals": [{"tag": "portal", "domain": f"*.{DOMAIN}", "claims": [claim]}]},
        "inbounds": [
            {
                "tag": "entry",
                "listen": HOST,
                "port": entry,
                "protocol": "ingress",
                "settings": {"portal": "portal", "routes": [{"tunnel": "web"}]},
            },
            links,
        ],
        "routing": {"rules": [rule("links", "portal")]},
    }
    run("v2c", config, "portal")

    def bridge(cert, name):
        made = bridge_config(link, USERS["alice"])
        made["reverse"]["bridges"] = [{"tag": "bridge", "domain": f"web.{DOMAIN}", "portals": ["interconn"]}]
        made["outbounds"][0]["settings"] = {"redirect": f"{HOST}:{origins_by_name(name)}"}
        made["outbounds"][1]["streamSettings"] = {
            "security": "tls",
            "tlsSettings": {
                "serverName": "portal.test",
                "certificates": [ca.trusted(tmp_path, "ca"), cert.files(tmp_path, name)],
            },
        }
        made["routing"]["rules"] = [rule("bridge", "out")]
        return run("v2c", made, name)

    bridge(other, "other").wait_log("no claim|may not|not allowed|refuses")
    bridge(ours, "ours").wait_log("connected to its portal")
    for _ in range(5):
        assert who(entry, "a.example") == "ours"


# --------------------------------------------------------------------------------------------- a service


class Service(http.server.BaseHTTPRequestHandler):
    """Knows one host. Asked for others it says so; `hold` keeps it from answering."""

    def do_GET(self):
        self.server.asked.append(self.path)
        self.server.hold.wait(10)
        known = self.path.endswith("host=s.example")
        body = json.dumps({"tunnel": "web"}).encode() if known else b""
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def service():
    server = http.server.ThreadingHTTPServer((HOST, 0), Service)
    server.daemon_threads = True
    server.asked, server.hold = [], threading.Event()
    server.hold.set()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.hold.set()
    server.shutdown()
    server.server_close()


def test_hosts_that_a_service_knows(town, origins_by_name, service):
    ca = Cert(authority=True)
    t = town(routesUrl=f"http://{HOST}:{service.server_address[1]}/tunnel")
    t.bridge("web", origins_by_name("s", Cert(["s.example"], ca)))
    service.hold.clear()

    def visitor():
        with secure(t.port, ca, "s.example") as s:
            assert ask(s, "s.example").said.who == "s"

    threads = [threading.Thread(target=visitor) for _ in range(5)]
    for thread in threads:
        thread.start()
    leaves = connect(t.port)
    leaves.sendall(request("s.example"))
    wait_for(lambda: service.asked, 5, "the question")
    leaves.close()
    service.hold.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert 1 <= len(service.asked) <= max(1, WORKERS)
    assert set(service.asked) == {"/tunnel?host=s.example"}
    assert "unrecognized name" in openssl(t.port, name="other.example")
    assert who(t.port, "other.example") == 404
