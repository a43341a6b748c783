"""Names: servers by UDP, TCP and HTTPS, their order and their oddities, hosts, the cache, reloads, and several addresses."""
import ctypes
import json
import re
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

import rig
from certs import Cert
from configs import LOG, dokodemo, rule, vmess_in, vmess_out
from nameserver import (
    A, CNAME, NXDOMAIN, SERVFAIL, SILENT, HttpsNameServer, NameServer, Signposts, Zone, read_question, record,
    reply, slow, wire_name,
)
from rig import HOST, free_port, free_ports, in_parallel, read_to_end, wait_for

pytestmark = [pytest.mark.v2c, pytest.mark.quick]
ONE, TWO, THREE = "127.0.0.1", "127.0.0.2", "127.0.0.3"
USER = "11223344-5566-4788-99aa-bbccddeeff00"


@pytest.fixture
def posts():
    running = Signposts()
    yield running
    running.close()


@pytest.fixture
def server():
    running = []

    def start(names, **options):
        running.append(NameServer(Zone(names, **options)))
        return running[-1]

    yield start
    for s in running:
        s.close()


class Doors:
    """A client with a door for each name; all lead to the signposts' port."""

    def __init__(self, posts, names, dns, **more):
        self.ports = dict(zip(names, free_ports(len(names))))
        self.config = {
            "log": dict(LOG),
            "dns": dns,
            "inbounds": [
                dokodemo(f"door-{i}", p, posts.port, address=n)
                for i, (n, p) in enumerate(self.ports.items())
            ],
            "outbounds": [{"tag": "out", "protocol": "freedom"}],
            **more,
        }

    def where(self, name):
        """The address at which the target was reached, or None."""
        try:
            with socket.create_connection((HOST, self.ports[name]), timeout=15) as s:
                s.settimeout(15)
                return read_to_end(s)[0].decode() or None
        except ConnectionResetError:
            return None


def plain(server, **more):
    return {"address": HOST, "port": server.port, **more}


def truncated(zone, message, how):
    if how == "udp":
        return [reply(message, flags=0x0200)]
    return zone.usual(message, [TWO])


def wrong_first(zone, message, how):
    """An answer with another id, one to another question, and none at all, before the right one."""
    false = zone.usual(message, [THREE])[0]
    other = reply(message, [record(b"\xc0\x0c", A, 60, b"\x7f\0\0\x03")], question=wire_name("x") + b"\0\1\0\1")
    other_id = bytes([false[0] ^ 0x55]) + false[1:]
    return [other_id, other, *zone.usual(message, [TWO])]


def cares_version():
    cares = ctypes.CDLL("libcares.so.2")
    cares.ares_version.restype = ctypes.c_char_p
    return tuple(map(int, cares.ares_version(None).split(b".")))


def empty_first(zone, message, how):
    """c-ares since 1.23 closes the socket, which is this question's own."""
    return [b"", *zone.usual(message, [TWO])]


def folded(zone, message, how):
    """As some servers do: letters come back small."""
    name, _, question = read_question(message)
    answer = zone.usual(message, [TWO])[0]
    return [answer.replace(question, wire_name(name.lower()) + question[-4:])]


def many(zone, message, how):
    if how == "udp":
        return [reply(message, flags=0x0200)]
    kind = read_question(message)[1]
    records = [record(b"\xc0\x0c", A, 60, struct.pack(">I", 0x7F000001 + i % 3)) for i in range(4000)]
    return [reply(message, records if kind == A else [])]


def alias(zone, message, how):
    _, kind, _ = read_question(message)
    hop = wire_name("b.example")
    records = [record(b"\xc0\x0c", CNAME, 60, hop)]
    if kind == A:
        records.append(record(hop, A, 60, b"\x7f\0\0\x02"))
    return [reply(message, records)]


def ring(zone, message, how):
    a, b = wire_name("ring.example"), wire_name("ring2.example")
    return [reply(message, [record(a, CNAME, 60, b), record(b, CNAME, 60, a)])]


def only_ipv4(zone, message, how):
    """Questions for IPv6 are never answered."""
    return zone.usual(message, [TWO] if read_question(message)[1] == A else SILENT)


ODD = {
    "usual.example": [TWO],
    "truncated.example": truncated,
    "wrong.example": wrong_first,
    "empty.example": empty_first,
    "folded.example": folded,
    "many.example": many,
    "alias.example": alias,
    "half.example": only_ipv4,
}
BAD = {"ring.example": ring, "servfail.example": SERVFAIL, "silent.example": SILENT, "none.example": NXDOMAIN}


