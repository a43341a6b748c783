"""`v2c explain`: each rule, each of its conditions, and where the flow goes; the same as what then happens."""
import json
import subprocess

import pytest

import rig
from configs import LOG, dokodemo, rule, vmess_in
from rig import free_ports, http_get

pytestmark = [pytest.mark.v2c, pytest.mark.quick]
USER = "11223344-5566-4788-99aa-bbccddeeff00"
CONFIG = {
    "reverse": {
        "portals": [
            {"tag": "portal", "domain": "t.test"},
            {"tag": "strict", "domain": "s.test", "users": ["other@test"]},
            {"tag": "many", "domain": "*.m.test", "claims": [{"user": "x@test", "tunnels": ["a"]}]},
        ],
        "bridges": [{"tag": "bridge", "domain": "far.test", "sniffing": {"enabled": True, "destOverride": ["tls"]}}],
    },
    "inbounds": [
        {
            "tag": "entry",
            "listen": "127.0.0.1",
            "port": 31002,
            "protocol": "ingress",
            "settings": {
                "portal": "many",
                "routes": [
                    {"host": "one.test", "tunnel": "web", "tenant": "t"},
                    {"host": "one.test", "path": "/api", "address": "192.0.2.1:80"},
                    {"host": "two.test", "path": "/x", "outboundTag": "out"},
                    {"host": "three.test", "tunnel": "$web"},
                    {"header": "x-node", "by": "node"},
                ],
            },
        },
        dokodemo("door", 31000, 8080, "10.9.8.7"),
        vmess_in("in", 31001, [(USER, "x@test")]),
    ],
    "outbounds": [
        {"tag": "out", "protocol": "freedom", "proxySettings": {"tag": "no"}},
        {"tag": "no", "protocol": "blackhole"},
    ],
    "routing": {
        "domainStrategy": "IPIfNonMatch",
        "balancers": [
            {"tag": "all", "selector": ["o", "port"], "fallbackTag": "no", "strategy": {"type": "roundRobin"}},
            {"tag": "alone", "selector": ["portal"]},
        ],
        "rules": [
            rule("door", "no", domain=["domain:bad.test", "keyword:ads"], ruleTag="bad names"),
            rule("door", "portal", port="443"),
            {"user": ["x@test"], "domain": ["full:t.test"], "outboundTag": "portal"},
            {"user": ["x@test"], "domain": ["full:s.test"], "outboundTag": "strict"},
            {"user": ["x@test"], "domain": ["domain:m.test"], "outboundTag": "many"},
            {"network": "udp", "ip": ["10.0.0.0/8"], "source": ["192.0.2.0/24"], "balancerTag": "all"},
            {"attrs": "attrs[':method'] == 'POST' and attrs['accept'] == 'a'", "balancerTag": "alone"},
            {"protocol": ["tls"], "domain": ["full:seen.test"], "outboundTag": "no"},
        ],
    },
}


@pytest.fixture
def explain(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG))

    def ask(*flags):
        command = [rig.V2C, "explain", "-c", str(path), *flags]
        return subprocess.run(command, capture_output=True, text=True, timeout=10)

    return ask


FLOWS = [
    (
        "-inbound door -domain www.bad.test -port 443",
        "flow: tcp to www.bad.test:443, by inbound \"door\"\n\n"
        "/routing/rules/0 \"bad names\": matches\n    yes  inboundTag door\n    yes  domain domain:bad.test, keyword:ads\n\n"
        'outbound: "no" (blackhole, /outbounds/1), by this rule\n',
    ),
    ("-inbound door", "flow: tcp to 10.9.8.7:8080"),
    (
        "-inbound entry -domain One.test -port 80",
        'host: one.test\nto: tunnel "web" of tenant "t" at portal "many"\ntls: passed on there as it comes\n',
    ),
    ("-inbound entry -domain one.test -path /api/1", "to: address 192.0.2.1:80\ntls: passed on"),
    ("-inbound entry -domain two.test -path /x", 'to: outbound "out"\ntls: refused\n'),
    ("-inbound entry -domain two.test", "to: nobody: this host has routes, none of them for this path"),
    ("-inbound entry -domain three.test", "it is private, and the answer 404\ntls: refused\n"),
    (
        "-inbound entry -domain four.test -header x-node:n1",
        'to: the tunnel that holds this hostname at portal "many", if there is one\nelse to: node "n1" at portal "many"\n',
    ),
    ("-inbound entry -domain four.test", "else to: nobody: the answer is 404\ntls: refused\n"),
    ("-inbound door -port 443", 'outbound: "portal" (portal, /reverse/portals/0), by this rule\nthere it is a visitor'),
    ("-inbound door -port=80", "    no   port 443\n"),
    ("--inbound in --domain T.test. --user x@test", "there it is a bridge's link\n"),
    ("-inbound in -domain s.test -user x@test", "its user is not one of the portal's users"),
    (
        "-inbound in -domain a.m.test -port 0 -user x@test",
        "there it is a bridge's link\n... if a claim of its user covers the tunnel\n",
    ),
    ("-inbound in -domain A.m.test -port 22 -user x@test", 'there it is a visitor of tunnel "a"\n'),
    ("-inbound in -domain m.test -port 22 -user x@test", "there it is refused: it names no tunnel\n"),
    (
        "-ip 10.1.1.1 -network udp -source 192.0.2.9",
        'outbound: balancer "all" chooses by roundRobin, of those that are alive:\n'
        '    "out" (freedom, /outbounds/0), which dials through "no": not observed: it counts as alive\n'
        '    "portal" (portal, /reverse/portals/0): alive while it has a bridge\nwhen none is, "no" (blackhole, /outbounds/1)\n',
    ),
    ("-domain a.test -method POST -path /x -header accept:a", "when none is, the flow is refused"),
    ("-domain a.test -method POST -path /x -header accept:b", '"out" (freedom, /outbounds/0), which dials through "no", the default: no rule matches'),
    ("-domain a.test -protocol tls -sniffed seen.test", "/routing/rules/7: matches"),
    ("-domain x.test -resolved 10.0.0.1 -network udp -source 192.0.2.1", "/routing/rules/5: matches"),
    ("-domain x.test -resolved 10.0.0.1 -network udp -source 192.0.2.1", "no rule matches, so domainStrategy asks again"),
    ("-domain x.test -network udp -source 192.0.2.1", "is looked up here; -resolved ADDRESS says what is found"),
    ("-domain www.bad.test -inbound door -resolved 10.0.0.1", "-resolved changes nothing"),
    ("-inbound bridge -domain x.test", "the first bytes are looked at here; -sniffed NAME and -protocol WORD say"),
    ("-inbound door -domain far.test", "outbound: none: the flow is refused, for it names"),
    ("-inbound bridge -domain far.test", '"out" (freedom, /outbounds/0)'),
    ("-inbound door -protocol tls", "this inbound has no \"sniffing\": nothing would be found"),
]


