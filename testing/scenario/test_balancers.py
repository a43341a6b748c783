"""Balancers: over portals, whose bridges come and go, and over outbounds that an observatory watches."""
import collections
import contextlib
import datetime
import ssl
import time
import uuid

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from configs import LOG, dokodemo, rule, vmess_in, vmess_out
from origins import Server, labelled
from rig import KINDS, connect, free_port, free_ports, http_get, read_to_end, wait_for

pytestmark = [pytest.mark.quick, pytest.mark.workers]
NAMES = ("one", "two")


@pytest.fixture
def servers():
    """Each says who it is; "else" is what a default or fallback leads to."""
    made = {name: labelled(name) for name in (*NAMES, "else")}
    yield made
    for server in made.values():
        server.close()


def answers(port, count=24):
    def ask():
        with contextlib.suppress(OSError, EOFError, ValueError):
            return http_get(port).body.decode()
        return ""

    return collections.Counter(ask() for _ in range(count))


def freedom(tag, port):
    return {"tag": tag, "protocol": "freedom", "settings": {"redirect": f"127.0.0.1:{port}"}}


def balanced(tag, **more):
    return {"type": "field", "inboundTag": ["door"], "balancerTag": tag, **more}


# ------------------------------------------------------------------------------------ without anybody dead


@pytest.mark.parametrize("kind", KINDS)
def test_random_is_what_v2ray_does(run, servers, kind):
    door = free_port()
    config = {
        "log": LOG,
        "inbounds": [dokodemo("door", door, 1)],
        "outbounds": [freedom("else", servers["else"].port)]
        + [freedom(f"exit-{name}", servers[name].port) for name in NAMES],
        "routing": {"balancers": [{"tag": "b", "selector": ["exit-"]}], "rules": [balanced("b")]},
    }
    run(kind, config)
    seen = answers(door, 60)
    assert set(seen) == set(NAMES), seen  # by chance once in 2^59


@pytest.mark.v2c
def test_round_robin_takes_turns(run, servers):
    door = free_port()
    config = {
        "log": LOG,
        "workers": 1,
        "inbounds": [dokodemo("door", door, 1)],
        "outbounds": [freedom(f"exit-{name}", servers[name].port) for name in NAMES],
        "routing": {
            "balancers": [{"tag": "b", "selector": ["exit-"], "strategy": {"type": "roundRobin"}}],
            "rules": [balanced("b")],
        },
    }
    run("v2c", config)
    assert answers(door, 20) == {"one": 10, "two": 10}


# ---------------------------------------------------------------------------------------------- portals


def portals_config(door, link, ids, balancer, outbounds):
    return {
        "log": LOG,
        "reverse": {"portals": [{"tag": f"home-{n}", "domain": f"{n}.tunnel.test"} for n in NAMES]},
        "inbounds": [
            dokodemo("door", door, 80),
            vmess_in("link", link, [(ids[n], f"{n}@test") for n in NAMES]),
        ],
        "outbounds": outbounds,
        "routing": {
            "balancers": [{"tag": "homes", "selector": ["home-"], **balancer}],
            "rules": [rule("link", f"home-{n}", user=[f"{n}@test"]) for n in NAMES] + [balanced("homes")],
        },
    }


def home_config(link, name, user_id, server):
    return {
        "log": LOG,
        "reverse": {"bridges": [{"tag": "bridge", "domain": f"{name}.tunnel.test"}]},
        "outbounds": [freedom("web", server.port), vmess_out("link", link, user_id)],
        "routing": {
            "rules": [rule("bridge", "link", domain=[f"full:{name}.tunnel.test"]), rule("bridge", "web")]
        },
    }


@pytest.fixture
def homes(run, servers):
    """A portal process with two portals; bridges are started by name."""

    def make(balancer, outbounds):
        door, link = free_ports(2)
        ids = {name: str(uuid.uuid4()) for name in NAMES}
        portal = run("v2c", portals_config(door, link, ids, balancer, outbounds), "portal")

        def bridge(kind, name):
            return run(kind, home_config(link, name, ids[name], servers[name]), f"bridge-{name}")

        return portal, door, bridge

    return make


def wait_answers(door, names):
    wait_for(lambda: set(answers(door, 12)) == set(names), 20, f"answers of {names}")


