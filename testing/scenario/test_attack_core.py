"""Visitors name what is not theirs: the magic domain, control names, Mux.Cool's. By every inbound and every spelling;
0 carriers, 0 frames of a carrier. V2Ray, asked the same, gives them away."""
import base64
import contextlib
import socket
import struct
import uuid

import pytest

import peer
from configs import (
    CONTROL_NAMES, DOMAIN, LOG, add_status, bridge_config, dokodemo, portal_config, rule,
)
from proxies import PASSWORD, USER, http_in, socks_in
from quic import client_hello, first_datagrams
from rig import HOST, KINDS, connect, counters, free_port, free_ports, read_exactly, wait_for

pytestmark = pytest.mark.quick
MUX = "v1.mux.cool"
ID, ORDINARY = (str(uuid.uuid4()) for _ in range(2))
SPELLINGS = [
    str, str.upper, lambda n: n + ".", lambda n: n.title() + ".", lambda n: n + "..", lambda n: "." + n,
    lambda n: n.replace(".", "\u3002"), lambda n: n.replace("e", "\uff45").replace("u", "\uff55"),
    lambda n: n.replace("e", "%65").replace("u", "%75"), lambda n: n + "\0.test", lambda n: n + " ",
]
NAMES = [DOMAIN, *CONTROL_NAMES, MUX]
BASIC = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
DRAIN = b"\x08\x01"


def portal_behind(kind, *inbounds, **routing):
    """A portal to which every inbound and the balancer lead."""
    sent = [i["tag"] for i in inbounds if i["tag"] != "balanced"]
    rules = [rule(sent, "portal")] if sent else []
    config = {
        "log": LOG,
        "reverse": {"portals": [{"tag": "portal", "domain": DOMAIN}]},
        "inbounds": list(inbounds),
        "outbounds": [{"tag": "hole", "protocol": "blackhole"}],
        "routing": {"rules": rules, **routing},
    }
    if any(i["tag"] == "balanced" for i in inbounds):
        config["routing"]["balancers"] = [{"tag": "all", "selector": ["portal"], "fallbackTag": "portal"}]
        rules.append({"type": "field", "inboundTag": ["balanced"], "balancerTag": "all"})
    if kind == "v2c":
        config["status_port"] = free_port()
        add_status(config, config.pop("status_port"))
    return config


def sniffed(inbound, *names):
    return {**inbound, "sniffing": {"enabled": True, "destOverride": list(names)}}


# ------------------------------------------------------------- visitors: how each says where it wants to go


def by_socks(s, name, port):
    s.sendall(b"\x05\x01\0")
    read_exactly(s, 2)
    s.sendall(b"\x05\x01\0\x03" + bytes([len(name)]) + name + struct.pack(">H", port))


def by_socks_user(s, name, port):
    s.sendall(b"\x05\x01\x02")
    read_exactly(s, 2)
    s.sendall(b"\x01" + bytes([len(USER)]) + USER.encode() + bytes([len(PASSWORD)]) + PASSWORD.encode())
    assert read_exactly(s, 2) == b"\x01\0"
    s.sendall(b"\x05\x01\0\x03" + bytes([len(name)]) + name + struct.pack(">H", port))


def by_socks4a(s, name, port):
    s.sendall(b"\x04\x01" + struct.pack(">H", port) + b"\0\0\0\x01me\0" + name + b"\0")


def by_connect(s, name, port, more=b""):
    s.sendall(b"CONNECT %s:%d HTTP/1.1\r\nHost: %s:%d\r\n%s\r\n" % (name, port, name, port, more))


def by_connect_user(s, name, port):
    by_connect(s, name, port, f"Proxy-Authorization: Basic {BASIC}\r\n".encode())


def by_request(s, name, port):
    s.sendall(b"GET http://%s:%d/ HTTP/1.1\r\nHost: web.test\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n" % (name, port))


def by_transparent(s, name, port):
    s.sendall(b"GET / HTTP/1.1\r\nHost: %s:%d\r\n\r\n" % (name, port))


def by_host(s, name, port):
    s.sendall(b"GET / HTTP/1.1\r\nHost: %s:%d\r\n\r\n" % (name, port))


def by_sni(s, name, _):
    with contextlib.suppress(Exception):  # not all can stand in a hello
        s.sendall(client_hello(name.decode()))


def by_proxy_header(s, name, port):
    s.sendall(b"PROXY TCP4 127.0.0.1 127.0.0.1 1 1\r\n")
    by_host(s, name, port)


