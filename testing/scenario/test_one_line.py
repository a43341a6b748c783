"""`v2c portal` and `v2c bridge` without a configuration, and `v2c init`."""
import os
import re
import signal

import pytest

import rig
from certs import Cert
from lines import Line, v2c
from proxies import curl
from rig import HOST, free_ports, wait_for

pytestmark = [pytest.mark.v2c, pytest.mark.quick]


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "key"
    assert v2c("portal", "--new-key", path)[0] == 0
    assert path.stat().st_mode & 0o777 == 0o600
    return path


def end(program):
    program.stop()
    program.process = None


def ask(port, host, path="/small.txt"):
    """Status and body."""
    out, code = curl("-H", f"Host: {host}", "-w", "\n%{http_code}", f"http://{HOST}:{port}{path}")
    assert code == 0
    body, status = out.rsplit(b"\n", 1)
    return int(status), body


def ask_until(port, host, status=200):
    wait_for(lambda: ask(port, host)[0] == status, 10 * rig.SLOWER, f"{status} of {host}")


def test_the_readme_in_three_lines(line, key, origins):
    """A hostname that the portal gave, and a route of the portal's."""
    links, visitors = free_ports(2)
    line("portal", "--listen", f"{HOST}:{links}", "--entry", f"{HOST}:{visitors}", "--key", key,
         "--route", ".example.com=web", name="portal", ports=[links, visitors])
    bridge = line("bridge", "--to", f"{HOST}:{links}", "--tunnel", "web", "--key", key,
                  f"{HOST}:{origins.web}", name="bridge")
    given = bridge.wait_log(r"reachable at http://([0-9a-f]{16}\.tunnel\.example)").group(1)
    for host in (given, "example.com", "sub.example.com"):
        assert ask(visitors, host) == (200, b"small\n")
    assert ask(visitors, "example.org")[0] == 404
    end(bridge)
    again = line("bridge", "--to", f"{HOST}:{links}", "--tunnel", "web", "--key", key,
                 "--host", "www.example.org", f"{HOST}:{origins.web}", name="again")
    again.wait_log("not reachable at www.example.org")
    ask_until(visitors, "example.com")


def test_several_servers_behind_one_bridge(line, key, origins, tmp_path):
    links, visitors, other = free_ports(3)
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "small.txt").write_text("file\n")
    line("portal", "--listen", f"{HOST}:{links}", "--entry", f"{HOST}:{visitors}", "--key", key,
         "--domain", "sites.test", "--route", "*=web", name="portal", ports=[links, visitors])
    bridge = line("bridge", "--to", f"{HOST}:{links}", "--tunnel", "web", "--key", key,
         f"example.com={HOST}:{origins.web}", f"files.example.com=file:{tmp_path}/www",
         f"{HOST}:{other}", name="bridge")
    ask_until(visitors, "example.com")
    assert ask(visitors, "files.example.com") == (200, b"file\n")
    given = bridge.wait_log(r"reachable at http://([0-9a-f]{16}\.sites\.test)").group(1)
    assert ask(visitors, given)[0] == ask(visitors, "example.org")[0] == 502


def test_bridges_of_one_tunnel_take_turns(line, key, tmp_path):
    links, visitors = free_ports(2)
    line("portal", "--listen", f"{HOST}:{links}", "--entry", f"{HOST}:{visitors}", "--key", key,
         "--route", "*=web", name="portal", ports=[links, visitors])
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "small.txt").write_text(name)
        line("bridge", "--to", f"{HOST}:{links}", "--tunnel", "web", "--key", key, f"file:{tmp_path}/{name}",
             name=name).wait_log("reachable at")
    answers = [ask(visitors, "example.com")[1] for _ in range(9)]
    assert sorted(answers) == [b"one"] * 3 + [b"three"] * 3 + [b"two"] * 3


