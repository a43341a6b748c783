"""What a v2c that runs says of itself, through its api and by the commands that ask it; and what it is told."""
import json
import subprocess
import uuid

import pytest

import admin
import rig
from configs import BRIDGE_EMAIL, dokodemo, vmess_out
from rig import (
    connect, first_good, free_port, in_parallel, read_exactly, read_to_end, wait_for,
)

pytestmark = [pytest.mark.quick, pytest.mark.v2c, pytest.mark.workers]
SIZE = 300_000
ORDER = f"sink {SIZE}"
MOVED = SIZE + len(ORDER) + 1  # the order is a line


def counted(config):
    config["stats"] = {}
    config["policy"] = {
        "levels": {"0": {"statsUserUplink": True, "statsUserDownlink": True}},
        "system": {"statsInboundUplink": True, "statsInboundDownlink": True},
    }


@pytest.fixture
def tunnel(own_tunnel):
    """A tunnel whose sides both have an api; `ports` of the portal and of the bridge."""
    ports = []

    def prepare(t):
        counted(t.portal_config)
        ports.append(admin.add_admin(t.portal_config))
        ports.append(admin.add_admin(t.bridge_config))

    t = own_tunnel(("v2c", "v2c"), prepare)
    t.admin, t.bridge_admin = ports
    return t


def command(*words, config=None):
    config = ["-c", str(config)] if config else []
    done = subprocess.run(
        [rig.V2C, *words, *config], capture_output=True, text=True, timeout=30, check=False
    )
    return done


def sink(t):
    with t.ask(ORDER) as s:
        s.sendall(bytes(SIZE))
        read_exactly(s, 64)


def test_both_sides_say_what_they_carry(tunnel):
    t = tunnel
    sink(t)
    wait_for(lambda: len(admin.get(t.admin, "/v1/status")["carriers"]) == 2, 10, "two carriers")
    portal, bridge = admin.get(t.admin, "/v1/status"), admin.get(t.bridge_admin, "/v1/status")
    assert [p["tag"] for p in portal["portals"]] == ["portal"] and portal["bridges"] == []
    assert [b["tag"] for b in bridge["bridges"]] == ["bridge"] and bridge["portals"] == []
    assert portal["portals"][0]["carriers"] == bridge["bridges"][0]["carriers"] == 2
    for carrier in portal["carriers"]:
        assert carrier["state"] == "up" and carrier["user"] == BRIDGE_EMAIL and carrier["v2c"]
        assert carrier["peer"].startswith("127.0.0.1:")
    for carrier in bridge["carriers"]:
        assert carrier["peer"] == f"127.0.0.1:{t.link}" and carrier["kind"] == "bridge"
    assert {c["bridge"] for c in portal["carriers"]} == {c["bridge"] for c in bridge["carriers"]}
    rows = {(r["kind"], r["tag"]): r for r in portal["traffic"]}
    assert rows["portal", "portal"]["up"] >= SIZE and rows["inbound", "origin"]["up"] == MOVED
    rows = {(r["kind"], r["tag"]): r for r in bridge["traffic"]}
    assert rows["bridge", "bridge"]["up"] >= SIZE
    carried = sum(c["down"] for c in portal["carriers"])
    assert SIZE <= carried < SIZE * 1.2 + 20_000
    assert abs(carried - sum(c["down"] for c in bridge["carriers"])) < 20_000


def test_commands_show_it_as_tables(tunnel):
    t = tunnel
    sink(t)
    done = command("status", config=t.portal.path)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["portal", "connected"] == next(x for x in lines if x[:1] == ["portal"])[:2]
    assert any(BRIDGE_EMAIL in line for line in lines)
    done = command("stats", "-pattern", "user>>>", config=t.portal.path)
    assert f"user>>>{BRIDGE_EMAIL}>>>traffic>>>downlink" in done.stdout
    assert "inbound" not in done.stdout
    done = command("flows", "--json", config=t.portal.path)
    assert json.loads(done.stdout)["total"] >= 2
    assert command("status", "-server", f"127.0.0.1:{t.admin}").returncode == 0
    done = command("flows", "-server", f"127.0.0.1:{t.admin}")
    assert done.returncode == 1 and "give -token-file FILE" in done.stderr


