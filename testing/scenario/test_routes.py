"""Where requests go: by a file that changes, and by a service that is asked, also while it hangs or is gone."""
import copy
import http.server
import json
import os
import threading
import time
import urllib.parse
import uuid
from types import SimpleNamespace

import pytest

from configs import DOMAIN, LOG, bridge_config, rule, vmess_in
from origins import labelled
from rig import HOST, connect, free_port, free_ports, in_parallel, read_answer, wait_for
from test_reload import reload_to

pytestmark = [pytest.mark.v2c]
USER = str(uuid.uuid4())


@pytest.fixture(scope="module")
def servers():
    made = {name: labelled(name) for name in ("one", "two")}
    yield {name: server.port for name, server in made.items()}
    for server in made.values():
        server.close()


def ask(port, host, path="/"):
    """The status, and who answered."""
    with connect(port) as s:
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = read_answer(s)
        return answer.status, answer.text if answer.status == 200 else None


# --------------------------------------------------------------------------------------------- a file


@pytest.fixture
def watching(run, tmp_path):
    """An ingress with a file of routes: its port, its program, and a function that writes another file in its place."""
    path = tmp_path / "routes.txt"

    def write(*lines):
        new = path.with_suffix(".new")
        new.write_text("".join(f"{line}\n" for line in lines))
        os.rename(new, path)

    def start(*lines):
        write(*lines)
        port = free_port()
        settings = {"routes": [{"host": "fixed.example", "outboundTag": "closed"}], "routesFile": str(path)}
        config = {
            "log": LOG,
            "inbounds": [{"listen": HOST, "port": port, "protocol": "ingress", "settings": settings}],
            "outbounds": [{"protocol": "freedom"}, {"protocol": "blackhole", "tag": "closed"}],
        }
        return port, run("v2c", config, "ingress"), write

    return start


def test_a_file_of_routes_is_read_again_when_it_changes(watching, servers):
    one, two = (f"{HOST}:{port}" for port in servers.values())
    port, ingress, write = watching("# first", f"a.example {one}", f"*.b.example {two}", f"b\u00fccher.example {one}")
    assert ask(port, "a.example") == (200, "one")
    assert ask(port, "x.b.example:8080") == (200, "two")
    assert ask(port, "xn--bcher-kva.example") == (200, "one")
    assert ask(port, "c.example") == (404, None)
    write(f"a.example {two}", f"c.example/in {one}", f"fixed.example {one}")
    wait_for(lambda: ask(port, "a.example") == (200, "two"), 5, "the changed route")
    assert ask(port, "c.example", "/in/side") == (200, "one")
    assert ask(port, "c.example") == (404, None)
    assert ask(port, "x.b.example") == (404, None)
    assert ask(port, "fixed.example")[0] != 200  # what stands in the configuration wins
    ingress.wait_log("1 lines are for hosts that have routes in place")
    write(f"a.example {one}", f"c.example {two} oops")
    ingress.wait_log("no good, what was read before goes on: .*routes.txt:2: want")
    assert ask(port, "a.example") == (200, "two")


# --------------------------------------------------------------------------------------------- a service