@pytest.mark.parametrize("scheme", ["ws", "wss", "tls"])
def test_other_ways_to_the_portal(line, key, origins, tmp_path, scheme):
    """The certificate is verified: a bridge that pins another one, or trusts the system only, is not let fool."""
    links, visitors = free_ports(2)
    path = "/tunnel" if scheme != "tls" else ""
    cert = []
    if scheme != "ws":
        made = Cert([HOST])
        files = made.files(str(tmp_path), "portal")
        cert = ["--cert", files["certificateFile"], "--cert-key", files["keyFile"]]
    portal = line("portal", "--listen", f"{scheme}://{HOST}:{links}{path}", *cert, "--entry", f"{HOST}:{visitors}",
         "--key", key, "--route", "*=web", name="portal", ports=[links, visitors])
    to = ["--to", f"{scheme}://{HOST}:{links}{path}", "--tunnel", "web", "--key", key]
    if cert:
        bad = line("bridge", *to, f"{HOST}:{origins.web}", name="bad")
        bad.wait_log("(?i)certificate")
        assert "bridge" not in portal.log()
        end(bad)
        to += ["--pin", v2c("tls", "hash", files["certificateFile"])[1].strip()]
    line("bridge", *to, f"{HOST}:{origins.web}", name="bridge").wait_log("connected to its portal")
    assert ask(visitors, "example.com") == (200, b"small\n")


def test_users_have_their_own_tunnels(line, key, origins, tmp_path):
    """A key says what its bridge may be; who is added is let in after SIGHUP."""
    links, visitors = free_ports(2)
    portal = line("portal", "--listen", f"{HOST}:{links}", "--entry", f"{HOST}:{visitors}", "--key", key,
                  "--route", "a.example=alices", "--route", "b.example=bobs", name="portal",
                  ports=[links, visitors])
    for name in ("alice", "bob"):
        assert v2c("portal", "--new-key", key, "--user", name, "--tunnel", f"{name}s")[0] == 0
    own = tmp_path / "own"
    own.write_text(key.read_text().splitlines()[1] + "\n")
    own.chmod(0o600)
    portal.process.send_signal(signal.SIGHUP)
    line("bridge", "--to", f"{HOST}:{links}", "--tunnel", "alices", "--key", own, f"{HOST}:{origins.web}",
         name="alice").wait_log("connected to its portal")
    assert ask(visitors, "a.example") == (200, b"small\n")
    thief = line("bridge", "--to", f"{HOST}:{links}", "--tunnel", "bobs", "--key", own, f"{HOST}:{origins.web}",
                 name="thief")
    thief.wait_log("the portal refuses it: no claim of its user covers the tunnel")
    assert ask(visitors, "a.example") == (200, b"small\n")


def test_init_writes_what_runs(run, origins, tmp_path):
    links, visitors = free_ports(2)
    code, said = v2c("init", "--dir", tmp_path / "pair", "--to", f"{HOST}:{links}", "--entry", f":{visitors}",
                     f"{HOST}:{origins.web}")
    assert code == 0, said
    for name in ("portal", "bridge"):
        path = tmp_path / "pair" / f"{name}.json"
        assert path.stat().st_mode & 0o777 == 0o600
        assert v2c("test", "-strict", "-c", path) == (0, "Configuration OK.\n")
        text = path.read_text()
        assert all("//" in part for part in re.findall(r"\{[^{}]*\n[^{}]*\n[^{}]*\n[^{}]*\}", text)), text
        run("v2c", text, name)
    ask_until(visitors, "example.com")
    assert v2c("init", "--dir", tmp_path / "pair")[0] == 2


def test_a_key_that_others_may_read_is_refused(key):
    os.chmod(key, 0o640)
    code, said = v2c("portal", "--listen", ":1", "--entry", ":2", "--key", key)
    assert code == 23 and "chmod 600" in said


def test_nothing_secret_is_in_the_process_list(line, key, origins):
    links, visitors = free_ports(2)
    portal = line("portal", "--listen", f"{HOST}:{links}", "--entry", f"{HOST}:{visitors}", "--key", key,
                  name="portal", ports=[links, visitors])
    shown = open(f"/proc/{portal.process.pid}/cmdline", encoding="ascii").read()
    user = key.read_text().split()[0]
    assert user not in shown and user not in portal.log()
    code, said = v2c("portal", "--listen", ":1", "--entry", ":2", "--key", key, "--show")
    assert code == 0 and user in said
