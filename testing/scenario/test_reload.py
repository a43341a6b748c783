"""SIGHUP: the new configuration is taken whole or not at all, and what says the same goes on untouched."""
import copy
import json
import re
import signal
import socket
import threading
import time
import uuid

import pytest

import peer
import rig
from configs import add_status, dokodemo, rule, vmess_in
from origins import known_bytes
from proxies import socks_ask, socks_in
from rig import (
    HOST, connect, counters, free_port, free_ports, http_get, listening, read_exactly, wait_for,
)

pytestmark = [pytest.mark.v2c, pytest.mark.quick]

DONE = r"reload: done, (\d+) kept, (\d+) begun, (\d+) ended"
SAME = r"reload: nothing is changed"


def door(origins, workers=1):
    """One door to the odd origin, one to the web, and a status page; by their ports."""
    odd, web, status = free_ports(3)
    config = {
        "log": {"loglevel": "info"},
        "workers": workers,
        "drain": 2,
        "inbounds": [dokodemo("odd", odd, origins.odd), dokodemo("web", web, origins.web)],
        "outbounds": [{"tag": "out", "protocol": "freedom"}],
        "routing": {"rules": []},
    }
    add_status(config, status)
    return config, odd, web, status


def reload_to(program, config, wanted=DONE):
    """Writes the file, sends the signal, waits for the one line that says how it went."""
    text = config if isinstance(config, str) else json.dumps(config, indent=1)
    program.path.write_text(text)

    def outcomes():
        return re.findall(r"reload: (?:done|nothing).*", program.log())

    before = len(outcomes())
    program.process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(outcomes()) > before, 10 * rig.SLOWER, "the reload")
    found = re.match(wanted, outcomes()[-1])
    assert found, outcomes()[-1]
    return found.groups()


class Talk:
    """A stream to the odd origin that echoes, whenever it is asked."""

    def __init__(self, port):
        self.s = connect(port)
        self.s.sendall(b"echo\n")
        self.count = 0

    def again(self):
        self.count += 1
        word = f"word {self.count};".encode()
        self.s.sendall(word)
        assert read_exactly(self.s, len(word)) == word

    def __enter__(self):
        self.again()
        return self

    def __exit__(self, *_):
        self.s.close()


class Load:
    """Visitors who ask without a pause until the end of the block. None may fail."""

    def __init__(self, port, count=4, path="/small.txt"):
        self.port, self.path = port, path
        self.ending = threading.Event()
        self.good, self.bad = 0, []
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]

    def _run(self):
        while not self.ending.is_set():
            try:
                assert http_get(self.port, self.path).status == 200
                self.good += 1
            except (OSError, EOFError, AssertionError) as error:
                self.bad.append(repr(error))

    def moves(self, more=20):
        now = self.good
        wait_for(lambda: self.good >= now + more or self.bad, 20 * rig.SLOWER, "visitors")

    def __enter__(self):
        for t in self.threads:
            t.start()
        self.moves()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for t in self.threads:
            t.join(20)
        assert not self.bad, (self.good, self.bad[:5])


@pytest.mark.parametrize("workers", [1, 3])
def test_a_wrong_configuration_changes_nothing(run, origins, workers):
    config, odd, web, _ = door(origins, workers)
    program = run("v2c", config)
    wrong = copy.deepcopy(config)
    wrong["inbounds"][0]["port"] = free_port()
    wrong["inbounds"][1]["port"] = "none"
    wrong["drain"] = -1
    with Talk(odd) as talk:
        for text in (wrong, "{ this is no json", ""):
            reload_to(program, text, SAME)
            talk.again()
            assert http_get(web, "/small.txt").status == 200
        assert not listening(wrong["inbounds"][0]["port"])
        assert re.search(r"\[Error\] reload: .*:\d+:\d+: /inbounds/1/port: error: ", program.log())
        assert re.search(r"\[Error\] reload: .*/drain: error: ", program.log())
        program.path.unlink()
        before = program.log().count("nothing is changed")
        program.process.send_signal(signal.SIGHUP)
        wait_for(lambda: program.log().count("nothing is changed") > before, 10, "the reload")
        talk.again()


@pytest.mark.parametrize("workers", [1, 3])
def test_an_inbound_is_added(run, origins, workers):
    config, odd, web, _ = door(origins, workers)
    program = run("v2c", config)
    port = free_port()
    with Talk(odd) as talk:
        config["inbounds"].append(dokodemo("more", port, origins.odd))
        assert reload_to(program, config) == ("5", "1", "0")
        talk.again()
        with Talk(port):
            talk.again()
    assert http_get(web, "/small.txt").status == 200


