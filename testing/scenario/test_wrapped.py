"""TLS below other transports, on a tunnel's link and through a proxy; either side may be V2Ray where it knows them."""
from types import SimpleNamespace

import pytest

from certs import Cert
from configs import LOG, dokodemo, vmess_in, vmess_out
from rig import HOST, Nginx, first_good, free_port, free_ports, http_get, in_parallel
from test_chains import INNER, OUTER, server as proxy_config
from test_ws import MIXED, all_is_well

pytestmark = [pytest.mark.v2c, pytest.mark.quick]
NAME = "portal.test"
TRANSPORTS = {
    "ws": {"network": "ws", "wsSettings": {"path": "/ray"}},
    "early": {"network": "ws", "wsSettings": {"path": "/ray?ed=1024"}},
    "httpupgrade": {"network": "httpupgrade", "httpupgradeSettings": {"path": "/up"}},
    "forged": {"network": "tcp", "tcpSettings": {"header": {"type": "http"}}},
}
KNOWN_TO_V2RAY = ("ws", "forged")


@pytest.fixture(scope="module")
def known():
    authority = Cert(authority=True)
    return SimpleNamespace(ca=authority, server=Cert([NAME, HOST], authority))


@pytest.fixture
def wrapped(known, tmp_path):
    """streamSettings of both sides of a link by this transport over tls."""

    def make(transport):
        ours = {"certificates": [known.server.files(tmp_path, "portal")]}
        theirs = {"serverName": NAME, "certificates": [known.ca.trusted(tmp_path, "ca")], "disableSystemRoot": True}
        return [{**TRANSPORTS[transport], "security": "tls", "tlsSettings": s} for s in (ours, theirs)]

    return make


def on_the_link(streams):
    def prepare(t):
        portal = next(i for i in t.portal_config["inbounds"] if i["tag"] == "interconn")
        bridge = next(o for o in t.bridge_config["outbounds"] if o["tag"] == "interconn")
        portal["streamSettings"], bridge["streamSettings"] = streams

    return prepare


@pytest.mark.workers
@pytest.mark.pairings(*MIXED)
@pytest.mark.parametrize("transport", KNOWN_TO_V2RAY)
def test_a_tunnel_with_tls_below(own_tunnel, origins, pairing, wrapped, transport):
    all_is_well(own_tunnel(pairing, on_the_link(wrapped(transport))), origins)


@pytest.mark.pairings(("v2c", "v2c"))
@pytest.mark.parametrize("transport", ["early", "httpupgrade"])
def test_what_v2ray_4_has_not(own_tunnel, origins, pairing, wrapped, transport):
    all_is_well(own_tunnel(pairing, on_the_link(wrapped(transport))), origins)


@pytest.mark.parametrize("far", ["v2c", "v2ray"])
def test_the_whole_transport_passes_through_a_proxy(run, origins, wrapped, far):
    """V2Ray's own client would leave the WebSocket out."""
    web, proxy, port = free_ports(3)
    ours, theirs = wrapped("ws")
    run("v2ray", proxy_config(proxy, OUTER), "proxy")
    inbound = {**vmess_in("in", port, [(INNER, "user@test")]), "streamSettings": ours}
    run(far, {"log": LOG, "inbounds": [inbound], "outbounds": [{"protocol": "freedom"}]}, "far")
    first = {**vmess_out("first", port, INNER), "streamSettings": theirs, "proxySettings": {"tag": "proxy"}}
    run(
        "v2c",
        {
            "log": LOG,
            "inbounds": [dokodemo("web", web, origins.web)],
            "outbounds": [first, vmess_out("proxy", proxy, OUTER)],
        },
        "client",
    )
    first_good(web)
    assert http_get(web, "/big.bin").status == 200
    assert in_parallel([lambda: http_get(web, "/small.txt").body] * 20) == [b"small\n"] * 20


@pytest.fixture
def front(known, tmp_path):
    """An nginx that ends tls and passes WebSockets on to a port."""
    running = []

    def start(port):
        listens, files = free_port(), known.server.files(tmp_path, "nginx")
        more = f"""listen {HOST}:{listens} ssl;
        ssl_certificate {files["certificateFile"]}; ssl_certificate_key {files["keyFile"]};
        location /ray {{
            proxy_pass http://{HOST}:{port}; proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";
        }}"""
        running.append(Nginx(tmp_path, tmp_path, more))
        return listens

    yield start
    for nginx in running:
        nginx.stop()


def test_wss_ends_at_nginx(own_tunnel, origins, known, tmp_path, front):
    """As behind a web server: tls is nginx's, the WebSocket the portal's."""

    def prepare(t):
        settings = {"serverName": NAME, "certificates": [known.ca.trusted(tmp_path, "ca")]}
        wss = {**TRANSPORTS["ws"], "security": "tls", "tlsSettings": settings}
        on_the_link([TRANSPORTS["ws"], wss])(t)
        bridge = next(o for o in t.bridge_config["outbounds"] if o["tag"] == "interconn")
        bridge["settings"]["vnext"][0]["port"] = front(t.link)

    all_is_well(own_tunnel(("v2c", "v2c"), prepare), origins)
