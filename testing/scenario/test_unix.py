"""Unix sockets: V2Ray's domainsocket on either side, inbounds that listen on one, and what becomes of the file."""
import json
import signal
import socket
import stat
import subprocess
import uuid

import pytest

from configs import LOG
from rig import V2C, read_exactly, read_to_end, wait_for
from test_ws import all_is_well, carried_by

pytestmark = [pytest.mark.v2c, pytest.mark.quick]
MIXED = [("v2c", "v2c"), ("v2c", "v2ray"), ("v2ray", "v2c")]


def domain_socket(tmp_path, form):
    name = f"v2c-test-{uuid.uuid4()}"
    if form == "file":
        return {"path": str(tmp_path / "link.sock")}
    return {"path": name, "abstract": True, "padding": form == "padded"}


@pytest.mark.pairings(*MIXED)
@pytest.mark.parametrize("form", ["file", "abstract", "padded"])
def test_domainsocket(own_tunnel, origins, tmp_path, pairing, form):
    stream = {"network": "domainsocket", "dsSettings": domain_socket(tmp_path, form)}

    all_is_well(own_tunnel(pairing, carried_by(stream)), origins)


@pytest.mark.workers
@pytest.mark.pairings(("v2c", "v2c"), ("v2c", "v2ray"))
@pytest.mark.parametrize("workers", [1, 3])
def test_an_inbound_that_listens_on_a_file(own_tunnel, origins, tmp_path, pairing, workers):
    path = str(tmp_path / "link.sock")

    def prepare(t):
        link = next(i for i in t.portal_config["inbounds"] if i["tag"] == "interconn")
        link["listen"] = path
        del link["port"]
        t.portal_config["workers"] = workers
        dial = next(o for o in t.bridge_config["outbounds"] if o["tag"] == "interconn")
        dial["streamSettings"] = {"network": "domainsocket", "dsSettings": {"path": path}}

    all_is_well(own_tunnel(pairing, prepare), origins)


# ------------------------------------------------------------------------------------------------- the file


def door(listen, origins, **more):
    settings = {"address": "127.0.0.1", "port": origins.odd}
    inbound = {"tag": "door", "listen": listen, "protocol": "dokodemo-door", "settings": settings, **more}
    return {"log": LOG, "inbounds": [inbound], "outbounds": [{"protocol": "freedom"}]}


def ask(path):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(str(path))
        s.sendall(b"late hello\n")
        return read_to_end(s).data


def up(run, path, *args, **more):
    program = run("v2c", door(*args, **more))
    wait_for(lambda: can_connect(path), 10, "the socket")
    return program


def test_the_mode_of_the_file_is_as_asked_and_it_goes_with_its_inbound(run, origins, tmp_path):
    path = tmp_path / "door.sock"
    program = up(run, path, f"{path},0606", origins)
    assert stat.S_IMODE(path.stat().st_mode) == 0o606
    assert ask(path) == b"hello"
    program.process.send_signal(signal.SIGTERM)
    assert program.process.wait(10) == 0
    program.process = None
    assert not path.exists()


def test_a_file_that_was_left_is_replaced_and_one_in_use_is_not(run, origins, tmp_path):
    path = tmp_path / "door.sock"
    first = up(run, path, str(path), origins)
    config = tmp_path / "second.json"
    config.write_text(first.path.read_text())
    config.chmod(0o600)
    second = subprocess.run([V2C, "run", "-c", config], capture_output=True, text=True, timeout=10)
    assert second.returncode == 255
    assert f"listen on {path}: Address already in use" in second.stdout + second.stderr
    assert ask(path) == b"hello"
    first.kill()
    assert path.exists()
    up(run, path, str(path), origins)
    assert ask(path) == b"hello"


def can_connect(path):
    with socket.socket(socket.AF_UNIX) as s:
        return s.connect_ex(str(path)) == 0


def test_a_file_that_is_no_socket_is_left_alone(origins, tmp_path):
    path = tmp_path / "precious"
    path.write_text("keep me")
    program = tmp_path / "door.json"
    program.write_text(json.dumps(door(str(path), origins)))
    program.chmod(0o600)
    done = subprocess.run([V2C, "run", "-c", program], capture_output=True, text=True, timeout=10)
    assert done.returncode == 255
    assert path.read_text() == "keep me"


def test_a_reload_keeps_the_listener_and_who_is_connected(run, origins, tmp_path):
    path = tmp_path / "door.sock"
    program = up(run, path, str(path), origins)
    before = path.stat().st_ino
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(str(path))
        s.sendall(b"echo\na")
        assert read_exactly(s, 1) == b"a"
        changed = door(str(path), origins, tag="renamed")
        program.path.write_text(json.dumps(changed))
        program.process.send_signal(signal.SIGHUP)
        program.wait_log("reload: done")
        s.sendall(b"b")
        assert read_exactly(s, 1) == b"b"
    assert path.stat().st_ino == before
    assert ask(path) == b"hello"
    changed["inbounds"] = []
    program.path.write_text(json.dumps(changed))
    program.process.send_signal(signal.SIGHUP)
    wait_for(lambda: not path.exists(), 10, "the file to go with its inbound")
