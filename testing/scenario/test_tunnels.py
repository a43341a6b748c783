"""A portal with many tunnels: each has bridges of its own, and whose they may be the claims say."""
import json
import signal
import socket
import time
import uuid

import pytest

from configs import DOMAIN, bridge_config, dokodemo, rule, vmess_in
from origins import labelled
from proxies import account, socks_ask, socks_greet, socks_in
from rig import (
    HOST, SLOWER, connect, free_port, free_ports, http_get, in_parallel, read_answer,
    wait_for,
)

pytestmark = [pytest.mark.v2c, pytest.mark.quick]
USERS = {name: str(uuid.uuid4()) for name in ("alice", "bob")}
ALICE = {"user": "alice", "tunnels": ["web", "shop", "$ssh", "dns"]}
BOB = {"user": "bob", "tenant": "b", "tunnels": ["*"]}
GUEST = {"user": "guest", "visits": ["ssh"]}


class Site:
    """The portal's side: visitors' ports that lead to a tunnel each, and a SOCKS port for users."""

    def __init__(self, run, tunnels, claims=(ALICE, BOB, GUEST), workers=None, **portal):
        self.run, self.bridges = run, 0
        ports = free_ports(len(tunnels) + 2)
        self.link, self.socks = ports[:2]
        self.doors = dict(zip(tunnels, ports[2:]))
        self.udp = free_port(udp=True)
        doors = [self.door(f"{'/'.join(t)}", port, t) for t, port in self.doors.items()]
        doors.append(dokodemo("udp", self.udp, 53, network="udp", tunnel="dns"))
        users = [(i, name) for name, i in USERS.items()]
        made = {"tag": "portal", "domain": f"*.{DOMAIN}", "claims": list(claims), **portal}
        socks = socks_in("socks", self.socks, auth=True)
        socks["settings"]["accounts"] = [account("guest", "secret")]
        self.config = {
            "log": {"loglevel": "info"},
            "reverse": {"portals": [made]},
            "inbounds": [*doors, socks, vmess_in("links", self.link, users)],
            "routing": {"rules": [rule([i["tag"] for i in [*doors, socks]] + ["links"], "portal")]},
        }
        if workers:
            self.config["workers"] = workers
        self.portal = run("v2c", self.config, "portal")

    @staticmethod
    def door(tag, port, tunnel):
        name, *tenant = reversed(tunnel)
        more = {"tenant": tenant[0]} if tenant else {}
        return dokodemo(tag, port, 80, tunnel=name, **more)

    def bridge(self, tunnel, target, user="alice", wait=True, **more):
        config = bridge_config(self.link, USERS[user])
        links = {"tag": "bridge", "domain": f"{tunnel}.{DOMAIN}", "portals": ["interconn"]}
        config["reverse"]["bridges"] = [{**links, **more}]
        config["outbounds"][0]["settings"] = {"redirect": f"{HOST}:{target}"}
        config["routing"]["rules"] = [rule("bridge", "out")]
        self.bridges += 1
        program = self.run("v2c", config, f"bridge-{self.bridges}")
        if wait:
            program.wait_log("connected to its portal")
        return program

    def ask(self, *tunnel):
        return http_get(self.doors[tunnel]).body.decode()

    def ask_by_name(self, host, port=80):
        """As the user of the SOCKS port; None: refused."""
        with connect(self.socks) as s:
            assert socks_greet(s, ("guest", "secret")) == 0
            code, _ = socks_ask(s, 1, host, port)
            if code != 0:
                return None
            s.sendall(b"GET / HTTP/1.1\r\nHost: web.test\r\n\r\n")
            return read_answer(s).body.decode()

    def reload(self, claims):
        self.config["reverse"]["portals"][0]["claims"] = claims
        self.portal.path.write_text(json.dumps(self.config))
        before = self.portal.log().count("reload: done")
        self.portal.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.portal.log().count("reload: done") > before, 10, "the reload")


@pytest.fixture
def servers():
    """HTTP servers that say who they are, by that."""
    made = {}

    def port(name):
        if name not in made:
            made[name] = labelled(name)
        return made[name].port

    yield port
    for server in made.values():
        server.close()


@pytest.mark.workers
def test_each_tunnel_has_its_own_bridges_and_tenants_never_mix(run, servers):
    site = Site(run, [("web",), ("shop",), ("b", "web")])
    site.bridge("web", servers("a web"))
    site.bridge("shop", servers("a shop"))
    site.bridge("WEB", servers("b web"), "bob")
    for _ in range(10):
        assert site.ask("web") == "a web"
        assert site.ask("shop") == "a shop"
        assert site.ask("b", "web") == "b web"