@pytest.mark.parametrize("workers", [1, 3])
def test_an_inbound_is_removed_and_its_flows_have_their_time(run, origins, workers):
    config, odd, web, _ = door(origins, workers)
    program = run("v2c", config)
    with Talk(odd) as talk:
        del config["inbounds"][0]
        assert reload_to(program, config) == ("4", "0", "1")
        assert not listening(odd)
        talk.again()
        assert rig.read_to_end(talk.s, 10 * rig.SLOWER).how == "rst"  # after "drain" seconds
    program.wait_log(r'"odd" is no longer in the configuration')
    assert http_get(web, "/small.txt").status == 200


@pytest.mark.parametrize("workers", [1, 3])
def test_an_inbound_that_comes_back_keeps_its_flows(run, origins, workers):
    config, odd, *_ = door(origins, workers)
    config["drain"] = 1
    program = run("v2c", config)
    with Talk(odd) as talk:
        reload_to(program, {**config, "inbounds": config["inbounds"][1:]})
        reload_to(program, config)
        with Talk(odd) as fresh:
            end = time.monotonic() + 2
            while time.monotonic() < end:  # longer than "drain"
                talk.again()
                fresh.again()


def test_who_greets_an_inbound_that_comes_back_is_served(run, origins):
    """While it was gone the rules could not know it: that holds no longer."""
    config, *_ = door(origins)
    port = free_port()
    with_socks = {**config, "drain": 30, "inbounds": [*config["inbounds"], socks_in("socks", port)]}
    program = run("v2c", with_socks)
    with connect(port) as s:
        s.sendall(b"\5")
        reload_to(program, {**config, "drain": 30})
        reload_to(program, with_socks)
        s.sendall(b"\1\0")
        assert read_exactly(s, 2) == b"\5\0"
        assert socks_ask(s, 1, HOST, origins.web)[0] == 0


@pytest.mark.parametrize("workers", [1, 3])
def test_a_changed_inbound_refuses_nobody(run, origins, workers):
    """The same port, another target: the socket is handed over, and who was there stays."""
    config, odd, web, _ = door(origins, workers)
    program = run("v2c", config)
    with Talk(odd) as talk, Load(web) as load:
        for i in range(6):
            config["inbounds"][1]["settings"]["userLevel"] = i + 1
            assert reload_to(program, config) == ("4", "1", "1")
            load.moves()
            talk.again()
        config["inbounds"][0]["settings"]["port"] = origins.web
        reload_to(program, config)
        talk.again()
        assert http_get(odd, "/small.txt").status == 200


def udp_ask(s, port, word):
    s.settimeout(5 * rig.SLOWER)
    s.sendto(word, (HOST, port))
    return s.recv(100)


@pytest.mark.parametrize("workers", [1, 3])
def test_datagrams_keep_their_socket(run, origins, workers):
    config, odd, *_ = door(origins, workers)
    port = free_port(udp=True)
    config["inbounds"].append(dokodemo("udp", port, origins.udp, network="udp"))
    program = run("v2c", config)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        assert udp_ask(s, port, b"one") == b"one"
        config["inbounds"][0]["settings"]["userLevel"] = 7  # somebody else changes
        reload_to(program, config)
        assert udp_ask(s, port, b"two") == b"two"
        config["inbounds"][-1]["settings"]["userLevel"] = 7
        reload_to(program, config)
        assert udp_ask(s, port, b"three") == b"three"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as fresh:
            assert udp_ask(fresh, port, b"four") == b"four"


def test_new_rules_are_for_new_flows(run, origins):
    config, odd, web, _ = door(origins)
    config["outbounds"].append({"tag": "hole", "protocol": "blackhole"})
    program = run("v2c", config)
    with Talk(odd) as talk:
        config["routing"]["rules"].append(rule("odd", "hole"))
        assert reload_to(program, config)[1:] == ("0", "0")
        talk.again()
        with connect(odd) as s:
            assert rig.read_to_end(s).data == b""
        config["routing"]["rules"].pop()
        reload_to(program, config)
        talk.again()
        with Talk(odd):
            pass


@pytest.mark.parametrize("workers", [1, 3])
def test_a_port_in_use_changes_nothing(run, origins, workers):
    config, odd, web, _ = door(origins, workers)
    program = run("v2c", config)
    files = program.open_files()
    free, taken = free_ports(2)
    with Talk(odd) as talk, socket.create_server((HOST, taken)):
        config["inbounds"] += [dokodemo("a", free, origins.odd), dokodemo("b", taken, origins.odd)]
        reload_to(program, config, SAME)
        assert re.search(rf'nothing is changed: inbound /inbounds/4 "b": .*:{taken}', program.log())
        assert not listening(free)
        talk.again()
        wait_for(lambda: program.open_files() <= files + 2, 10, "the descriptors")
    reload_to(program, config)
    assert listening(free) and listening(taken)


