"""Bridges that say who they are: nodes and clusters, hostnames, weights and what portals say to that."""
import re
import subprocess
import uuid

import pytest

import admin
import link
import rig
from configs import DOMAIN, bridge_config, dokodemo, portal_config, rule, vmess_in
from origins import labelled
from rig import HOST, first_good, free_port, free_ports, http_get, wait_for
from test_hostile import FakePortal, echoes

pytestmark = [pytest.mark.quick, pytest.mark.v2c]
OF_LINK = "downstream_reverse_connection.cluster.interconn."
CLAIM = {"user": "home", "tunnels": ["*"], "nodes": ["node-*"], "clusters": ["west"]}


class Place:
    """A portal with tunnels below tunnel.test; each visitors' port leads to one of them."""

    def __init__(self, run, tunnels, claims=(CLAIM,), **portal):
        self.run, self.user_id, self.number = run, str(uuid.uuid4()), 0
        ports = free_ports(len(tunnels) + 1)
        self.link, self.ports = ports[0], dict(zip(tunnels, ports[1:]))
        doors = [
            dokodemo(name, port, 80, "web.test", tunnel=name) for name, port in self.ports.items()
        ]
        made = {"tag": "portal", "domain": f"*.{DOMAIN}", "claims": list(claims), **portal}
        config = {
            "log": {"loglevel": "info"},
            "reverse": {"portals": [made]},
            "inbounds": [*doors, vmess_in("links", self.link, [(self.user_id, "home")])],
            "routing": {"rules": [rule(["links", *self.ports], "portal")]},
        }
        self.admin = admin.add_admin(config)
        self.portal = run("v2c", config, "portal")

    def bridge(self, tunnel, target, **more):
        config = bridge_config(self.link, self.user_id)
        config["reverse"]["bridges"] = [
            {
                "tag": "bridge",
                "domain": f"{tunnel}.{DOMAIN}",
                "connections": 1,
                "portals": ["interconn"],
                **more,
            }
        ]
        config["outbounds"][0]["settings"] = {"redirect": f"{HOST}:{target}"}
        config["routing"]["rules"] = [rule("bridge", "out")]
        port = admin.add_admin(config)
        self.number += 1
        made = self.run("v2c", config, f"bridge-{self.number}")
        made.admin = port
        made.wait_log("connected to its portal")
        return made


def lines(port, word):
    """As the user of Envoy's example looks: curl -s .../stats | grep WORD."""
    url = f"http://{HOST}:{port}/stats"
    page = subprocess.run(["curl", "-s", url], capture_output=True, text=True, timeout=10).stdout
    return [line for line in page.splitlines() if word in line]


@pytest.mark.workers
def test_links_are_counted_by_envoys_names_on_both_sides(run, origins):
    place = Place(run, ["downstream"])
    bridge = place.bridge("downstream", origins.web, node="node-1", cluster="west")
    assert lines(bridge.admin, "reverse_connection") == [
        f"downstream_reverse_connection.{worker}{kind}.{state}"
        for worker in ("", "worker_0.")
        for kind in ("cluster.interconn", f"host.{HOST}:{place.link}")
        for state in ("connected: 1", "connecting: 0")
    ]

    def of_portal():
        return lines(place.admin, "reverse_connections")

    wait_for(of_portal, 5, "the link to be named")
    worker = re.search(r"worker_\d+", of_portal()[-1]).group()  # to which the kernel gave it
    assert of_portal() == [
        "reverse_connections.clusters.west: 1",
        "reverse_connections.nodes.node-1: 1",
        f"reverse_connections.{worker}.cluster.west: 1",
        f"reverse_connections.{worker}.node.node-1: 1",
    ]
    bridge.kill()
    wait_for(lambda: not of_portal(), 3, "the killed bridge to be gone")
    bridge.start()
    assert first_good(place.ports["downstream"], since=bridge.born) < 1 * rig.SLOWER
    wait_for(lambda: len(of_portal()) == 4, 1, "the link to be named again")