@pytest.mark.workers
def test_any_worker_serves_any_tunnel(run, servers):
    site = Site(run, [("web",), ("shop",)], workers=4)
    site.bridge("web", servers("a web"), connections=1)
    site.bridge("shop", servers("a shop"), connections=1)

    def visit(i):
        tunnel = ("web", "shop")[i % 2]
        assert site.ask(tunnel) == f"a {tunnel}"

    in_parallel([lambda i=i: visit(i) for i in range(100)])


def test_datagrams_go_to_their_tunnel(run, origins):
    site = Site(run, [])
    site.bridge("dns", origins.udp)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(10)
        s.connect((HOST, site.udp))
        s.send(b"question")
        assert s.recv(100) == b"question"


def test_who_asks_for_what_is_not_his_hears_why(run, servers):
    site = Site(run, [("web",)])
    site.bridge("web", servers("a web"))
    thief = site.bridge("other", servers("thief"), wait=False)
    why = r'no claim of its user covers the tunnel .{0,2}other'
    thief.wait_log(why)
    site.portal.wait_log(r"bridge .*, user alice, is refused: " + why)
    site.bridge("web", servers("b web"), "bob")  # his tenant's, and not alice's
    for _ in range(10):
        assert site.ask("web") == "a web"


def test_a_private_tunnel_is_for_users_who_may_name_it(run, servers):
    site = Site(run, [("ssh",), ("web",)])
    site.bridge("ssh", servers("secret"))
    site.bridge("web", servers("a web"))
    assert site.ask_by_name(f"ssh.{DOMAIN}", 22) == "secret"
    assert site.ask_by_name(f"SSH.{DOMAIN}", 2222) == "secret"
    assert site.ask_by_name(f"web.{DOMAIN}") is None
    assert site.ask("web") == "a web"
    with connect(site.doors[("ssh",)]) as s, pytest.raises((OSError, EOFError)):
        s.sendall(b"GET / HTTP/1.1\r\nHost: web.test\r\n\r\n")
        s.settimeout(0.5)  # he waits in vain for a tunnel that is not private
        read_answer(s)


def test_other_claims_take_away_what_they_do_not_cover_and_nothing_else(run, servers):
    site = Site(run, [("web",), ("shop",)])
    web = site.bridge("web", servers("a web"))
    shop = site.bridge("shop", servers("a shop"))
    site.reload([{**ALICE, "tunnels": ["shop", "more"]}, BOB])
    web.wait_log("no claim of its user covers the tunnel")
    assert site.ask("shop") == "a shop"
    assert "gone" not in shop.log()
    site.bridge("more", servers("more"))


def test_three_bridges_of_a_tunnel_and_one_is_killed(run, servers):
    """Two of three bridges of one tunnel are left: no new request fails."""
    site = Site(run, [("web",)], choice="roundRobin")
    bridges = [site.bridge("web", servers(f"web {i}")) for i in range(3)]
    asked = [site.ask("web") for _ in range(60)]
    assert {asked.count(f"web {i}") for i in range(3)} == {20}
    bridges[0].kill()
    for _ in range(60):
        assert site.ask("web") in ("web 1", "web 2")


def test_visitors_wait_for_the_bridges_of_a_portal_that_begins_anew(run, servers):
    site = Site(run, [("web",)])
    site.bridge("web", servers("a web"))
    assert site.ask("web") == "a web"
    site.portal.kill()
    site.portal.start()
    began = time.monotonic()
    assert site.ask("web") == "a web"
    assert time.monotonic() - began < 2.5 * SLOWER


def test_weights_divide_new_visitors(run, servers):
    site = Site(run, [("web",)], choice="roundRobin")
    site.bridge("web", servers("heavy"), weight=3)
    site.bridge("web", servers("light"), weight=1)
    asked = [site.ask("web") for _ in range(100)]
    assert abs(asked.count("heavy") - 75) <= 2
    last = site.bridge("web", servers("takes over"), weight=255)
    assert {site.ask("web") for _ in range(20)} == {"takes over"}
    last.kill()
    assert {site.ask("web") for _ in range(20)} == {"heavy", "light"}


def test_an_address_keeps_its_bridge(run, servers):
    site = Site(run, [("web",)], choice="sourceHash")
    for i in range(3):
        site.bridge("web", servers(f"web {i}"))

    def ask_from(address):
        with socket.create_connection((HOST, site.doors[("web",)]), 10, (address, 0)) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: web.test\r\n\r\n")
            return read_answer(s).body

    answers = {a: ask_from(a) for a in (f"127.0.1.{i}" for i in range(1, 31))}
    assert len(set(answers.values())) == 3
    for address, answer in answers.items():
        assert ask_from(address) == answer