def test_a_log_file_that_cannot_be_opened_changes_nothing(run, origins, tmp_path):
    config, odd, *_ = door(origins)
    program = run("v2c", config)
    port = free_port()
    config["inbounds"].append(dokodemo("more", port, origins.odd))
    config["log"]["access"] = str(tmp_path / "nowhere" / "access.log")
    reload_to(program, config, SAME)
    assert not listening(port)
    config["log"]["access"] = str(tmp_path / "access.log")
    reload_to(program, config)
    with Talk(port):
        wait_for(lambda: (tmp_path / "access.log").read_text(), 10, "a line of the access log")


def test_what_needs_a_restart_is_said(run, origins):
    config, *_ = door(origins)
    program = run("v2c", config)
    config["workers"], config["memory"] = 2, 77
    reload_to(program, config)
    assert re.search(r'"workers" changes at the next start', program.log())
    assert re.search(r'"memory" changes at the next start', program.log())


def test_users_come_and_go_on_the_same_port(run, origins):
    """Who is there stays; who is not in the list any more does not come in again."""
    ids = [str(uuid.uuid4()) for _ in range(3)]
    port = free_port()
    config = {
        "log": {"loglevel": "info"},
        "inbounds": [vmess_in("in", port, [(ids[0], "a@test"), (ids[1], "b@test")])],
        "outbounds": [{"tag": "out", "protocol": "freedom"}],
    }
    program = run("v2c", config)

    def client(user):
        return peer.Client(port, user, peer.Request(peer.TCP, HOST, origins.odd))

    with client(ids[0]).start(b"echo\nhello") as old, connect(port) as silent:
        assert old.read(5) == b"hello"
        config["inbounds"] = [vmess_in("in", port, [(ids[1], "b@test"), (ids[2], "c@test")])]
        reload_to(program, config)
        old.send(b"again")
        assert old.read(5) == b"again"
        for user in ids[1:]:
            with client(user).start(b"echo\nhello") as c:
                assert c.read(5) == b"hello"
        with client(ids[0]).start(b"echo\nhello") as c:
            with pytest.raises((OSError, EOFError)):
                c.s.shutdown(socket.SHUT_WR)
                assert c.read(5)
        silent.close()


def carriers(tunnel):
    return counters(tunnel.portal_status).get("portal>>>portal>>>carriers", 0)


@pytest.mark.pairings(("v2c", "v2c"), ("v2c", "v2ray"), ("v2ray", "v2c"))
def test_carriers_stay(own_tunnel, pairing):
    """What is reloaded is something else: not one link is made anew, and a download goes on."""
    tunnel = own_tunnel(pairing, via=rig.Relay)
    program, config = (
        (tunnel.portal, tunnel.portal_config)
        if pairing[0] == "v2c"
        else (tunnel.bridge, tunnel.bridge_config)
    )
    if pairing[1] == "v2c":
        wait_for(lambda: tunnel.relay.count == 2, 10 * rig.SLOWER, "both links")
    links = tunnel.relay.count
    with Talk(tunnel.origin) as talk:
        for i in range(3):
            port = free_port()
            config["inbounds"] = config.get("inbounds", []) + [dokodemo(f"x{i}", port, 1)]
            config["routing"]["rules"].append(rule(f"x{i}", "out" if program is tunnel.bridge else "portal"))
            reload_to(program, config)
            talk.again()
            assert http_get(tunnel.web, "/small.txt").status == 200
    assert tunnel.relay.count == links


def test_both_ends_reload_under_load(own_tunnel):
    tunnel = own_tunnel(("v2c", "v2c"))
    with Talk(tunnel.origin) as talk, Load(tunnel.web) as load:
        for i in range(5):
            for program, config in (
                (tunnel.portal, tunnel.portal_config), (tunnel.bridge, tunnel.bridge_config)
            ):
                config["policy"] = {"levels": {"0": {"handshake": 5 + i}}}
                reload_to(program, config)
            load.moves()
            talk.again()


