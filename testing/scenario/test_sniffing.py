"""Names and protocols in first bytes, end to end: which outbound they choose, whom they keep waiting, and
what no stranger can name."""
import contextlib
import socket
import time

import pytest

from configs import CONTROL_NAMES, DOMAIN, LOG, dokodemo, rule
from origins import BANNER, Server, UdpEcho
from quic import client_hello, first_datagrams
from rig import HOST, KINDS, SLOWER, connect, counters, free_port, free_ports, read_exactly, wait_for

WAIT = 0.2  # seconds that bytes are waited for


def says(text):
    """Answers whatever comes first with this."""

    def serve(_, s):
        s.recv(65536)
        s.sendall(text.encode())

    return Server(serve)


class NamedUdp(UdpEcho):
    """Puts a letter in front of what it sends back."""

    def __init__(self, letter):
        self.letter = letter
        super().__init__()

    def _run(self):
        while True:
            try:
                data, source = self.s.recvfrom(65536)
            except OSError:
                return
            if source:
                self.s.sendto(self.letter + data, source)


@pytest.fixture(scope="module")
def places():
    with contextlib.ExitStack() as stack:
        servers = {name: says(name) for name in ("a", "b", "default")}
        for server in servers.values():
            stack.callback(server.close)
        yield servers


def freedom(tag, port):
    return {"tag": tag, "protocol": "freedom", "settings": {"redirect": f"{HOST}:{port}"}}


def config_of(places, inbound, rules, **routing):
    return {
        "log": LOG,
        "inbounds": [inbound],
        "outbounds": [freedom(name, places[name].port) for name in ("default", "a", "b")],
        "routing": {"rules": rules, **routing},
    }


def sniffed(inbound, *names, **more):
    return {**inbound, "sniffing": {"enabled": True, "destOverride": list(names), **more}}


def request(host, path="/"):
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


def asked(port, first):
    """What answers to these bytes, and after how long."""
    begin = time.monotonic()
    with connect(port) as s:
        s.sendall(first)
        return s.recv(100).decode(), time.monotonic() - begin


RULES = [rule("in", "a", domain=["domain:a.test"]), rule("in", "b", domain=["full:b.test"])]


@pytest.mark.quick
@pytest.mark.parametrize("kind", KINDS)
def test_names_choose(run, places, kind):
    """The outbounds say where to dial, so that the name which becomes the target does no harm."""
    port = free_port()
    inbound = sniffed(dokodemo("in", port, 80), "http", "tls")
    run(kind, config_of(places, inbound, RULES))
    for first, wanted in (
        (request("x.a.test"), "a"),
        (request("b.test:8080"), "b"),
        (request("c.test"), "default"),
        (client_hello("x.a.test"), "a"),
        (client_hello("b.test"), "b"),
        (b"\x16\x03\x01 no hello", "default"),
        (b"\x00\x01\x02\x03 something else", "default"),
    ):
        assert asked(port, first)[0] == wanted, first


@pytest.mark.quick
@pytest.mark.v2c
def test_one_port_many_sites(run, places):
    """What a portal is for: by name, by path, by protocol; the target stays."""
    port = free_port()
    block = {"tag": "block", "protocol": "blackhole", "settings": {"response": {"type": "http"}}}
    inbound = sniffed(dokodemo("in", port, places["default"].port), "http", "tls", routeOnly=True,
                      domainsExcluded=["full:not.a.test"])
    config = config_of(places, inbound, [
        rule("in", "block", protocol=["bittorrent"]),
        rule("in", "b", attrs={":path": "^/b"}),
        *RULES,
    ])
    config["outbounds"][0] = {"tag": "default", "protocol": "freedom"}
    config["outbounds"].append(block)
    run("v2c", config)
    for first, wanted in (
        (request("A.test."), "a"),
        (client_hello("a.test"), "a"),
        (request("not.a.test"), "default"),
        (request("a.test", "/b/c"), "b"),
        (request("elsewhere.invalid"), "default"),
        (request("a.test\r\nHost: b.test"), "default"),
        (b"GET http://b.test/ HTTP/1.1\r\nHost: b.test\r\n\r\n", "b"),
        (b"\x13BitTorrent protocol" + bytes(48), "HTTP/1.1 403"),
    ):
        assert asked(port, first)[0].startswith(wanted), first