class Service:
    """Says which tunnel a host is for; counts who was asked for; may hang."""

    def __init__(self, hosts):
        self.hosts, self.asked, self.go = hosts, [], threading.Event()
        self.go.set()
        self.port = free_port()
        self.start()

    def start(self):
        service, self.there = self, True

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                host = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)["host"][0]
                service.asked.append(host)
                service.go.wait(30)
                if not service.there:  # its connections end with it
                    self.close_connection = True
                    return
                body = json.dumps(service.hosts.get(host, {})).encode()
                self.send_response(200 if host in service.hosts else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((HOST, self.port), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self):
        self.there = False
        self.go.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def service():
    made = Service({
        "a.example": {"tunnel": "alpha"},
        "b.example": {"tunnel": "beta"},
        "s.example": {"tunnel": "$alpha"},
    })
    yield made
    made.stop()


@pytest.fixture
def tunnels(run, servers, service):
    """An ingress that asks the service, and two tunnels."""
    port, link = free_ports(2)
    portal = {"tag": "portal", "domain": f"*.{DOMAIN}"}
    settings = {
        "portal": "portal",
        "routesUrl": {"url": f"http://{HOST}:{service.port}/find?key=x", "ttl": 1, "negativeTtl": 1, "timeout": 1},
    }
    config = {
        "log": LOG,
        "workers": 1,  # each asks for itself
        "reverse": {"portals": [portal]},
        "inbounds": [
            {"tag": "entry", "listen": HOST, "port": port, "protocol": "ingress", "settings": settings},
            vmess_in("links", link, [(USER, "bridges")]),
        ],
        "routing": {"rules": [rule("links", "portal")]},
    }
    program = run("v2c", config, "portal")
    for name, server in (("alpha", "one"), ("beta", "two")):
        bridge = bridge_config(link, USER)
        bridge["reverse"]["bridges"] = [{"tag": "bridge", "domain": f"{name}.{DOMAIN}", "portals": ["interconn"]}]
        bridge["outbounds"][0]["settings"] = {"redirect": f"{HOST}:{servers[server]}"}
        bridge["routing"]["rules"] = [rule("bridge", "out")]
        run("v2c", bridge, name).wait_log("connected to its portal")
    return SimpleNamespace(port=port, program=program, config=config)


def test_a_service_says_which_tunnel_a_host_is_for(tunnels, service):
    assert ask(tunnels.port, "A.Example.") == (200, "one")
    assert ask(tunnels.port, "b.example:80") == (200, "two")
    assert ask(tunnels.port, "c.example") == (404, None)
    assert ask(tunnels.port, "s.example") == (404, None)  # a private tunnel is none for the public
    assert sorted(service.asked) == ["a.example", "b.example", "c.example", "s.example"]
    service.go.clear()
    in_parallel([lambda: ask(tunnels.port, "d.example")] * 8 + [lambda: time.sleep(0.2) or service.go.set()])
    assert service.asked.count("d.example") == 1


def test_known_hosts_do_not_need_the_service(tunnels, service):
    assert ask(tunnels.port, "a.example") == (200, "one")
    time.sleep(1.1)  # its answer is old now
    service.go.clear()
    began = time.monotonic()
    assert ask(tunnels.port, "a.example") == (200, "one")
    assert time.monotonic() - began < 0.5  # the service hangs
    assert ask(tunnels.port, "b.example")[0] == 503
    service.stop()
    time.sleep(1.1)
    for _ in range(3):
        assert ask(tunnels.port, "a.example") == (200, "one")
    assert ask(tunnels.port, "b.example")[0] == 503
    service.start()
    wait_for(lambda: ask(tunnels.port, "b.example") == (200, "two"), 5, "the service that is back")


def test_a_reload_keeps_what_a_service_said_and_another_one_is_asked_anew(tunnels, service):
    changed = copy.deepcopy(tunnels.config)
    settings = changed["inbounds"][0]["settings"]
    settings["routesUrl"]["ttl"] = 60
    reload_to(tunnels.program, changed)
    assert ask(tunnels.port, "a.example") == (200, "one")
    settings["routesUrl"]["negativeTtl"] = 60
    reload_to(tunnels.program, changed)
    assert ask(tunnels.port, "a.example") == (200, "one")
    assert service.asked == ["a.example"]
    settings["routesUrl"]["url"] += "&other"
    reload_to(tunnels.program, changed)
    assert ask(tunnels.port, "a.example") == (200, "one")
    assert service.asked == ["a.example"] * 2
    service.go.clear()
    waiting = []
    visitor = threading.Thread(target=lambda: waiting.append(ask(tunnels.port, "c.example")))
    visitor.start()
    wait_for(lambda: "c.example" in service.asked, 5, "the question")
    del settings["routesUrl"]
    reload_to(tunnels.program, changed)
    visitor.join(5)
    assert waiting == [(404, None)]  # nobody is left who may know
    assert ask(tunnels.port, "a.example") == (404, None)