WAYS = {
    "socks": by_socks, "user": by_socks_user, "socks4a": by_socks4a, "connect": by_connect,
    "connected": by_connect_user, "plain": by_request, "transparent": by_transparent, "host": by_host,
    "sni": by_sni, "header": by_proxy_header, "balanced": by_socks,
}


def inbound_of(way, port):
    makers = {
        "user": lambda: socks_in(way, port, auth=True),
        "connect": lambda: http_in(way, port),
        "connected": lambda: http_in(way, port, auth=True),
        "plain": lambda: http_in(way, port),
        "transparent": lambda: http_in(way, port, allowTransparent=True),
        "host": lambda: sniffed(dokodemo(way, port, 80), "http", "tls"),
        "sni": lambda: sniffed(dokodemo(way, port, 80), "http", "tls"),
        "header": lambda: {**sniffed(dokodemo(way, port, 80), "http"),
                           "streamSettings": {"sockopt": {"acceptProxyProtocol": True}}},
    }
    return makers.get(way, lambda: socks_in(way, port))()


def heard(s, seconds):
    """What comes within that time, or until the end."""
    s.settimeout(seconds)
    got = b""
    with contextlib.suppress(OSError):
        while piece := s.recv(4096):
            got += piece
            if b"internal" in got:
                break
    return got


def refused(port):
    now = counters(port)
    return now["carriers_refused"] + now["names_refused"]


def spelt(name):
    for spell in SPELLINGS:
        yield spell(name).encode()
        with contextlib.suppress(UnicodeError):
            yield spell(name).encode("idna")


@pytest.mark.v2c
@pytest.mark.parametrize("way", WAYS)
def test_no_visitor_names_what_is_ours(run, way):
    port = free_port()
    config = portal_behind("v2c", inbound_of(way, port))
    status = next(i["port"] for i in config["inbounds"] if i["tag"] == "status-in")
    portal = run("v2c", config, "portal")
    held = []
    for name in NAMES:
        for spelling in dict.fromkeys(spelt(name)):
            s = connect(port)
            with contextlib.suppress(OSError, EOFError):
                WAYS[way](s, spelling, 80)
                s.sendall(DRAIN)
            held.append(s)
    wait_for(lambda: refused(status) >= len(NAMES) * 3, 5, "the usual spellings to be refused")
    assert counters(status)["portal>>>portal>>>carriers"] == 0
    for s in held:
        assert b"internal" not in heard(s, 0.01)
        s.close()
    assert portal.alive()


@pytest.mark.parametrize("kind", KINDS)
def test_control_a_socks_visitor_of_v2ray_is_a_bridge(run, kind):
    """The attack itself: the first frame of a new carrier's control stream comes to a stranger."""
    port = free_port()
    run(kind, portal_behind(kind, socks_in("socks", port)), "portal")
    with connect(port) as s:
        by_socks(s, DOMAIN.encode(), 80)
        assert (b"internal" in heard(s, 5)) == (kind == "v2ray")


@pytest.mark.v2c
@pytest.mark.parametrize("mux", [False, True], ids=["plain", "mux"])
@pytest.mark.parametrize("chained", [False, True], ids=["straight", "chained"])
def test_nobody_becomes_a_bridge_through_the_one_that_there_is(run, mux, chained):
    """A bridge's host has a proxy for its users, which leads to the portal; the portal sees the bridge's user."""
    link, door, status, plain = free_ports(4)
    portal = portal_config(link, ID, [])
    portal["routing"]["rules"] = portal["routing"]["rules"][1:]
    add_status(portal, status)
    run("v2c", portal, "portal")
    config = bridge_config(link, ID)
    config["inbounds"] = [socks_in("socks", door), http_in("http", plain)]
    config["routing"]["rules"].append(rule(["socks", "http"], "interconn"))
    out = config["outbounds"][1]
    if mux:
        out["mux"] = {"enabled": True}
    if chained:
        out["proxySettings"] = {"tag": "out"}
    run("v2c", config, "bridge")
    wait_for(lambda: counters(status)["portal>>>portal>>>carriers"] == 2, 10, "both links")
    for name in (DOMAIN, DOMAIN.upper(), DOMAIN + ".", MUX, MUX.title() + "."):
        with connect(door) as s, connect(plain) as other:
            by_socks(s, name.encode(), 80)
            by_connect(other, name.encode(), 80)
            assert s.recv(10)[1] == 4 and b" 502 " in other.recv(100)
    assert counters(status)["portal>>>portal>>>carriers"] == 2
