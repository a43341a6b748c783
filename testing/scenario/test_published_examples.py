"""Two published examples of reverse tunnels, one of GOST's and one of Envoy's, followed from one end to the other, with
the files of deploy/examples and, where they have one, with the one-liners."""
import collections
import http.server
import pathlib
import re
import subprocess
import threading
import time

import pytest

import rig
from lines import v2c
from proxies import curl
from rig import HOST, NGINX, HttpAnswer, connect, free_port, free_ports, listening, read_answer, wait_for

pytestmark = pytest.mark.v2c

EXAMPLES = pathlib.Path(__file__).parents[2] / "deploy" / "examples"
TUNNEL = "4d21094e-b74c-4916-86c1-d9fa36ea677b"
OTHER = "ac74d9dd-3125-442a-a7c1-f9e49e05faca"


def example(name, *pairs):
    text = (EXAMPLES / name).read_text()
    for old, new in pairs:
        assert old in text, old
        text = text.replace(str(old), str(new))
    return text


class Site(http.server.ThreadingHTTPServer):
    """A server that says who it is and what it was asked for; counts."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, name):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version, wbufsize = "HTTP/1.1", 65536

            def do_GET(self):
                body = f"{name} {self.path}\n".encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def handle(self):
                try:
                    super().handle()
                except ConnectionError:  # who kills a bridge resets its connections
                    pass

            def log_message(self, *_):
                pass

        super().__init__((HOST, 0), Handler)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()


@pytest.fixture
def site():
    made = []

    def make(name):
        made.append(Site(name))
        return made[-1]

    yield make
    for s in made:
        s.shutdown()
        s.server_close()


def ask(port, host, path="/", *more):
    """Status and text, as curl says them."""
    out, code = curl("-H", f"Host: {host}", "-w", "\n%{http_code}", *more, f"http://{HOST}:{port}{path}")
    text, status = out.decode().rsplit("\n", 1)
    return (int(status), text) if code == 0 else (0, f"curl ended with {code}")


def answers(port, host, text):
    wait_for(lambda: ask(port, host)[1].startswith(text), 10 * rig.SLOWER, f"{text} for {host}")


class Asking:
    """Visitors who ask again and again, each time anew."""

    def __init__(self, port, host, count=4):
        self.port, self.host, self.ending = port, host, threading.Event()
        self.got, self.who = collections.Counter(), collections.Counter()
        self.threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(count)]
        for t in self.threads:
            t.start()

    def _ask(self):
        while not self.ending.is_set():
            try:
                with connect(self.port) as s:
                    s.sendall(f"GET / HTTP/1.1\r\nHost: {self.host}\r\nConnection: close\r\n\r\n".encode())
                    answer = read_answer(s)
            except (OSError, EOFError) as error:
                answer = HttpAnswer(0, repr(error).encode())
            self.got[answer.status] += 1
            self.who[answer.text.split(" ")[0]] += 1

    def wait(self, more):
        want = sum(self.got.values()) + more
        wait_for(lambda: sum(self.got.values()) >= want, 20 * rig.SLOWER, f"{more} more answers")

    def end(self):
        self.ending.set()
        for t in self.threads:
            t.join(10)
        return dict(self.got)


# ---------------------------------------------------------------------------- tunnels by id, hosts lead to them


class Tunnels:
    def __init__(self, how, run, line, folder):
        self.how, self.run, self.line, self.folder = how, run, line, folder
        self.links, self.visitors = free_ports(2)
        if how == "line":
            self.key = folder / "key"
            assert v2c("portal", "--new-key", self.key)[0] == 0

    def portal(self):
        if self.how == "json":
            text = example("tunnels-portal.json", ('"port": 8443', f'"port": {self.links}'),
                           ('"port": 8000', f'"port": {self.visitors}'))
            return self.run("v2c", text, "portal", ports=[self.links, self.visitors])
        return self.line("portal", "--listen", f":{self.links}", "--entry", f":{self.visitors}", "--key", self.key,
                         "--route", f".example.com={TUNNEL}", "--route", f"example.org={OTHER}",
                         name="portal", ports=[self.links, self.visitors])

    def bridge(self, name, port):
        if self.how == "json":
            text = example("tunnels-bridge.json", ("203.0.113.10", HOST), ('"port": 8443', f'"port": {self.links}'),
                           ("192.168.1.1:80", f"{HOST}:{port}"))
            return self.run("v2c", text, name)
        return self.line("bridge", "--to", f"{HOST}:{self.links}", "--tunnel", TUNNEL, "--key", self.key,
                         f"{HOST}:{port}", name=name)

    def sites(self, ports):
        first, second, third = (f"{HOST}:{p}" for p in ports)
        if self.how == "json":
            text = example("sites-bridge.json", ("203.0.113.10", HOST), ('"port": 8443', f'"port": {self.links}'),
                           ("192.168.1.1:80", first), ("192.168.1.2:80", second), ("192.168.2.1:80", third))
            return self.run("v2c", text, "sites")
        return self.line("bridge", "--to", f"{HOST}:{self.links}", "--tunnel", TUNNEL, "--key", self.key,
                         f"example.com={first}", f"sub.example.com={second}", third, name="sites")


@pytest.fixture(params=["json", "line"])
def tunnels_by_id(request, run, line, tmp_path):
    return Tunnels(request.param, run, line, tmp_path)


@pytest.mark.quick
def test_three_bridges_are_one_tunnel_and_one_may_be_lost(tunnels_by_id, site):
    t = tunnels_by_id
    t.portal()
    ports = [site(f"site-{i}").port for i in range(3)]
    bridges = [t.bridge(f"bridge-{i}", p) for i, p in enumerate(ports)]
    answers(t.visitors, "example.com", "site-")
    for bridge in bridges:
        bridge.wait_log("connected to its portal")
    assert ask(t.visitors, "sub.EXAMPLE.com.")[0] == 200
    assert ask(t.visitors, "example.net")[0] == 404  # nothing leads there
    asking = Asking(t.visitors, "example.com", count=6)
    wait_for(lambda: len(asking.who) == 3, 10 * rig.SLOWER, "an answer of each")
    bridges[1].kill()
    asking.wait(200)
    asking.who.clear()
    asking.wait(200)
    got = asking.end()
    assert set(got) == {200}, got
    assert set(asking.who) == {"site-0", "site-2"}


@pytest.mark.quick
def test_servers_by_host_behind_one_bridge(tunnels_by_id, site):
    t = tunnels_by_id
    t.portal()
    t.sites([site(name).port for name in ("first", "second", "fallback")])
    answers(t.visitors, "example.com", "first")
    for host, name in (("sub.example.com", "second"), ("abc.example.com", "fallback"), ("example.com", "first")):
        assert ask(t.visitors, host, "/page") == (200, f"{name} /page\n")
    # and each request of one connection finds its own
    done = subprocess.run(
        ["curl", "-sS", "-v", "--noproxy", "", "-H", "Host: example.com", f"http://{HOST}:{t.visitors}/a", "--next", "-sS",
         "-H", "Host: sub.example.com", f"http://{HOST}:{t.visitors}/b"],
        capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == "first /a\nsecond /b\n"
    assert re.search("(?i)re-?using existing", done.stderr)


# ------------------------------------------------------------------------- nodes and clusters, headers name them


NODE_HEADERS = ("-H", "x-remote-node-id: downstream-node", "-H", "x-dst-cluster-uuid: downstream-cluster")


class Nodes:
    """The two files, several times over if need be."""

    def __init__(self, run, service, portals=1):
        self.run, self.service, self.workers = run, service, 1
        self.portals = [free_ports(3) for _ in range(portals)]  # links, visitors, stats

    def portal_text(self, i=0):
        links, visitors, stats = self.portals[i]
        return example("nodes-portal.json", ('"port": 9000', f'"port": {links}'), ('"port": 8085', f'"port": {visitors}'),
                       ("127.0.0.1:8889", f"{HOST}:{stats}"), ('"reverse"', f'"workers": {self.workers}, "reverse"'))

    def bridge_text(self, stats, i=0):
        return example("nodes-bridge.json", ("203.0.113.10", HOST), ('"port": 9000', f'"port": {self.portals[i][0]}'),
                       ("127.0.0.1:8888", f"{HOST}:{stats}"), ("127.0.0.1:80", f"{HOST}:{self.service}"))

    def portal(self, i=0):
        return self.run("v2c", self.portal_text(i), f"portal-{i}", ports=self.portals[i])

    def bridge(self, i=0, name="bridge"):
        stats = free_port()
        program = self.run("v2c", self.bridge_text(stats, i), name, ports=[stats])
        program.stats = stats
        return program

    def ask(self, i=0):
        out, code = curl(*NODE_HEADERS, "-w", "\n%{http_code}",
                         f"http://localhost:{self.portals[i][1]}/downstream_service")
        text, status = out.decode().rsplit("\n", 1)
        return (int(status), text) if code == 0 else (0, "")


def grep(port, pattern):
    """curl http://localhost:PORT/stats | grep PATTERN"""
    out, code = curl(f"http://localhost:{port}/stats")
    assert code == 0
    return dict(line.rsplit(": ", 1) for line in out.decode().splitlines() if re.search(pattern, line))


