"""SOCKS, in and out: with curl, with clients of the tests' own, and with V2Ray on either side."""
import json
import signal
import socket

import pytest

from configs import LOG, dokodemo, rule
from origins import known_bytes
from proxies import PASSWORD, USER, Association, account, curl, proxy_out, socks_ask, socks_greet, socks_in
from rig import (
    HOST, connect, free_port, free_ports, http_get, in_parallel, read_exactly, read_to_end, visit_end, wait_for,
)
from test_forward import carries

pytestmark = [pytest.mark.v2c, pytest.mark.quick]
FREEDOM = {"tag": "out", "protocol": "freedom"}


def server(*inbounds, **more):
    return {"log": LOG, "inbounds": list(inbounds), "outbounds": [FREEDOM], **more}


@pytest.fixture
def plain(run):
    port = free_port()
    run("v2c", server(socks_in("socks", port), dns={"hosts": {"echo.test": HOST}}), "server")
    return port


@pytest.fixture
def guarded(run):
    port = free_port()
    program = run("v2c", server(socks_in("socks", port, auth=True)), "server")
    return port, program


# ---------------------------------------------------------------------------------------------- curl


@pytest.mark.workers
@pytest.mark.parametrize("kind", ["socks5", "socks5-hostname", "socks4", "socks4a"])
def test_curl(plain, origins, kind):
    out, code = curl(f"--{kind}", f"{HOST}:{plain}", f"http://localhost:{origins.web}/small.txt", "-4")
    assert (out, code) == (b"small\n", 0)


def test_curl_with_a_password(guarded, origins):
    port, program = guarded
    url = f"http://{HOST}:{origins.web}/small.txt"
    proxy = ["--socks5", f"{HOST}:{port}"]
    assert curl(*proxy, "--proxy-user", f"{USER}:{PASSWORD}", url) == (b"small\n", 0)
    assert curl(*proxy, "--proxy-user", f"{USER}:wrong", url) == (b"", 97)
    assert curl(*proxy, url) == (b"", 97)
    assert curl("--socks4", f"{HOST}:{port}", url) == (b"", 97)
    log = program.log()
    assert "wrong user or password" in log and "SOCKS 4 has no passwords" in log
    assert PASSWORD not in log and "wrong user or password" in log
    assert f"email: {USER}" in log or "out=out" in log


# ------------------------------------------------------------------------------- what the client hears


def test_a_client_hears_why_its_target_was_not_reached(plain):
    with connect(plain) as s:
        socks_greet(s)
        assert socks_ask(s, 1, HOST, free_port())[0] == 5  # refused
        assert read_to_end(s).how == "fin"
    with connect(plain) as s:
        socks_greet(s)
        assert socks_ask(s, 2, HOST, 80)[0] == 7  # bind: no such command
    with connect(plain) as s:
        s.sendall(b"\x04\x01" + free_port().to_bytes(2, "big") + socket.inet_aton(HOST) + b"me\0")
        assert read_exactly(s, 8)[1] == 91


def test_what_no_rule_sends_anywhere_is_not_allowed(run):
    port = free_port()
    hole = {"tag": "hole", "protocol": "blackhole"}
    run("v2c", {"log": LOG, "inbounds": [socks_in("socks", port)], "outbounds": [hole]}, "server")
    with connect(port) as s:
        socks_greet(s)
        assert socks_ask(s, 1, "example.com", 80)[0] == 2


def test_bytes_that_come_before_the_answer_are_not_lost(plain, origins):
    with connect(plain) as s:
        request = b"\x05\x01\x00" + b"\x05\x01\x00\x01" + socket.inet_aton(HOST)
        s.sendall(request + origins.odd.to_bytes(2, "big") + b"echo\n" + b"hello")
        s.shutdown(socket.SHUT_WR)
        assert read_to_end(s).data.endswith(b"hello")


def test_a_server_that_speaks_first_is_heard(plain, origins):
    with connect(plain) as s:
        socks_greet(s)
        assert socks_ask(s, 1, HOST, origins.banner)[0] == 0
        assert len(s.recv(100)) > 0


# ---------------------------------------------------------------------------------------------- UDP


def test_datagrams(plain, origins):
    a = Association(plain)
    for size in (1, 900, 8000):
        a.send(known_bytes(size), HOST, origins.udp)
        assert a.receive(HOST, origins.udp) == known_bytes(size)
    a.send(b"by name", "echo.test", origins.udp)
    assert a.receive("echo.test", origins.udp) == b"by name"
    a.close()