@pytest.mark.parametrize("how", ["udp", "tcp"])
def test_odd_answers_are_read_and_bad_ones_fail(run, posts, server, how):
    odd = {n: m for n, m in ODD.items() if how == "udp" or m not in (wrong_first, empty_first)}
    names = server({**odd, **BAD})
    where = {"udp": plain(names, timeoutMs=1500), "tcp": {"address": f"tcp://{HOST}:{names.port}", "timeoutMs": 1500}}
    doors = Doors(posts, [*odd, *BAD], {"servers": [where[how]]})
    client = run("v2c", doors.config)
    began = time.monotonic()
    found = dict(zip(doors.ports, in_parallel([lambda n=n: doors.where(n) for n in doors.ports])))
    bad = {*BAD, "empty.example"} if how == "udp" and cares_version() >= (1, 23) else set(BAD)
    assert {n for n, at in found.items() if at is None} == bad
    assert all(found[n] == TWO for n in {*odd} - bad if n != "many.example"), found
    assert time.monotonic() - began < 6 * rig.SLOWER
    log = client.log()
    assert re.search(r"silent\.example.*no answer within 1\.5 s", log)
    assert re.search(r"servfail\.example.*SERVFAIL", log)
    assert re.search(r"ring\.example.*go round", log)
    assert {h for h, _, _ in names.zone.asked} == ({"udp", "tcp"} if how == "udp" else {"tcp"})


def test_servers_are_asked_in_order(run, posts, server):
    first = server({"a.corp": [ONE], "b.example": SERVFAIL, "c.example": SILENT, "d.example": [ONE]})
    second = server({"a.corp": [TWO], "b.example": [TWO], "c.example": [TWO], "d.example": [TWO], "e.example": [TWO]})
    corp = server({"a.corp": [THREE], "b.example": [THREE]})
    dns = {
        "servers": [
            plain(first, timeoutMs=300, expectIPs=["127.0.0.2/32"]),
            plain(second),
            plain(corp, domains=["domain:corp"], skipFallback=True),
        ]
    }
    doors = Doors(posts, ["a.corp", "b.example", "c.example", "d.example", "e.example"], dns)
    run("v2c", doors.config)
    assert doors.where("a.corp") == THREE
    assert doors.where("b.example") == TWO  # an error: the next one
    assert doors.where("c.example") == TWO  # silence, too
    assert doors.where("d.example") == TWO  # and an address that nobody expected
    assert doors.where("e.example") is None  # that it does not exist is an answer
    assert second.zone.count("a.corp") == 0 and first.zone.count("a.corp") == 0
    assert corp.zone.count("b.example") == 0 and second.zone.count("e.example") == 0


def test_hosts_come_first(run, posts, server):
    names = server({"c.example": [THREE], "plain.example.org": [ONE]})
    hosts = {
        "plain.example": TWO,
        "many.example": [THREE, "::1"],
        "domain:wild.example": TWO,
        "regexp:^x{1,2}[.]example$": THREE,
        "alias.example": "plain.example",
        "out.example": "c.example",
        "round.example": "round2.example",
        "round2.example": "round.example",
    }
    wanted = {
        "Plain.Example.": TWO, "many.example": THREE, "a.wild.example": TWO, "xx.example": THREE,
        "alias.example": TWO, "out.example": THREE, "round.example": None, "plain.example.org": ONE,
    }
    dns = {"hosts": hosts, "servers": [plain(names)], "queryStrategy": "UseIPv4"}
    doors = Doors(posts, list(wanted), dns)
    run("v2c", doors.config)
    assert {n: doors.where(n) for n in wanted} == wanted
    assert {n for _, n, _ in names.zone.asked} == {"c.example", "plain.example.org"}
    assert {k for _, _, k in names.zone.asked} == {A}


def test_a_name_is_looked_up_once_for_all_and_kept(run, posts, server):
    names = server({"a.example": slow(0.5, [TWO])}, ttl=0)
    doors = Doors(posts, ["a.example"], {"servers": [plain(names)]}, workers=1)
    run("v2c", doors.config)
    assert in_parallel([lambda: doors.where("a.example")] * 10) == [TWO] * 10
    assert doors.where("a.example") == TWO
    assert names.zone.count("a.example") == 1


def test_without_a_cache_each_is_looked_up(run, posts, server):
    names = server({"a.example": [TWO]})
    doors = Doors(posts, ["a.example"], {"servers": [plain(names)], "disableCache": True})
    run("v2c", doors.config)
    assert [doors.where("a.example") for _ in range(3)] == [TWO] * 3
    assert names.zone.count("a.example") == 3


def reload_to(program, config):
    before = program.log().count("reload: done")
    program.path.write_text(json.dumps(config))
    program.process.send_signal(signal.SIGHUP)
    wait_for(lambda: program.log().count("reload: done") > before, 10 * rig.SLOWER, "the reload")