@pytest.mark.quick
def test_the_files_are_short():
    for name in ("nodes-portal.json", "nodes-bridge.json"):
        assert len((EXAMPLES / name).read_text().splitlines()) <= 25


@pytest.mark.quick
def test_headers_lead_to_a_node(run, site):
    n = Nodes(run, site("service").port)
    n.portal()
    bridge = n.bridge()
    wait_for(lambda: n.ask() == (200, "service /downstream_service\n"), 5 * rig.SLOWER, "the service")
    wait_for(lambda: "1" not in grep(bridge.stats, r"\.connecting").values(), 5 * rig.SLOWER, "all of its links")
    downstream = grep(bridge.stats, "reverse_connection")
    for who in ("cluster.upstream-cluster", f"host.{HOST}:{n.portals[0][0]}"):
        for where in ("", "worker_0."):
            name = f"downstream_reverse_connection.{where}{who}"
            assert int(downstream[f"{name}.connected"]) >= 1
            assert downstream[f"{name}.connecting"] == "0"
    upstream = grep(n.portals[0][2], "reverse_connections")
    for name in ("clusters.downstream-cluster", "nodes.downstream-node", "worker_0.cluster.downstream-cluster",
                 "worker_0.node.downstream-node"):
        assert int(upstream[f"reverse_connections.{name}"]) >= 1
    out, _ = curl("-o", "/dev/null", "-w", "%{http_code}", "-H", "x-dst-cluster-uuid: downstream-cluster",
                  f"http://localhost:{n.portals[0][1]}/")
    assert out == b"200"
    out, _ = curl("-o", "/dev/null", "-w", "%{http_code}", f"http://localhost:{n.portals[0][1]}/")
    assert out == b"404"