def test_targets_of_one_association_are_told_apart(plain, origins):
    a, others = Association(plain), [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
    for s in others:
        s.bind((HOST, 0))
        s.settimeout(10)
        a.send(b"to %d" % s.getsockname()[1], HOST, s.getsockname()[1])
    for s in reversed(others):
        data, back = s.recvfrom(100)
        s.sendto(b"from " + data[3:], back)
        assert a.receive(HOST, s.getsockname()[1]) == b"from " + data[3:]
        s.close()
    a.close()


def test_fragments_and_rubbish_are_dropped(plain, origins):
    a = Association(plain)
    a.send(b"a fragment", HOST, origins.udp, head=b"\0\0\1")
    for rubbish in (b"", b"\0", b"\0\0\0\x09", b"\0\0\0\x01\x7f"):
        a.socket.sendto(rubbish, a.relay)
    a.send(b"whole", HOST, origins.udp)
    assert a.receive(HOST, origins.udp) == b"whole"
    a.close()


def test_only_the_client_is_heard(plain, origins):
    """The first port that it sends from; and nobody at another address."""
    a = Association(plain)
    a.send(b"mine", HOST, origins.udp)
    assert a.receive(HOST, origins.udp) == b"mine"
    for host in (HOST, "127.0.0.2"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind((host, 0))
            other.settimeout(0.3)
            other.sendto(b"\0\0\0\x01" + socket.inet_aton(HOST) + origins.udp.to_bytes(2, "big") + b"x", a.relay)
            with pytest.raises(TimeoutError):
                other.recv(100)
    a.close()


def test_an_association_dies_with_its_connection(run, origins):
    port = free_port()
    program = run("v2c", server(socks_in("socks", port)), "server")
    before = program.open_files()
    some = [Association(port) for _ in range(20)]
    for a in some:
        a.send(b"x", HOST, origins.udp)
        assert a.receive(HOST, origins.udp) == b"x"
    assert program.open_files() >= before + 3 * len(some)
    for a in some:
        a.close()
    wait_for(lambda: program.open_files() <= before, 10, "all sockets to be closed")


def test_no_datagrams_where_udp_is_off(run):
    port = free_port()
    run("v2c", server(socks_in("socks", port, udp=False)), "server")
    with connect(port) as s:
        socks_greet(s)
        assert socks_ask(s, 3, "0.0.0.0", 0)[0] == 7


def test_the_configured_address_is_told(run):
    port = free_port()
    run("v2c", server(socks_in("socks", port, ip="192.0.2.7")), "server")
    with connect(port) as s:
        socks_greet(s)
        assert socks_ask(s, 3, "0.0.0.0", 0)[1][0] == "192.0.2.7"


# ------------------------------------------------------------------------------------------- pairings


class Ports:
    def __init__(self):
        self.web, self.odd, self.socks = free_ports(3)
        self.udp = free_port(udp=True)


def client(ports, origins, auth):
    doors = [
        dokodemo("web", ports.web, origins.web),
        dokodemo("odd", ports.odd, origins.odd),
        dokodemo("udp", ports.udp, origins.udp, network="udp"),
    ]
    return {"log": LOG, "inbounds": doors, "outbounds": [proxy_out("socks", "proxy", ports.socks, auth)]}


@pytest.mark.workers
@pytest.mark.parametrize("auth", [False, True], ids=["open", "password"])
@pytest.mark.parametrize("kinds", [("v2c", "v2c"), ("v2c", "v2ray"), ("v2ray", "v2c")], ids="-".join)
def test_pairings(run, origins, kinds, auth):
    """(client, server): streams, halves of them, and datagrams."""
    ports = Ports()
    run(kinds[1], server(socks_in("socks", ports.socks, auth, ip=HOST)), "server")
    run(kinds[0], client(ports, origins, auth), "client")
    carries(ports, origins, (900,))


def test_a_wrong_password_is_told_in_the_log(run, origins):
    ports = Ports()
    config = client(ports, origins, True)
    config["outbounds"][0]["settings"]["servers"][0]["users"] = [account(password="wrong")]
    run("v2c", server(socks_in("socks", ports.socks, True)), "server")
    program = run("v2c", config, "client")
    assert visit_end(ports.web) == "rst"
    program.wait_log("end=.*refuses our user or password")


def test_users_of_a_proxy_are_counted_and_ruled(run, origins):
    port, status = free_ports(2)
    config = server(socks_in("socks", port, True), dokodemo("status", status, 80))
    config["outbounds"].append({"tag": "hole", "protocol": "blackhole"})
    config["inbounds"][0]["settings"]["accounts"].append(account("other", "x"))
    config["routing"] = {
        "rules": [rule("status", "status"), {"type": "field", "user": ["other"], "outboundTag": "hole"}]
    }
    config["api"] = {"tag": "status"}
    config["stats"] = {}
    config["policy"] = {"levels": {"0": {"statsUserUplink": True, "statsUserDownlink": True}}}
    run("v2c", config, "server")
    proxy = ["--socks5", f"{HOST}:{port}", f"http://{HOST}:{origins.web}/small.txt", "--proxy-user"]
    assert curl(*proxy, f"{USER}:{PASSWORD}")[0] == b"small\n"
    assert curl(*proxy, "other:x")[1] == 97
    assert f"user>>>{USER}>>>traffic>>>downlink" in http_get(status, "/stats").text


def test_many_at_once(plain, origins):
    def one():
        with connect(plain) as s:
            socks_greet(s)
            assert socks_ask(s, 1, HOST, origins.web)[0] == 0
            s.sendall(b"GET /small.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert read_to_end(s).data.endswith(b"small\n")

    in_parallel([one] * 100)


# ------------------------------------------------------------------------------- what lies behind it


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\nHost: to.there.test\r\n\r\n", b"nothing known"])
def test_where_bytes_are_sniffed_the_answer_comes_first(run, origins, first):
    """The client waits for the answer before it sends what has to be looked at."""
    port = free_port()
    config = server(socks_in("socks", port))
    config["inbounds"][0]["sniffing"] = {"enabled": True, "destOverride": ["http"], "routeOnly": True}
    there = {"tag": "there", "protocol": "freedom", "settings": {"redirect": f"{HOST}:{origins.web}"}}
    config["outbounds"].append(there)
    config["routing"] = {"rules": [{"type": "field", "domain": ["full:to.there.test"], "outboundTag": "there"}]}
    run("v2c", config, "server")
    with connect(port) as s:
        socks_greet(s)
        assert socks_ask(s, 1, HOST, origins.banner)[0] == 0
        s.sendall(first)
        assert (s.recv(4) == b"HTTP") == first.startswith(b"GET")


@pytest.mark.pairings(("v2c", "v2c"), ("v2c", "v2ray"), ("v2ray", "v2c"))
def test_a_remote_exit(own_tunnel, origins, pairing):
    """A proxy at the portal whose clients leave at the bridge."""
    port = free_port()

    def prepare(tunnel):
        tunnel.portal_config["inbounds"].append(socks_in("socks", port, ip=HOST))
        tunnel.portal_config["routing"]["rules"].append(rule("socks", "portal"))

    own_tunnel(pairing, prepare)
    url = f"http://{HOST}:{origins.web}/small.txt"
    assert curl("--socks5-hostname", f"{HOST}:{port}", *[url] * 3) == (b"small\n" * 3, 0)
    a = Association(port)
    for _ in range(3):
        a.send(b"x" * 900, HOST, origins.udp)
    assert a.receive(HOST, origins.udp) == b"x" * 900
    a.close()
    if pairing == ("v2c", "v2c"):  # the bridge's refusal is the client's
        with connect(port) as s:
            socks_greet(s)
            assert socks_ask(s, 1, HOST, free_port())[0] in (1, 5)


def test_proxies_one_behind_the_other(run, origins):
    """proxySettings: a SOCKS client through an HTTP proxy, as behind a company's wall; UDP through SOCKS twice."""
    near, far, wall = free_ports(3)
    run("v2ray", server(socks_in("socks", far, ip=HOST)), "far")
    run("v2ray", server({"tag": "http", "listen": HOST, "port": wall, "protocol": "http", "settings": {}}), "wall")
    first = proxy_out("socks", "first", far)
    first["proxySettings"] = {"tag": "wall"}
    config = {"log": LOG, "inbounds": [socks_in("in", near)], "outbounds": [first, proxy_out("http", "wall", wall)]}
    program = run("v2c", config, "near")
    url = f"http://{HOST}:{origins.web}/small.txt"
    assert curl("--socks5", f"{HOST}:{near}", url) == (b"small\n", 0)
    a = Association(near)
    a.send(b"x", HOST, origins.udp)
    program.wait_log("an http proxy takes no UDP")
    a.close()


def test_reload_changes_the_passwords(run, origins):
    port = free_port()
    config = server(socks_in("socks", port, True))
    program = run("v2c", config, "server")
    url = [f"http://{HOST}:{origins.web}/small.txt", "--socks5", f"{HOST}:{port}", "--proxy-user"]
    open_one = connect(port)
    assert socks_greet(open_one, (USER, PASSWORD)) == 0
    assert socks_ask(open_one, 1, HOST, origins.odd)[0] == 0
    a = Association(port, (USER, PASSWORD))
    config["inbounds"][0]["settings"]["accounts"] = [account(password="new")]
    program.path.write_text(json.dumps(config))
    program.process.send_signal(signal.SIGHUP)
    wait_for(lambda: curl(*url, f"{USER}:new")[1] == 0, 10, "the new password")
    assert curl(*url, f"{USER}:{PASSWORD}")[1] == 97
    open_one.sendall(b"echo\nstill here")
    assert read_exactly(open_one, 10) == b"still here"
    assert read_to_end(a.control).how == "fin"  # it had no targets, and its inbound is gone
    open_one.close()
    a.close()


def associate_from(address, port):
    """The answer's code, and the connection that keeps the association."""
    s = socket.create_connection((HOST, port), 10, (address, 0))
    socks_greet(s)
    return socks_ask(s, 3, "0.0.0.0", 0)[0], s


def test_one_client_does_not_take_all_associations(run):
    port = free_port()
    run("v2c", {**server(socks_in("socks", port, ip=HOST)), "workers": 1}, "server")
    held = [associate_from(HOST, port) for _ in range(512)]
    assert {code for code, _ in held} == {0}
    held.append(associate_from(HOST, port))
    assert held[-1][0] != 0
    held.append(associate_from("127.0.0.2", port))
    assert held[-1][0] == 0
    for _, s in held:
        s.close()
