"""Who comes through a SOCKS or HTTP proxy is a visitor, whatever he names and however he has authenticated: no bridge, no
voice in a link, no second tunnel in our name."""
import json
import subprocess

import pytest

from configs import CONTROL_NAMES, DOMAIN, LOG, rule, vmess_in, vmess_out
from proxies import PASSWORD, USER, http_in, socks_ask, socks_greet, socks_in
from rig import HOST, V2C, connect, counters, free_port, free_ports, http_get, read_to_end

pytestmark = [pytest.mark.v2c, pytest.mark.quick]
NEW_PORTAL = [("v2c", "v2c"), ("v2c", "v2ray")]
MUX = "v1.mux.cool"
ID = "11223344-5566-4788-99aa-bbccddeeff00"


def spellings(name):
    return [name, name.upper(), name + ".", name.title()]


def with_proxies(socks, http):
    """A portal whose proxies' users are sent to it, and are on its list of bridges, too."""

    def prepare(tunnel):
        c = tunnel.portal_config
        c["inbounds"] += [socks_in("socks", socks, auth=True), http_in("http", http, auth=True)]
        c["routing"]["rules"].append(rule(["socks", "http"], "portal"))
        c["reverse"]["portals"][0]["users"] = [USER, "bridge@tunnel.test"]

    return prepare


def through_socks(port, name, target_port):
    with connect(port) as s:
        assert socks_greet(s, (USER, PASSWORD)) == 0
        return socks_ask(s, 1, name, target_port)[0]


def through_http(port, name, target_port):
    with connect(port) as s:
        s.sendall(
            f"CONNECT {name}:{target_port} HTTP/1.1\r\nHost: a\r\n"
            "Proxy-Authorization: Basic dmlzaXRvckB0ZXN0Om9wZW4gc2VzYW1l\r\n\r\n".encode()
        )
        return int(read_to_end(s).data.split(b" ")[1])


@pytest.mark.pairings(*NEW_PORTAL)
def test_a_proxys_user_makes_no_bridge(own_tunnel, origins, pairing):
    socks, http = free_ports(2)
    t = own_tunnel(pairing, with_proxies(socks, http))
    before = counters(t.portal_status)
    for name in spellings(DOMAIN):
        assert through_socks(socks, name, 80) in (1, 2)
        assert through_http(http, name, 80) in (403, 502)
    for name in (*CONTROL_NAMES[:2], CONTROL_NAMES[3]):
        for spelling in spellings(name):
            assert through_socks(socks, spelling, 80) in (1, 2)
    after = counters(t.portal_status)
    assert after["carriers_refused"] - before["carriers_refused"] == 8
    assert after["names_refused"] - before["names_refused"] == 12
    assert http_get(t.web, "/small.txt").body == b"small\n"
    assert through_socks(socks, HOST, origins.web) == 0  # he is a visitor, and welcome


@pytest.mark.parametrize("ask", [through_socks, through_http], ids=["socks", "http"])
def test_nobody_asks_for_mux_in_our_name(run, ask):
    """V2Ray at the other end would take a visitor's bytes for frames, and dial what no rule here allows."""
    port, far, status = free_ports(3)
    run("v2ray", {"log": LOG, "inbounds": [vmess_in("in", far, [(ID, "a@b")])],
                  "outbounds": [{"protocol": "freedom"}]}, "far")
    inbound = socks_in if ask is through_socks else http_in
    near = {"log": LOG, "inbounds": [inbound("proxy", port, auth=True)],
            "outbounds": [vmess_out("far", far, ID)], "routing": {"rules": []}}
    program = run("v2c", near, "near")
    for name in spellings(MUX):
        for target_port in (9527, 80):
            assert ask(port, name, target_port) not in (0, 200)
    assert program.log().count("named the Mux.Cool name") >= 4


def test_what_an_open_proxy_is_told(run):
    """A public address without accounts is warned about; with -strict it is an error."""




    config = {"log": LOG, "inbounds": [socks_in("socks", free_port())], "outbounds": [{"protocol": "freedom"}]}
    program = run("v2c", config, "loopback")
    assert "open proxy" not in program.log()
    config["inbounds"][0]["listen"] = "0.0.0.0"
    program.path.write_text(json.dumps(config))
    for flags, code in ((["-c"], 0), (["-strict", "-c"], 23)):
        done = subprocess.run([V2C, "test", *flags, str(program.path)], capture_output=True, text=True, timeout=20)
        assert done.returncode == code and "an open proxy" in done.stdout + done.stderr