@pytest.mark.parametrize("flags,says", FLOWS, ids=[flags for flags, _ in FLOWS])
def test_what_is_said(explain, flags, says):
    done = explain(*flags.split())
    assert says in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0


MISTAKES = [
    ("-inbound nobody -ip 1.2.3.4", 'no inbound or bridge has the tag "nobody"'),
    ("-inbound in", "say where the flow wants to go: -domain NAME or -ip IP"),
    ("-ip a.test", '-ip: want an IP address, got "a.test"'),
    ("-domain 1.2.3.4", '-domain: want a domain name, got "1.2.3.4"'),
    ("-ip 1.2.3.4 -port 65536", '-port: want a port 0..65535, got "65536"'),
    ("-ip 1.2.3.4 -network sctp", '-network: want tcp or udp, got "sctp"'),
    ("-ip 1.2.3.4 -resolved x.test", '-resolved: want an IP address, got "x.test"'),
]


@pytest.mark.parametrize("flags,says", MISTAKES, ids=[flags for flags, _ in MISTAKES])
def test_mistakes_are_said(explain, flags, says):
    done = explain(*flags.split())
    assert done.returncode == 2
    assert done.stderr.endswith(f"v2c explain: {says}\n")
    assert done.stdout == ""


def test_a_wrong_configuration_is_said(tmp_path):
    path = tmp_path / "config.json"
    path.write_text("{")
    done = subprocess.run([rig.V2C, "explain", "-c", str(path), "-ip", "1.2.3.4"], capture_output=True, text=True)
    assert done.returncode == 23
    assert "error" in done.stderr


def test_what_happens_is_what_was_said(run, origins, tmp_path):
    good, bad = free_ports(2)
    config = {
        "log": LOG,
        "inbounds": [dokodemo("good", good, origins.web), dokodemo("bad", bad, origins.web)],
        "outbounds": [{"tag": "out", "protocol": "freedom"}, {"tag": "no", "protocol": "blackhole"}],
        "routing": {"rules": [rule("bad", "no")]},
    }
    path = tmp_path / "explained.json"
    path.write_text(json.dumps(config))
    said = [
        subprocess.check_output([rig.V2C, "explain", "-c", str(path), "-inbound", tag], text=True)
        for tag in ("good", "bad")
    ]
    assert 'outbound: "out"' in said[0] and 'outbound: "no"' in said[1]
    program = run("v2c", config, "explained")
    assert http_get(good, "/small.txt") == (200, b"small\n")
    with pytest.raises(EOFError):
        http_get(bad, "/small.txt")
    program.wait_log(r"in=bad .* out=no")


def test_an_ingress_of_a_cluster_asks_the_others(explain, tmp_path):
    cluster = {"name": "c1", "node": "n1", "key": "ab" * 32, "peers": ["192.0.2.1:7400"]}
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "cluster": cluster}))
    done = explain("-inbound", "entry", "-domain", "four.test")
    assert (
        'to: the tunnel that holds this hostname at portal "many", if there is one\n'
        'to: the tunnel that holds it at another node of cluster "c1": peers are asked\n'
        "else to: nobody"
    ) in done.stdout, done.stdout + done.stderr