@pytest.mark.workers
def test_what_workers_have_adds_up(run, origins):
    place = Place(run, ["one"])
    for node in ("node-1", "node-2"):
        bridge = place.bridge("one", origins.web, node=node, cluster="west", connections=3)

    def counted(port, word):
        pairs = [line.rpartition(": ") for line in lines(port, word)]
        return {name: int(n) for name, _, n in pairs}

    def workers_sum(port, end):
        return sum(n for name, n in counted(port, "worker_").items() if name.endswith(end))

    def at_portal():
        return counted(place.admin, "reverse_connections.")

    wait_for(lambda: at_portal().get("reverse_connections.clusters.west") == 6, 5, "all links")
    for end, total in (("node.node-1", 3), ("node.node-2", 3), ("cluster.west", 6)):
        kind, _, name = end.partition(".")
        assert at_portal()[f"reverse_connections.{kind}s.{name}"] == total
        assert workers_sum(place.admin, end) == total
    for end in ("cluster.interconn.connected", f"host.{HOST}:{place.link}.connected"):
        assert workers_sum(bridge.admin, end) == 3
        assert counted(bridge.admin, end)[f"downstream_reverse_connection.{end}"] == 3


def test_tunnels_are_listed_with_those_who_serve_them(run, origins):
    place = Place(run, ["one", "two"])
    for node in ("node-1", "node-2"):
        place.bridge("one", origins.web, node=node, cluster="west", weight=7)
    place.bridge("two", origins.web)

    def listed(query=""):
        return admin.get(place.admin, f"/v1/tunnels{query}")

    wait_for(lambda: len(listed()["tunnels"][0]["servers"]) == 2, 5, "both bridges")
    one, two = listed()["tunnels"]
    assert (one["tunnel"], one["portal"], one["carriers"]) == ("one", "portal", 2)
    assert [(s["node"], s["cluster"], s["weight"]) for s in one["servers"]] == [
        ("node-1", "west", 7),
        ("node-2", "west", 7),
    ]
    assert (two["tunnel"], two["carriers"], len(two["servers"])) == ("two", 1, 1)
    assert [t["tunnel"] for t in listed("?tunnel=two")["tunnels"]] == ["two"]
    part = listed("?limit=1&skip=1")
    assert [t["tunnel"] for t in part["tunnels"]] == ["two"] and part["tunnelCount"] == 2
    shown = subprocess.run(
        [rig.V2C, "status", "-c", str(place.portal.path)], capture_output=True, text=True, timeout=10
    ).stdout
    assert re.search(r"(?m)^one +portal +- +node-1,node-2 +west,west +2 ", shown), shown


def test_a_bridge_hears_which_hostnames_it_has_and_why_not_others(run, origins):
    claim = {**CLAIM, "hosts": [".test"]}
    place = Place(run, ["one", "two"], [claim])
    hosts = ["app.test", ".below.test", "auto", "app.example"]
    first = place.bridge("one", origins.web, hosts=hosts)
    first.wait_log(r"bridge bridge: reachable at http://app\.test\n")
    first.wait_log(r"reachable at http://\*\.below\.test\n")
    own = first.wait_log(r"reachable at http://([0-9a-f]{16}\.tunnel\.test)\n").group(1)
    first.wait_log(r"not reachable at app\.example: the portal does not allow it to this user\n")
    told = admin.get(first.admin, "/v1/status")["hosts"]
    states = ["granted", "granted", "granted", "not allowed"]
    assert [(h["host"], h["state"]) for h in told] == [
        *zip(["app.test", ".below.test", own, "app.example"], states)
    ]
    second = place.bridge("two", origins.web, hosts=["app.test", "auto"])
    second.wait_log(r"not reachable at app\.test: another tunnel has that name\n")
    assert second.wait_log(r"reachable at http://([0-9a-f]{16}\.\S+)").group(1) != own
    beside = place.bridge("one", origins.web, hosts=["app.test", "auto"])
    beside.wait_log(r"reachable at http://app\.test\n")
    beside.wait_log(rf"reachable at http://{re.escape(own)}\n")