def test_commands_say_clearly_why_there_is_nothing_to_show(tunnel, tmp_path):
    nobody = free_port()
    done = command("status", "-server", f"127.0.0.1:{nobody}")
    assert done.returncode == 1 and "no answer" in done.stderr and done.stdout == ""
    done = command("status", "-server", f"127.0.0.1:{tunnel.web}")
    assert done.returncode == 1 and "no v2c" in done.stderr
    plain = tmp_path / "plain.json"
    plain.write_text('{"outbounds": [{"protocol": "freedom"}]}')
    done = command("status", config=plain)
    assert done.returncode == 23 and '"listen"' in done.stderr
    assert command("status", "-server", "nowhere").returncode == 2
    assert command("status", "extra").returncode == 2
    assert command("user", config=plain).returncode == 2


def test_stats_are_reset_and_nothing_is_lost(tunnel):
    t = tunnel
    name = "inbound>>>origin>>>traffic>>>uplink"
    sink(t)
    first = admin.post(t.admin, "/v1/stats/reset", {"pattern": "inbound>>>origin"})["stat"]
    assert {s["name"]: s["value"] for s in first}[name] == MOVED
    assert rig.counters(t.portal_status)[name] == 0
    metric = f'v2c_traffic_bytes_total{{kind="inbound",tag="origin",direction="uplink"}} {MOVED}'
    assert metric in rig.http_get(t.portal_status, "/metrics").text
    assert admin.get(t.admin, "/v1/stats?pattern=inbound%3E%3E%3Ecount") == {"stat": []}
    sink(t)
    done = command("stats", "-pattern", name, "-reset", config=t.portal.path)
    assert done.stdout.split() == ["VALUE", "NAME", str(MOVED), name]
    assert admin.get(t.admin, f"/v1/stats?pattern={name}")["stat"][0]["value"] == 0


def test_a_flow_and_a_carrier_can_be_ended(tunnel):
    t = tunnel
    with t.ask("silent") as s:
        flows = wait_for(
            lambda: admin.get(t.admin, "/v1/flows?inbound=origin")["flows"], 5, "the visitor"
        )
        assert len(flows) == 1 and flows[0]["outbound"] == "portal"
        assert flows[0]["source"] == "%s:%d" % s.getsockname()
        done = command("end", flows[0]["id"], config=t.portal.path)
        assert done.returncode == 0, done.stderr
        assert read_to_end(s, 5).how == "rst"
    wait_for(lambda: not admin.get(t.admin, "/v1/flows?inbound=origin")["total"], 5, "no visitor")
    before = {c["id"] for c in admin.get(t.admin, "/v1/status")["carriers"]}
    for name in before:
        admin.post(t.admin, f"/v1/flows/{name}/end", {})

    def replaced():
        now = {c["id"] for c in admin.get(t.admin, "/v1/status")["carriers"]}
        return len(now) == 2 and not now & before

    wait_for(replaced, 10, "other carriers")
    first_good(t.web)
    assert admin.call(t.admin, "POST", "/v1/flows/0-1/end", {})[0] == 404
    for bad in ("x", "0", "99-1", "0-99999999999", "-1", "0-", "%00"):
        assert admin.call(t.admin, "POST", f"/v1/flows/{bad}/end", {})[0] in (400, 404)