@pytest.mark.v2c
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strategy", ["random", "roundRobin"])
def test_a_portal_without_a_bridge_gets_no_visitors(homes, servers, kind, strategy):
    balancer = {"strategy": {"type": strategy}, "fallbackTag": "sorry"}
    _, door, bridge = homes(balancer, [freedom("default", 1), freedom("sorry", servers["else"].port)])
    assert answers(door, 5) == {"else": 5}
    one = bridge(kind, "one")
    wait_answers(door, ["one"])
    assert answers(door) == {"one": 24}
    bridge(kind, "two")
    wait_answers(door, NAMES)
    one.kill()
    wait_answers(door, ["two"])
    assert answers(door) == {"two": 24}


@pytest.mark.v2c
def test_without_a_fallback_visitors_are_refused_and_never_sent_to_the_default(homes, servers):
    portal, door, bridge = homes({}, [freedom("default", servers["else"].port)])
    began = time.monotonic()
    with contextlib.suppress(ConnectionError), connect(door) as s:  # the reset may come at any time
        s.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert read_to_end(s).data == b""
    assert time.monotonic() - began < 2  # it does not wait as for a single portal
    portal.wait_log('balancer "homes": no outbound is alive')
    assert answers(door, 5) == {"": 5}
    bridge("v2c", "two")
    wait_answers(door, ["two"])


# ------------------------------------------------------------------------------------------- observatory


def server_config(port, user_id, target):
    return {
        "log": LOG,
        "inbounds": [vmess_in("in", port, [(user_id, "user@test")])],
        "outbounds": [freedom("web", target)],
    }


@pytest.mark.v2c
@pytest.mark.parametrize("strategy", ["random", "leastPing"])
@pytest.mark.parametrize("mux", [False, True])
def test_what_the_observatory_finds_dead_gets_nothing(run, servers, strategy, mux):
    door, *ports = free_ports(3)
    user = str(uuid.uuid4())
    exits = [vmess_out(f"exit-{name}", port, user) for name, port in zip(NAMES, ports)]
    for out in exits if mux else []:
        out["mux"] = {"enabled": True}
    config = {
        "log": LOG,
        "inbounds": [dokodemo("door", door, 80)],
        "outbounds": [freedom("else", servers["else"].port), *exits],
        "observatory": {
            "subjectSelector": ["exit-"],
            "probeURL": "http://probe.test/",
            "probeInterval": "200ms",
            "enableConcurrency": True,
        },
        "routing": {
            "balancers": [{"tag": "b", "selector": ["exit-"], "strategy": {"type": strategy}}],
            "rules": [balanced("b")],
        },
    }
    programs = {
        name: run("v2ray", server_config(port, user, servers[name].port), name)
        for name, port in zip(NAMES, ports)
    }
    client = run("v2c", config, "client")
    for name in NAMES:
        client.wait_log(f'outbound "exit-{name}" is alive')
    assert set(answers(door)) <= set(NAMES)
    programs["one"].kill()
    client.wait_log('outbound "exit-one" is dead: ')
    assert answers(door) == {"two": 24}
    programs["one"].start()
    wait_for(lambda: client.log().count('outbound "exit-one" is alive') == 2, 10, "it to be alive")
    programs["two"].kill()
    client.wait_log('outbound "exit-two" is dead: ')
    assert answers(door) == {"one": 24}


def self_signed(directory, name):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    cert = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (directory / "cert.pem").write_bytes(cert.public_bytes(pem))
    (directory / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


@pytest.fixture
def https(tmp_path):
    """Any page of https://probe.test/; its certificate is signed by itself."""
    self_signed(tmp_path, "probe.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")

    def serve(_, s):
        with context.wrap_socket(s, server_side=True) as t:
            t.recv(4096)
            t.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    server = Server(serve)
    yield server
    server.close()


@pytest.mark.v2c
@pytest.mark.parametrize("trusted", [False, True])
def test_a_page_by_https_is_believed_when_its_certificate_is(run, https, tmp_path, monkeypatch, trusted):
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    config = {
        "log": LOG,
        "inbounds": [dokodemo("door", free_port(), 80)],
        "outbounds": [freedom("exit", https.port)],
        "observatory": {"subjectSelector": ["exit"], "probeURL": "https://probe.test/"},
    }
    client = run("v2c", config)
    client.wait_log('outbound "exit" is alive' if trusted else 'outbound "exit" is dead: .*certificate')