@pytest.mark.quick
@pytest.mark.parametrize("kind", KINDS)
def test_a_name_becomes_the_target(run, places, kind):
    """Nobody listens at the target that the inbound names; the name is 127.0.0.1, and the port stays."""
    doors = free_ports(2)
    inbound = sniffed(dokodemo("in", doors[0], places["a"].port, address="127.0.0.2"), "http")
    config = config_of(places, inbound, [])
    if kind == "v2c":
        config["inbounds"].append(
            sniffed(dokodemo("only", doors[1], places["a"].port), "http", routeOnly=True))
    config["outbounds"] = [{"tag": "out", "protocol": "freedom"}]
    run(kind, config)
    assert asked(doors[0], request("localhost"))[0] == "a"
    if kind == "v2c":
        assert asked(doors[1], request("elsewhere.invalid"))[0] == "a"


@pytest.mark.quick
@pytest.mark.v2c
def test_who_speaks_second_waits_only_where_it_matters(run, origins, places):
    """A client that waits for a banner: not kept where no name can matter to it, else for a moment."""
    free, bounded = free_ports(2)
    inbounds = [
        sniffed(dokodemo(tag, port, origins.banner), "http", "tls", routeOnly=True)
        for tag, port in (("free", free), ("bounded", bounded))
    ]
    config = config_of(places, inbounds[0], [
        rule(["free"], "out", port=origins.banner),
        rule(["free", "bounded"], "a", domain=["a.test"]),
    ])
    config["inbounds"] = inbounds
    config["outbounds"].insert(0, {"tag": "out", "protocol": "freedom"})
    run("v2c", config)

    def banner_after(port):
        begin = time.monotonic()
        with connect(port) as s:
            assert read_exactly(s, len(BANNER)) == BANNER
            return time.monotonic() - begin

    assert banner_after(free) < WAIT / 2 * SLOWER
    assert WAIT * 0.9 < banner_after(bounded) < (WAIT + 0.5) * SLOWER
    with connect(bounded) as s:  # it speaks, but nothing that could be a name
        begin = time.monotonic()
        s.sendall(b"SSH-2.0-test\r\n")
        assert read_exactly(s, len(BANNER)) == BANNER
        assert time.monotonic() - begin < WAIT / 2 * SLOWER


@pytest.mark.quick
@pytest.mark.v2c
def test_datagrams_have_names(run):
    port = free_port(udp=True)
    with contextlib.ExitStack() as stack:
        echoes = {}
        for name in ("a", "b", "default"):
            echoes[name] = NamedUdp(name[:1].encode())
            stack.callback(echoes[name].s.close)
        inbound = sniffed(dokodemo("in", port, 443, network="udp"), "quic")
        run("v2c", config_of(echoes, inbound, RULES))
        for name, letter in (("a.test", b"a"), ("b.test", b"b"), ("c.test", b"d"), (None, b"d")):
            datagrams = first_datagrams(name) if name else [b"not quic", b"at all"]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.settimeout(10)
                s.connect((HOST, port))
                for data in datagrams:
                    s.send(data)
                for data in datagrams:
                    assert s.recv(2048) == letter + data


# ------------------------------------------------------------------------------------- addresses of names


@pytest.mark.quick
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strategy, wanted", [
    ("AsIs", "default"), ("IPIfNonMatch", "a"), ("IPOnDemand", "a"), ("ipondemand", "a"),
])
def test_rules_see_addresses_of_names(run, places, kind, strategy, wanted):
    port, other = free_ports(2)
    config = config_of(
        places, dokodemo("in", port, 80, address="localhost"),
        [rule("in", "a", ip=["127.0.0.0/8", "::1"]), rule("other", "b", domain=["localhost"]),
         rule("other", "a", ip=["127.0.0.0/8"])],
        domainStrategy=strategy)
    config["inbounds"].append(dokodemo("other", other, 80, address="localhost"))
    run(kind, config)
    assert asked(port, b"x")[0] == wanted
    assert asked(other, b"x")[0] == "b"


