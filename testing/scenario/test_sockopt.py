"""sockopt: what sockets get of it, as the kernel tells, and what it refuses."""
import json
import re
import signal
import subprocess

import pytest

from configs import LOG, dokodemo
from origins import Server, odd
from rig import HOST, V2C, connect, free_port, http_get, read_exactly, read_to_end, wait_for

pytestmark = [pytest.mark.v2c, pytest.mark.quick]


def config(port, target, inbound=None, outbound=None, listen=HOST):
    door = {**dokodemo("door", port, target), "listen": listen}
    out = {"protocol": "freedom", "tag": "out"}
    if inbound:
        door["streamSettings"] = {"sockopt": inbound}
    if outbound:
        out["streamSettings"] = {"sockopt": outbound}
    return {"log": LOG, "inbounds": [door], "outbounds": [out]}


def told(local=None, remote=None, listening=False):
    """What ss says of a connection, or of a listener."""
    end = f"sport = :{local}" if local else f"dport = :{remote}"
    state = ["-l"] if listening else ["state", "established"]
    return subprocess.run(["ss", "-Htnoie", *state, end], capture_output=True, text=True, timeout=10).stdout


SAID = {"tcpKeepAliveIdle": 77, "tcpKeepAliveInterval": 7, "tcpCongestion": "reno", "tcpUserTimeout": 9000, "tcpMaxSeg": 900}


@pytest.fixture
def own_odd():
    """An origin to which nobody else has connections."""
    server = Server(odd)
    yield server.port
    server.close()


def test_connections_on_both_sides_have_what_is_said(run, own_odd):
    port = free_port()
    run("v2c", config(port, own_odd, SAID, SAID))
    with connect(port) as s:
        s.sendall(b"echo\nhello")
        assert read_exactly(s, 5) == b"hello"
        s.sendall(b"again")
        assert read_exactly(s, 5) == b"again"
        for where in ({"local": port}, {"remote": own_odd}):
            wait_for(lambda: "keepalive" in told(**where), 10, "all to be acknowledged")
            assert re.search(r"keepalive,1min1\dsec", told(**where)), told(**where)
            assert " reno " in told(**where)


def test_keep_alive_may_be_off(run, own_odd):
    port = free_port()
    off = {"tcpKeepAliveIdle": -1}
    run("v2c", config(port, own_odd, off, off))
    with connect(port) as s:
        s.sendall(b"echo\nhello")
        assert read_exactly(s, 5) == b"hello"
        s.sendall(b"again")
        assert read_exactly(s, 5) == b"again"
        assert "keepalive" not in told(local=port)
        assert "keepalive" not in told(remote=own_odd)


def test_fast_open_and_an_interface_carry_bytes(run, origins):
    port = free_port()
    said = {"tcpFastOpen": True, "interface": "lo"}
    run("v2c", config(port, origins.web, said, said))
    assert http_get(port, "/small.txt") == (200, b"small\n")
    assert "%lo" in told(local=port, listening=True) + told(local=port)


def start_fails(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(text))
    path.chmod(0o600)
    done = subprocess.run([V2C, "run", "-c", path], capture_output=True, text=True, timeout=10)
    assert done.returncode == 255
    return done.stdout + done.stderr


def test_what_the_kernel_refuses_a_listener_is_an_error_at_the_start(tmp_path, origins):
    said = start_fails(tmp_path, config(free_port(), origins.web, {"tcpCongestion": "no-such-way"}))
    assert "sockopt tcpCongestion: No such file or directory; /proc/sys/net/ipv4/" in said
    said = start_fails(tmp_path, config(free_port(), origins.web, {"interface": "no-such-if"}))
    assert 'inbound /inbounds/0 "door": listen on ' in said
    assert "sockopt interface: No such device" in said


def test_what_it_refuses_a_dialled_socket_ends_the_flow(run, origins):
    port = free_port()
    v2c = run("v2c", config(port, origins.web, outbound={"interface": "no-such-if"}))
    try:
        with connect(port) as s:
            assert read_to_end(s).how == "rst"
    except ConnectionResetError:
        pass  # before connect() was back
    v2c.wait_log("sockopt interface: No such device")


def test_v6only_leaves_ipv4_to_others(run, origins):
    port = free_port()
    run("v2c", config(port, origins.web, {"v6only": True}, listen="::"), ports=[]).wait_log("v2c started")
    listeners = subprocess.run(["ss", "-Hltn", f"sport = :{port}"], capture_output=True, text=True, timeout=10).stdout
    assert "[::]" in listeners or not listeners  # a host without IPv6 has none
    with pytest.raises(ConnectionError):
        connect(port)


def test_a_reload_tells_a_port_that_is_open_what_is_new(run, origins):
    port = free_port()
    v2c = run("v2c", config(port, origins.odd))
    v2c.path.write_text(json.dumps(config(port, origins.odd, {"tcpCongestion": "reno"})))
    v2c.process.send_signal(signal.SIGHUP)
    v2c.wait_log("reload: done")
    with connect(port) as s:
        s.sendall(b"echo\nhello")
        assert read_exactly(s, 5) == b"hello"
        assert " reno " in told(local=port)