@pytest.mark.quick
def test_any_worker_serves_any_node(run, site):
    """Four of them, and a bridge whose links lie on two at most."""
    n = Nodes(run, site("service").port)
    n.workers = 4
    n.portal()
    n.bridge()
    wait_for(lambda: n.ask()[0] == 200, 5 * rig.SLOWER, "the service")
    assert [n.ask()[0] for _ in range(24)] == [200] * 24
    rows = grep(n.portals[0][2], r"reverse_connections\.(worker_\d|nodes)")
    by_worker = [int(v) for name, v in rows.items() if re.search(r"worker_\d\.node", name)]
    assert 1 <= len(by_worker) <= 2
    assert sum(by_worker) == int(rows["reverse_connections.nodes.downstream-node"])


@pytest.mark.quick
def test_a_killed_node_is_seen_and_back_at_once(run, site):
    n = Nodes(run, site("service").port)
    n.portal()
    bridge = n.bridge()
    wait_for(lambda: n.ask()[0] == 200, 5 * rig.SLOWER, "the service")
    stats = n.portals[0][2]
    times = []
    while not times or (times[-1] > 1 and len(times) < 3):  # of a busy machine the best one counts
        bridge.kill()
        wait_for(lambda: grep(stats, r"nodes").get("reverse_connections.nodes.downstream-node", "0") == "0",
                 3 * rig.SLOWER, "the node to be gone")
        bridge.start()
        wait_for(lambda: n.ask()[0] == 200, 5 * rig.SLOWER, "the service again")
        times.append(time.monotonic() - bridge.born)
    assert times[-1] < 1 * rig.SLOWER, times