# --------------------------------------------------------------------------------------- tunnels, attacks


def sites_on_a_bridge(tunnel, places, **sniffing):
    tunnel.bridge_config["reverse"]["bridges"][0]["sniffing"] = {
        "enabled": True, "destOverride": ["http", "tls"], **sniffing}
    tunnel.bridge_config["outbounds"] += [freedom(name, places[name].port) for name in ("a", "b")]
    rules = tunnel.bridge_config["routing"]["rules"]
    rules[-1:-1] = [rule("bridge", name, domain=[f"full:{name}.test"]) for name in ("a", "b")]


@pytest.mark.quick
@pytest.mark.v2c
@pytest.mark.pairings(("v2c", "v2c"), ("v2ray", "v2c"))
def test_a_bridge_tells_sites_apart(own_tunnel, places, pairing):
    tunnel = own_tunnel(pairing, lambda t: sites_on_a_bridge(t, places, routeOnly=True))
    assert asked(tunnel.origin, request("a.test"))[0] == "a"
    assert asked(tunnel.origin, client_hello("b.test"))[0] == "b"
    with tunnel.ask("late yes") as s:
        assert read_exactly(s, 3) == b"yes"
    with connect(tunnel.banner) as s:
        assert read_exactly(s, len(BANNER)) == BANNER


NOT_FOR_STRANGERS = [DOMAIN, *CONTROL_NAMES, "v1.mux.cool"]
SPELLINGS = [str, str.upper, str.title, lambda name: name + ".", lambda name: name.upper() + ".:80"]
DRAIN = b"\x08\x01"


@pytest.mark.v2c
@pytest.mark.pairings(("v2c", "v2c"), ("v2c", "v2ray"), ("v2ray", "v2c"))
def test_a_stranger_names_nothing_of_ours(own_tunnel, pairing):
    """Host and SNI of visitors name the magic domain, control domains and mux, with what would drain a
    link behind them. Both sides sniff and override; links stay, visitors are served."""

    def prepare(tunnel):
        sniffing = {"enabled": True, "destOverride": ["http", "tls"], "domainsExcluded": ["web.test"]}
        if pairing[0] == "v2c":
            for visitors in tunnel.portal_config["inbounds"]:
                visitors["sniffing"] = sniffing
        if pairing[1] == "v2c":
            tunnel.bridge_config["reverse"]["bridges"][0]["sniffing"] = sniffing

    tunnel = own_tunnel(pairing, prepare)
    ports = [p for p in (tunnel.portal_status, tunnel.bridge_status) if p]

    def links():
        return [v for p in ports for name, v in counters(p).items() if name.endswith(">>>carriers")]

    if pairing[1] == "v2c":
        wait_for(lambda: set(links()) == {2}, 10, "both links")
    before = [counters(p) for p in ports], links()
    for name in NOT_FOR_STRANGERS:
        for spell in SPELLINGS:
            host = spell(name)
            with connect(tunnel.web) as s:  # nginx hears the request, as without sniffing
                s.sendall(request(host, "/small.txt") + DRAIN)
                assert s.recv(4096).startswith(b"HTTP/1.1 ")
            with connect(tunnel.origin) as s:
                s.sendall(client_hello(host.partition(":")[0]) + DRAIN)
    assert links() == before[1]
    for port, old in zip(ports, before[0]):
        now = counters(port)
        assert now["carriers_refused"] == old["carriers_refused"]
        assert now["names_refused"] - old["names_refused"] >= len(NOT_FOR_STRANGERS) * len(SPELLINGS)
    if pairing[1] == "v2c":
        assert tunnel.bridge.log().count("connected to its portal") == 2
    with tunnel.ask("late yes") as s:
        assert read_exactly(s, 3) == b"yes"