def test_a_reload_changes_servers_hosts_and_forgets(run, posts, server):
    first = server({"a.example": [TWO], "slow.example": SILENT})
    second = server({"a.example": [THREE], "slow.example": [THREE]})
    doors = Doors(posts, ["a.example", "slow.example", "b.example"], {"servers": [plain(first, timeoutMs=60000)]})
    client = run("v2c", doors.config)
    assert doors.where("a.example") == TWO
    with socket.create_connection((HOST, doors.ports["slow.example"])) as waits:
        wait_for(lambda: first.zone.count("slow.example"), 10, "the question")
        doors.config["outbounds"].append({"tag": "more", "protocol": "blackhole"})
        reload_to(client, doors.config)
        assert doors.where("a.example") == TWO
        assert first.zone.count("a.example") == 1  # dns says the same: what is known stays
        doors.config["dns"] = {"servers": [plain(second)], "hosts": {"b.example": TWO}}
        reload_to(client, doors.config)
        waits.settimeout(10)
        assert waits.recv(100).decode() == THREE
    assert doors.where("a.example") == THREE
    assert doors.where("b.example") == TWO


def test_outbounds_find_their_servers_the_same_way(run, posts):
    port = free_port()
    run("v2c", {"log": LOG, "inbounds": [vmess_in("in", port, [(USER, "u@test")])], "outbounds": [{"protocol": "freedom"}]}, "server")
    out = vmess_out("out", port, USER)
    out["settings"]["vnext"][0]["address"] = "server.example"
    doors = Doors(posts, ["127.0.0.3"], {"hosts": {"server.example": HOST}}, outbounds=[out])
    run("v2c", doors.config, "client")
    assert doors.where("127.0.0.3") == THREE


# --- by HTTPS ---


@pytest.fixture
def https(tmp_path, monkeypatch):
    """A DoH server for the name dns.test and the address 127.0.0.1, whose authority the programs trust."""
    running = []

    def start(names, believed=True):
        authority = Cert(authority=True)
        cert = Cert(["dns.test", HOST], issuer=authority)
        trusted = (authority if believed else Cert(authority=True)).trusted(tmp_path, "roots")
        monkeypatch.setenv("SSL_CERT_FILE", trusted["certificateFile"])
        running.append(HttpsNameServer(Zone(names), cert.files(tmp_path, "doh")))
        return running[-1]

    yield start
    for s in running:
        s.close()


def by_rule(doors, tag):
    """The default refuses; only questions with this tag, and the doors, go out."""
    doors.config["outbounds"].insert(0, {"tag": "nowhere", "protocol": "blackhole"})
    tags = [i["tag"] for i in doors.config["inbounds"]]
    doors.config["routing"] = {"rules": [rule(tags, "out"), rule(tag, "out")]}


@pytest.mark.parametrize("scheme", ["https", "https+local"])
def test_https_servers_are_asked_by_the_rules_or_directly(run, posts, https, scheme):
    names = https({"a.example": [TWO], "b.example": [THREE], "c.example": NXDOMAIN})
    dns = {"servers": [f"{scheme}://dns.test:{names.port}/dns-query"], "hosts": {"dns.test": HOST}, "tag": "questions"}
    doors = Doors(posts, ["a.example", "b.example", "c.example"], dns)
    by_rule(doors, "questions" if scheme == "https" else "another")
    run("v2c", doors.config)
    assert [doors.where(n) for n in ("a.example", "b.example", "c.example", "a.example")] == [TWO, THREE, None, TWO]
    assert set(names.requests) == {("/dns-query", f"dns.test:{names.port}", "application/dns-message")}
    assert len(names.requests) == 6  # two families of three names
    assert names.connections == 2  # one for each question at a time, and they stay


def test_https_without_a_rule_takes_the_default(run, posts, https):
    names = https({"a.example": [TWO]})
    doors = Doors(posts, ["a.example"], {"servers": [f"https://{HOST}:{names.port}/"], "tag": "questions"})
    by_rule(doors, "another")
    client = run("v2c", doors.config)
    assert doors.where("a.example") is None
    assert not names.requests
    assert "a.example" in client.log()


def test_an_https_server_must_prove_who_it_is(run, posts, https, server):
    names, other = https({"a.example": [THREE]}, believed=False), server({"a.example": [TWO]})
    dns = {"servers": [f"https+local://{HOST}:{names.port}/", plain(other)]}
    doors = Doors(posts, ["a.example"], dns)
    run("v2c", doors.config)
    assert doors.where("a.example") == TWO
    assert not names.requests


def test_a_failing_https_server_gives_way(run, posts, https, server):
    names = https({"a.example": SILENT, "b.example": [THREE]})
    other = server({"a.example": [TWO]})
    doors = Doors(posts, ["a.example", "b.example"], {"servers": [f"https+local://{HOST}:{names.port}/", plain(other)]})
    run("v2c", doors.config)
    assert doors.where("a.example") == TWO  # it said 503
    assert doors.where("b.example") == THREE