def test_users_come_and_go(tunnel, run, origins):
    """On all workers at once: a client of the portal's vmess inbound, whose requests go out."""
    t = tunnel
    secret, entry = str(uuid.uuid4()), free_port()
    client = {
        "log": {"loglevel": "info"},
        "inbounds": [dokodemo("door", entry, origins.web)],
        "outbounds": [vmess_out("up", t.link, secret)],
    }
    run("v2c", client, "client")

    def served(seconds=10):
        with connect(entry) as s:
            s.sendall(rig.http_request("/small.txt"))
            return read_to_end(s, seconds).data.startswith(b"HTTP/1.1 200 ")

    def refused():
        """The portal swallows what strangers send, and says nothing: they could wait for long."""
        return not any(in_parallel([lambda: served(1)] * 8))

    users = "/v1/inbounds/interconn/users"
    assert refused()
    user = {"id": secret, "email": "new@tunnel.test", "alterId": 0}
    assert admin.post(t.admin, users, user) == {"added": "new@tunnel.test"}
    assert admin.call(t.admin, "POST", users, user)[0] == 409
    assert admin.call(t.admin, "POST", users, {**user, "email": "other@x"})[0] == 409
    status, answer = admin.call(t.admin, "POST", users, {"id": secret[:-1], "email": "o", "level": -1})
    assert status == 422 and "/id" in answer["error"] and "/level" in answer["error"]
    assert secret[:8] not in answer["error"]
    for _ in range(8):  # the kernel deals them out over the workers
        assert served()
    emails = [u["email"] for u in admin.get(t.admin, users)["users"]]
    assert emails == [BRIDGE_EMAIL, "new@tunnel.test"]
    stats = admin.get(t.admin, "/v1/stats?pattern=new@tunnel.test")["stat"]
    assert len(stats) == 2 and all(s["value"] > 0 for s in stats)
    t.portal.process.send_signal(1)
    t.portal.wait_log("reload: done")
    assert served()
    done = command("user", "remove", "-inbound", "interconn", "-email", "NEW@tunnel.test", "-end",
                   config=t.portal.path)
    assert done.returncode == 0, done.stderr
    assert refused()
    first_good(t.web)
    assert admin.call(t.admin, "DELETE", f"{users}/new@tunnel.test")[0] == 404
    assert admin.call(t.admin, "DELETE", "/v1/inbounds/web/users/x")[0] == 409
    assert admin.call(t.admin, "DELETE", "/v1/inbounds/absent/users/x")[0] == 404


def test_a_bridge_that_is_removed_loses_its_carriers(tunnel):
    t = tunnel
    path = f"/v1/inbounds/interconn/users/{BRIDGE_EMAIL}?end=true"
    assert admin.call(t.admin, "DELETE", path) == (200, {"removed": BRIDGE_EMAIL})
    wait_for(lambda: not admin.get(t.admin, "/v1/status")["carriers"], 5, "no carrier")
    user = {"id": t.user_id, "email": BRIDGE_EMAIL}
    admin.post(t.admin, "/v1/inbounds/interconn/users", user)
    first_good(t.web, seconds=20)


def test_the_log_level_can_be_changed(tunnel):
    t = tunnel
    assert admin.get(t.admin, "/v1/log") == {"level": "info"}
    assert command("log", "debug", config=t.portal.path).stdout == "level: debug\n"
    first_good(t.web)
    t.portal.wait_log(r"\[Debug\]")
    assert admin.call(t.admin, "POST", "/v1/log", {"level": "loud"})[0] == 422


def test_a_unix_socket_is_its_owners(run, tmp_path):
    path = tmp_path / "api"
    config = {"log": {"loglevel": "info"}, "outbounds": [{"protocol": "freedom"}]}
    admin.add_admin(config, path)
    del config["api"]["token"]
    program = run("v2c", config)
    wait_for(path.exists, 10, "the socket")
    assert path.stat().st_mode & 0o777 == 0o600
    change = admin.request("POST", "/v1/log", admin.JSON, {"level": "debug"}, host="localhost")
    assert admin.unix_send(path, change).status == 200
    assert command("log", config=program.path).stdout == "level: debug\n"
    assert command("log", "-server", f"unix:{path}").stdout == "level: debug\n"
    plain = admin.request("POST", "/v1/log", {}, {"level": "info"}, host="localhost")
    assert admin.unix_send(path, plain).status == 415
    program.stop()
    program.process = None
    assert not path.exists()
