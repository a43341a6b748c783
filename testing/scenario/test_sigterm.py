"""SIGTERM: nothing new, what is open has its time; then, or asked again, the end, with 0."""
import re
import signal
import socket
import time

import pytest

import rig
from configs import dokodemo
from origins import MB, known_bytes
from rig import HOST, connect, free_port, listening, read_exactly, read_to_end, wait_for

pytestmark = [pytest.mark.v2c, pytest.mark.quick]


def door(origins, workers=1, drain=20):
    port = free_port()
    return port, {
        "log": {"loglevel": "info"},
        "workers": workers,
        "drain": drain,
        "inbounds": [dokodemo("odd", port, origins.odd)],
        "outbounds": [{"tag": "out", "protocol": "freedom"}],
    }


def echo(port):
    s = connect(port)
    s.sendall(b"echo\nhello")
    assert read_exactly(s, 5) == b"hello"
    return s


def end(program, number=signal.SIGTERM):
    program.process.send_signal(number)


def drains(program, open_now):
    program.wait_log(rf"v2c ends: {open_now} visitors are open and have \d+ s")


def ended(program, cut, seconds=5):
    assert program.process.wait(seconds * rig.SLOWER) == 0
    assert re.search(rf"v2c ends now: {cut} visitors are cut", program.log())
    program.check_health()
    program.process = None  # it has ended as it should


@pytest.mark.parametrize("workers", [1, 3])
def test_what_runs_ends_well_and_nothing_new_comes(run, origins, workers):
    port, config = door(origins, workers)
    program = run("v2c", config)
    with connect(port) as s, echo(port) as talk:
        s.sendall(b"bytes %d\n" % (20 * MB))
        first = read_exactly(s, 1000)
        end(program)
        drains(program, 2)
        assert not listening(port)
        with pytest.raises(ConnectionRefusedError):
            connect(port)
        rest = read_to_end(s, 30)
        assert rest.how == "fin" and first + rest.data == known_bytes(20 * MB)
        s.close()
        talk.sendall(b"still")
        assert read_exactly(talk, 5) == b"still"
        assert program.alive()
        talk.shutdown(socket.SHUT_WR)
        assert read_to_end(talk).how == "fin"
        ended(program, 0)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_limit_holds(run, origins, workers):
    port, config = door(origins, workers, drain=1)
    program = run("v2c", config)
    with echo(port) as s:
        began = time.monotonic()
        end(program)
        assert read_to_end(s, 10).how == "rst"
        assert 0.9 <= time.monotonic() - began < 3 * rig.SLOWER
        ended(program, 1)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_asked_again_it_ends_at_once(run, origins, second):
    port, config = door(origins, drain=600)
    program = run("v2c", config)
    with echo(port) as s:
        end(program)
        drains(program, 1)
        end(program, signal.SIGHUP)  # means nothing now
        end(program, signal.SIGUSR1)
        end(program, second)
        ended(program, 1)
        assert read_to_end(s).how == "rst"


def test_with_nobody_there_it_ends_at_once(run, origins):
    port, config = door(origins, drain=600)
    program = run("v2c", config)
    echo(port).close()
    wait_for(lambda: "flow ended" in program.log(), 10, "the flow's end")
    end(program)
    ended(program, 0)


def test_drain_0_ends_at_once(run, origins):
    port, config = door(origins, drain=0)
    program = run("v2c", config)
    with echo(port) as s:
        end(program)
        assert program.process.wait(5 * rig.SLOWER) == 0
        assert read_to_end(s).how == "rst"
        program.process = None


def test_sigint_does_not_drain(run, origins):
    port, config = door(origins, drain=600)
    program = run("v2c", config)
    with echo(port) as s:
        end(program, signal.SIGINT)
        assert program.process.wait(5 * rig.SLOWER) == 0
        assert read_to_end(s).how == "rst"
        program.process = None


def test_new_sources_of_datagrams_are_refused(run, origins):
    port, config = door(origins, drain=600)
    udp = free_port(udp=True)
    config["inbounds"].append(dokodemo("udp", udp, origins.udp, network="udp"))
    program = run("v2c", config)

    def ask(s, word):
        s.sendto(word, (HOST, udp))
        return s.recv(100)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as old, socket.socket(
        socket.AF_INET, socket.SOCK_DGRAM
    ) as fresh, echo(port):
        old.settimeout(5 * rig.SLOWER)
        assert ask(old, b"one") == b"one"
        end(program)
        drains(program, 2)
        fresh.sendto(b"lost", (HOST, udp))
        assert ask(old, b"two") == b"two"
        with pytest.raises(BlockingIOError):
            fresh.setblocking(False)
            fresh.recv(100)
        end(program)
        ended(program, r"[12]")


@pytest.mark.parametrize("network", ["tcp", "udp"])
@pytest.mark.parametrize("first, second", [(1, 1), (2, 2), (1, 2), (2, 1)])
def test_two_processes_do_not_share_a_port(run, origins, tmp_path, network, first, second):
    port = free_port(udp=network == "udp")
    target = origins.udp if network == "udp" else origins.odd
    config = {
        "workers": first,
        "inbounds": [dokodemo("door", port, target, network=network)],
        "outbounds": [{"protocol": "freedom"}],
    }
    run("v2c", config, name="first")
    config["workers"] = second
    other = rig.Program("v2c", config, tmp_path, "second")
    with pytest.raises(AssertionError, match="Address already in use"):
        other.ports = []
        other.start()
        other.process.wait(10 * rig.SLOWER)
        raise AssertionError(other.log())
    assert other.process.wait(10 * rig.SLOWER) == 255


def slow_up():
    def edit(direction, data):
        if direction == "up":
            time.sleep(len(data) / (2 * MB))
        return data

    return edit


@pytest.mark.pairings(("v2c", "v2c"), ("v2ray", "v2c"))
def test_the_last_bytes_on_a_slow_link_arrive(own_tunnel, pairing):
    """For the bridge the visitor has ended when megabytes of the answer are still on their way."""
    tunnel = own_tunnel(pairing, via=lambda port: rig.Relay(port, edit=slow_up))
    with tunnel.ask("bytes %d" % (3 * MB)) as s:
        if tunnel.both_new():
            s.shutdown(socket.SHUT_WR)
        first = read_exactly(s, 1000)
        end(tunnel.bridge)
        rest = read_to_end(s, 30)
        assert rest.how == "fin" and first + rest.data == known_bytes(3 * MB)
    ended(tunnel.bridge, 0, 10)


@pytest.mark.pairings(("v2c", "v2c"), ("v2c", "v2ray"), ("v2ray", "v2c"))
def test_a_download_through_the_tunnel_survives_either_end(own_tunnel, pairing):
    tunnel = own_tunnel(pairing)
    for program in (tunnel.portal, tunnel.bridge):
        if program.kind != "v2c":
            continue
        with connect(tunnel.origin) as s:
            s.sendall(b"bytes %d\n" % (10 * MB))
            first = read_exactly(s, 1000)
            end(program)
            program.wait_log(r"v2c ends: \d+ visitors")
            rest = read_to_end(s, 30)
            assert rest.how == "fin" and first + rest.data == known_bytes(10 * MB)
        assert program.process.wait(10 * rig.SLOWER) == 0
        program.check_health()
        program.process = None
        if not tunnel.both_new():
            break  # V2Ray takes half a minute to notice
        program.start()
        rig.first_good(tunnel.web, seconds=30)