def test_a_proxy_that_is_needed_for_names_is_found_without_them(run, posts, https):
    """The default outbound dials a name, and questions go through it."""
    names = https({"a.example": [TWO]})
    port = free_port()
    run("v2c", {"log": LOG, "inbounds": [vmess_in("in", port, [(USER, "u@test")])], "outbounds": [{"protocol": "freedom"}]}, "server")
    out = vmess_out("proxy", port, USER)
    out["settings"]["vnext"][0]["address"] = "localhost"
    doors = Doors(posts, ["a.example"], {"servers": [f"https://{HOST}:{names.port}/"]})
    doors.config["outbounds"].insert(0, out)
    doors.config["routing"] = {"rules": [rule("door-0", "out")]}
    run("v2c", doors.config, "client")
    assert doors.where("a.example") == TWO
    assert names.requests


# --- several addresses ---


def test_a_silent_address_costs_a_moment(run, posts, server):
    names = server({"a.example": [TWO, THREE], "b.example": [THREE, TWO]})
    with socket.socket() as full, socket.socket() as one, socket.socket() as two, socket.socket() as three:
        full.bind((TWO, 0))
        full.listen(0)
        for s in (one, two, three):
            s.setblocking(False)
            s.connect_ex(full.getsockname())
        with Posted(THREE, full.getsockname()[1]) as post:
            doors = Doors(post, ["a.example", "b.example"], {"servers": [plain(names)]})
            run("v2c", doors.config)
            began = time.monotonic()
            assert [doors.where(n) for n in doors.ports] == [THREE, THREE]
            assert time.monotonic() - began < 3 * rig.SLOWER


class Posted:
    """One signpost at this very place."""

    def __init__(self, host, port):
        self.host, self.port = host, port

    def __enter__(self):
        self.socket = socket.create_server((self.host, self.port))
        threading.Thread(target=Signposts.serve, args=(self.socket,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


# --- at load ---


@pytest.mark.parametrize(
    "dns, pointer, text",
    [
        ({"servers": "1.1.1.1"}, "/dns/servers", "want an array"),
        ({"servers": [1]}, "/dns/servers/0", "want the address of a server as text"),
        ({"servers": [{}]}, "/dns/servers/0", "want the address of a server as text"),
        ({"servers": ["tcp://dns.example"]}, "/dns/servers/0", "by its IP address only"),
        ({"servers": ["dns.example"]}, "/dns/servers/0", "by its IP address only"),
        ({"servers": ["1.1.1.1:70000"]}, "/dns/servers/0", "want an IP address, \"localhost\""),
        ({"servers": ["1.1.1.1/x"]}, "/dns/servers/0", "want an IP address, \"localhost\""),
        ({"servers": ["quic+local://1.1.1.1"]}, "/dns/servers/0", "v2c has no DNS over QUIC yet"),
        ({"servers": ["fakedns"]}, "/dns/servers/0", "v2c has no fakedns yet"),
        ({"servers": [{"address": "1.1.1.1", "expectIPs": ["x"]}]}, "/dns/servers/0/expectIPs/0", "invalid IP: x"),
        ({"servers": [{"address": "1.1.1.1", "timeoutMs": 60001}]}, "/dns/servers/0/timeoutMs", "60000"),
        ({"servers": [{"address": "1.1.1.1", "tag": "x"}]}, "/dns/servers/0/tag", "v2c has no tag of dns servers yet"),
        ({"servers": ["1.1.1.1"] * 33}, "/dns/servers", "at most 32 servers, got 33"),
        ({"hosts": []}, "/dns/hosts", "want an object"),
        ({"hosts": {"a": 1}}, "/dns/hosts/a", "text"),
        ({"hosts": {"a": []}}, "/dns/hosts/a", "want at least one"),
        ({"hosts": {"a": ["1.2.3.4", "b.example"]}}, "/dns/hosts/a/1", "one name alone"),
        ({"hosts": {"regexp:(": "1.2.3.4"}}, "/dns/hosts/regexp:(", "failed to parse domain rule"),
        ({"clientIp": "x.example"}, "/dns/clientIp", "want an IP address"),
        ({"queryStrategy": "UseSystem"}, "/dns/queryStrategy", "UseSystem"),
    ],
)
def test_wrong_values_are_named(tmp_path, dns, pointer, text):
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"dns": dns, "outbounds": [{"protocol": "freedom"}]}))
    said = subprocess.run([rig.V2C, "test", "-c", str(path)], capture_output=True, text=True, timeout=20)
    lines = [l for l in (said.stdout + said.stderr).splitlines() if f" {pointer}: error: " in l]
    assert said.returncode == 23 and len(lines) == 1 and text in lines[0], said.stdout + said.stderr