def test_a_portal_is_removed_and_comes_back(own_tunnel):
    tunnel = own_tunnel(("v2c", "v2c"))
    without = copy.deepcopy(tunnel.portal_config)
    without["drain"] = tunnel.portal_config["drain"] = 1
    del without["reverse"]
    rules = without["routing"]["rules"]
    without["routing"]["rules"] = [r for r in rules if r["outboundTag"] != "portal"]
    without["outbounds"] = [{"tag": "hole", "protocol": "blackhole"}]
    with Talk(tunnel.origin) as talk:
        reload_to(tunnel.portal, without)
        talk.again()
        assert rig.read_to_end(talk.s, 10 * rig.SLOWER).how != "open"
    reload_to(tunnel.portal, tunnel.portal_config)
    rig.first_good(tunnel.web, seconds=20)


def test_a_changed_bridge_begins_anew_and_loses_nobody(own_tunnel):
    tunnel = own_tunnel(("v2c", "v2c"))
    with Talk(tunnel.origin) as talk, Load(tunnel.web) as load:
        tunnel.bridge_config["reverse"]["bridges"][0]["connections"] = 3
        reload_to(tunnel.bridge, tunnel.bridge_config)
        wait_for(lambda: carriers(tunnel) >= 3, 20, "the new links")
        load.moves()
        talk.again()


@pytest.mark.pairings(("v2c", "v2c"), ("v2ray", "v2c"))
def test_a_bridge_that_is_removed_ends_in_order(own_tunnel, pairing):
    """Megabytes of an answer are on the link when its visitor has ended, for the bridge."""

    def slow():
        def edit(direction, data):
            if direction == "up":
                time.sleep(len(data) / (2 << 20))
            return data

        return edit

    tunnel = own_tunnel(pairing, via=lambda port: rig.Relay(port, edit=slow))
    without = copy.deepcopy(tunnel.bridge_config)
    del without["reverse"]
    without["routing"]["rules"] = without["routing"]["rules"][:1]  # the status page
    with tunnel.ask("bytes %d" % (3 << 20)) as s:
        if tunnel.both_new():
            s.shutdown(socket.SHUT_WR)
        first = read_exactly(s, 1000)
        reload_to(tunnel.bridge, without)
        rest = rig.read_to_end(s, 30)
        assert rest.how == "fin" and first + rest.data == known_bytes(3 << 20)


def rename(config, tag, to):
    for one in config["inbounds"] + config.get("outbounds", []):
        one["tag"] = to if one["tag"] == tag else one["tag"]
    for r in config["routing"]["rules"]:
        r["inboundTag"] = [to if t == tag else t for t in r["inboundTag"]]
        r["outboundTag"] = to if r["outboundTag"] == tag else r["outboundTag"]


@pytest.mark.pairings(("v2c", "v2c"), ("v2c", "v2ray"), ("v2ray", "v2c"))
def test_the_way_of_the_links_changes_and_loses_nobody(own_tunnel, pairing):
    """The links' inbound or outbound has another tag: they are replaced, with time for who is on them."""
    tunnel = own_tunnel(pairing)
    ends = [(tunnel.portal, tunnel.portal_config), (tunnel.bridge, tunnel.bridge_config)]
    for program, config in ends:
        if program.kind != "v2c":
            continue
        with Talk(tunnel.origin) as talk:
            rename(config, "interconn", "renamed")
            reload_to(program, config)
            end = time.monotonic() + 1
            while time.monotonic() < end:  # far less than "drain"
                talk.again()
                assert http_get(tunnel.web, "/small.txt").status == 200


@pytest.mark.parametrize("workers", [1, 3])
def test_many_reloads_leave_nothing_behind(run, origins, workers):
    config, odd, web, status = door(origins, workers)
    program = run("v2c", config)
    ports = free_ports(2)

    def turn(i):
        config["inbounds"][0]["settings"]["userLevel"] = i % 3
        more = [dokodemo("more", ports[i % 2], origins.web)] if i % 4 else []
        rules = [rule("odd", "out")] * (i % 5)
        reload_to(program, {
            **config,
            "inbounds": config["inbounds"] + more,
            "routing": {"rules": config["routing"]["rules"] + rules},
        })

    with Talk(odd) as talk:
        with Load(web) as load:
            for i in range(6):
                turn(i)
            load.moves()
        files, memory = program.open_files(), program.rss()
        with Load(web) as load:
            for i in range(20):
                turn(i + 6)
                load.moves(2)
            talk.again()
        reload_to(program, config)
        wait_for(lambda: program.open_files() <= files + 1, 10 * rig.SLOWER, "the descriptors")
        if not rig.SANITIZED:
            assert program.rss() - memory < 2 << 20
    assert counters(status)["flows_failed"] == 0
