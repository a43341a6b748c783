"""proxySettings: outbounds that dial through one another. The proxy in between may be V2Ray."""
from types import SimpleNamespace

import pytest

from configs import LOG, bridge_config, dokodemo, portal_config, rule, vmess_in, vmess_out
from rig import connect, first_good, free_ports, http_get, http_request, in_parallel
from test_forward import carries

pytestmark = [pytest.mark.v2c, pytest.mark.quick]
INNER = "11223344-5566-4788-99aa-bbccddeeff00"
OUTER = "99999999-5566-4788-99aa-bbccddeeff11"
KINDS = ["v2ray", "v2c"]
DATAGRAMS = (900,)


def server(port, user_id):
    return {
        "log": LOG,
        "inbounds": [vmess_in("in", port, [(user_id, "user@test")])],
        "outbounds": [{"protocol": "freedom"}],
    }


def client(ports, origins, first):
    doors = [
        dokodemo("web", ports.web, origins.web),
        dokodemo("odd", ports.odd, origins.odd),
        dokodemo("udp", ports.udp, origins.udp, network="udp"),
    ]
    first["proxySettings"] = {"tag": "proxy"}
    return {"log": LOG, "inbounds": doors, "outbounds": [first, vmess_out("proxy", ports.proxy, OUTER)]}


@pytest.fixture
def chained(run, origins):
    def start(proxy, far=None):
        ports = SimpleNamespace(**dict(zip(("web", "odd", "proxy", "far"), free_ports(4))))
        ports.udp = free_ports(1, udp=True)[0]
        run(proxy, server(ports.proxy, OUTER), "proxy")
        if far:
            run(far, server(ports.far, INNER), "far")
        first = vmess_out("first", ports.far, INNER) if far else {"tag": "first", "protocol": "freedom"}
        ports.client = run("v2c", client(ports, origins, first), "client")
        return ports

    return start


@pytest.mark.workers
@pytest.mark.parametrize("proxy", KINDS)
@pytest.mark.parametrize("far", KINDS)
def test_vmess_through_vmess(chained, origins, proxy, far):
    ports = chained(proxy, far)
    carries(ports, origins, DATAGRAMS)
    assert "out=first" in ports.client.log()


@pytest.mark.parametrize("proxy", KINDS)
def test_plain_connections_and_datagrams_through_vmess(chained, origins, proxy):
    carries(chained(proxy), origins, DATAGRAMS)


def test_a_bridge_dials_its_portal_through_a_proxy(run, origins):
    link, web, proxy = free_ports(3)
    run("v2ray", server(proxy, OUTER), "proxy")
    portal = portal_config(link, INNER, [dokodemo("web", web, origins.web)])
    bridge = bridge_config(link, INNER)
    bridge["outbounds"][1]["proxySettings"] = {"tag": "proxy"}
    bridge["outbounds"].append(vmess_out("proxy", proxy, OUTER))
    run("v2c", portal, "portal")
    run("v2c", bridge, "bridge")
    first_good(web)
    assert in_parallel([lambda: http_get(web, "/small.txt").body] * 20) == [b"small\n"] * 20


@pytest.mark.parametrize("security", [None, "tls"])
def test_why_the_proxy_failed_is_in_the_log(run, origins, security):
    """Nobody listens where the proxy should be."""
    ports = SimpleNamespace(**dict(zip(("web", "odd", "proxy", "far"), free_ports(4))))
    ports.udp = free_ports(1, udp=True)[0]
    first = vmess_out("first", ports.far, INNER)
    if security:
        first["streamSettings"] = {"security": security}
    program = run("v2c", client(ports, origins, first), "client")
    with pytest.raises(ConnectionResetError), connect(ports.web) as s:
        s.sendall(http_request("/small.txt"))
        s.recv(100)
    target = f"connect 127.0.0.1:{ports.far}: " if security else ""
    program.wait_log(f"end={target}connect 127.0.0.1:{ports.proxy}: .*Connection refused")


def test_nobody_becomes_a_bridge_through_a_chain(run, origins):
    """A flow that another outbound sends to the portal was sent there by no rule."""
    link, web, door = free_ports(3)
    portal = portal_config(link, INNER, [dokodemo("web", web, origins.web)])
    portal["inbounds"].append(vmess_in("door", door, [(OUTER, "stranger@test")]))
    portal["outbounds"] = [{"tag": "on", "protocol": "freedom", "proxySettings": {"tag": "portal"}}]
    portal["routing"]["rules"].append(rule("door", "on"))
    program = run("v2c", portal, "portal")
    run("v2c", bridge_config(door, OUTER), "bridge")
    program.wait_log("asked for the portal's domain, but no rule sends it here")