@pytest.mark.parametrize("asks", [{"node": "other"}, {"cluster": "other"}, {"tenant": "other"}])
def test_a_bridge_hears_why_it_is_refused(run, origins, asks):
    place = Place(run, ["one"])
    bridge = place.bridge("one", origins.web, **asks)
    bridge.wait_log(r"bridge bridge: the portal refuses it: .*other")
    assert bridge.log().count("the portal refuses it") == 1
    assert f"{OF_LINK}connected: 0" in lines(bridge.admin, OF_LINK)
    assert admin.get(place.admin, "/v1/tunnels") == {"tunnels": [], "tunnelCount": 0}


def answers(port, count):
    return {http_get(port).text for _ in range(count)}


def test_visitors_go_where_the_server_is_there(run):
    place = Place(run, ["one"])
    good, gone = labelled("good"), labelled("gone")
    servers = {good, gone}
    bridges = {}
    try:
        for server in (good, gone):
            health = {"address": f"{HOST}:{server.port}", "path": "/", "interval": 1, "fall": 1}
            bridges[server] = place.bridge("one", server.port, health=health)
        wait_for(lambda: answers(place.ports["one"], 4) == {"good", "gone"}, 5, "both to serve")
        gone.close()
        bridges[gone].wait_log("is down: ")
        first_good(place.ports["one"], "/")
        wait_for(lambda: admin_weights(place) == [0, 1], 5, "the portal to know")
        assert answers(place.ports["one"], 20) == {"good"}
    finally:
        for server in servers:
            server.close()


def admin_weights(place):
    return sorted(c["weight"] for c in admin.get(place.admin, "/v1/status")["carriers"])


def test_a_bridge_that_says_much_serves_an_old_portal(run, origins):
    user_id, link, web = str(uuid.uuid4()), free_port(), free_port()
    run("v2ray", portal_config(link, user_id, [dokodemo("web", web, origins.web)]), "portal")
    config = bridge_config(link, user_id)
    health = {"address": f"{HOST}:{origins.web}", "path": "/small.txt"}
    hosts = [f"host-{i}.test" for i in range(64)]
    names = {"node": "n" * 63, "cluster": "c" * 63, "tenant": "t" * 63}
    config["reverse"]["bridges"][0].update(hosts=hosts, health=health, weight=9, **names)
    run("v2c", config, "bridge")
    first_good(web)


def test_an_old_bridge_has_a_tunnel_among_many(run, origins):
    place = Place(run, ["one", "two"])
    place.bridge("two", origins.web, node="node-1")
    config = bridge_config(place.link, place.user_id)
    config["reverse"]["bridges"][0]["domain"] = f"one.{DOMAIN}"
    config["outbounds"][0]["settings"] = {"redirect": f"{HOST}:{origins.web}"}
    config["routing"]["rules"][0]["domain"] = [f"full:one.{DOMAIN}"]
    run("v2ray", config, "old-bridge")
    first_good(place.ports["one"])
    first_good(place.ports["two"])
    one, two = admin.get(place.admin, "/v1/tunnels")["tunnels"]
    assert [s["node"] for t in (one, two) for s in t["servers"]] == ["", "node-1"]


def test_a_bridge_that_says_much_serves_a_v2c_without_names(run, origins):
    portal = FakePortal()
    config = bridge_config(portal.port, portal.user_id)
    config["reverse"]["bridges"][0].update(node="node-1", hosts=["a.test"], connections=1)
    bridge = run("v2c", config, "bridge")
    with portal.link() as accepted:
        accepted.send(link.note(link.hello(features=link.ALL_FEATURES & ~link.NAMED)))
        bridge.wait_log("its portal is an older v2c, which knows nothing of names and hosts")
        assert echoes(accepted, 1, origins)
    portal.listener.close()