def restart(program, ports):
    """As an operator does: it drains, and comes back."""
    program.process.terminate()
    assert program.process.wait(30) == 0
    program.check_health()
    program.start(ports=ports)


def wrk(url, seconds, *more):
    return subprocess.Popen(["wrk", "-t1", "-c8", f"-d{seconds}s", *NODE_HEADERS, *more, url], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def all_went_well(load):
    said, _ = load.communicate(timeout=60)
    assert int(re.search(r"(\d+) requests in", said).group(1)) > 100, said
    assert "Non-2xx" not in said and "Socket errors" not in said, said


def test_bridges_restart_one_by_one(run, origins):
    """Two of them, under load."""
    n = Nodes(run, origins.web)
    n.portal()
    bridges = [n.bridge(name=f"bridge-{i}") for i in range(2)]
    url = f"http://{HOST}:{n.portals[0][1]}/small.txt"
    wait_for(lambda: curl("-f", *NODE_HEADERS, url) == (b"small\n", 0), 5 * rig.SLOWER, "the service")
    load = wrk(url, 3)
    for bridge in bridges:
        restart(bridge, [bridge.stats])
        wait_for(lambda: grep(n.portals[0][2], "nodes").get("reverse_connections.nodes.downstream-node") == "4",
                 5 * rig.SLOWER, "the links of both")
    all_went_well(load)


class Balancer:
    """An nginx in front of several portals, which asks another one where one is not there."""

    def __init__(self, folder, ports):
        self.port = free_port()
        servers = " ".join(f"server {HOST}:{p} max_fails=0;" for p in ports)
        conf = folder / "balancer.conf"
        conf.write_text(
            f"daemon off; worker_processes 1; master_process off; pid {folder}/b.pid; events {{ }}\n"
            f"http {{ access_log off; client_body_temp_path {folder}/b1; proxy_temp_path {folder}/b2;\n"
            f"fastcgi_temp_path {folder}/b3; uwsgi_temp_path {folder}/b4; scgi_temp_path {folder}/b5;\n"
            f"keepalive_requests 1000000; upstream portals {{ {servers} keepalive 8; keepalive_requests 1000000; }}\n"
            f"server {{ listen {HOST}:{self.port}; location / {{ proxy_pass http://portals; proxy_http_version 1.1;\n"
            f'proxy_set_header Connection ""; }} }} }}\n')
        self.process = subprocess.Popen([NGINX, "-c", str(conf), "-p", str(folder), "-e", f"{folder}/b.log"])
        wait_for(lambda: listening(self.port), 10, "the balancer")

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


def test_portals_restart_one_by_one(run, origins, tmp_path):
    """Two of them, each with bridges of its own, behind a balancer, under load."""
    n = Nodes(run, origins.web, portals=2)
    portals = [n.portal(i) for i in range(2)]
    for i in range(2):
        n.bridge(i, name=f"bridge-{i}")
    balancer = Balancer(tmp_path, [p[1] for p in n.portals])
    try:
        for _, visitors, _ in n.portals:
            wait_for(lambda: curl("-f", *NODE_HEADERS, f"http://{HOST}:{visitors}/small.txt")[1] == 0,
                     5 * rig.SLOWER, "the service")
        load = wrk(f"http://{HOST}:{balancer.port}/small.txt", 3)
        for portal, (_, visitors, stats) in zip(portals, n.portals):
            restart(portal, [visitors, stats])
            wait_for(lambda: grep(stats, "nodes").get("reverse_connections.nodes.downstream-node") == "2",
                     10 * rig.SLOWER, "its bridge")
        all_went_well(load)
    finally:
        balancer.stop()
