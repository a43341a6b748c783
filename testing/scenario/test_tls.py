"""tls on links and doors: against V2Ray in both roles, curl and OpenSSL's own client; who is let in and who is not."""
import json
import socket
import ssl
import subprocess
import threading
from types import SimpleNamespace

import pytest


from certs import Cert
from configs import LOG, dokodemo, rule
from origins import MB, known_bytes
from rig import (
    HOST, V2C, SLOWER, connect, first_good, free_ports, http_get, http_request, in_parallel, read_exactly,
    read_to_end, wait_for,
)

pytestmark = [pytest.mark.v2c, pytest.mark.quick]
NAME = "portal.test"


@pytest.fixture(scope="module")
def known():
    """An authority, and a portal's certificate of it."""
    authority = Cert(authority=True)
    return SimpleNamespace(ca=authority, server=Cert([NAME, HOST], authority))


def tls(**settings):
    return {"network": "tcp", "security": "tls", "tlsSettings": settings}


def own_tunnel_with(own_tunnel, pairing, server, client):
    def prepare(tunnel):
        inbound = next(i for i in tunnel.portal_config["inbounds"] if i["protocol"] == "vmess")
        inbound["streamSettings"] = tls(**server)
        tunnel.bridge_config["outbounds"][1]["streamSettings"] = tls(**client)

    return own_tunnel(pairing, prepare)


def door(port, origin, **server):
    """An inbound with tls in front of an origin."""
    return {
        "log": LOG,
        "inbounds": [{**dokodemo("door", port, origin), "streamSettings": tls(**server)}],
        "outbounds": [{"protocol": "freedom"}],
    }


def dialler(port, to, **client):
    """A plain inbound whose outbound speaks tls."""
    out = {"tag": "out", "protocol": "freedom", "streamSettings": tls(**client)}
    return {"log": LOG, "inbounds": [dokodemo("plain", port, to)], "outbounds": [out]}


def refused(port):
    """Whether a visitor of this port is reset."""
    try:
        with connect(port) as s:
            s.sendall(http_request("/small.txt"))
            return not s.recv(100)
    except ConnectionResetError:
        return True


def wrapped(port, context, name=NAME):
    return context.wrap_socket(connect(port), server_hostname=name)


def believing(cert):
    context = ssl.create_default_context(cadata=cert.pem)
    context.set_alpn_protocols(["http/1.1"])
    return context


# --------------------------------------------------------------------------------------------- tunnels


@pytest.mark.workers
def test_a_tunnel_with_tls(own_tunnel, origins, tmp_path, known, pairing):
    server = {"certificates": [known.server.files(tmp_path, "portal")]}
    client = {"serverName": NAME, "certificates": [known.ca.trusted(tmp_path, "ca")]}
    t = own_tunnel_with(own_tunnel, pairing, server, client)
    assert in_parallel([lambda: http_get(t.web, "/small.txt").body] * 20) == [b"small\n"] * 20
    body = known_bytes(3 * MB)
    with t.ask(f"sink {len(body)}", 60) as s:
        s.sendall(body)
        assert len(read_exactly(s, 64)) == 64
    assert http_get(t.web, "/big.bin").status == 200


def test_mutual_tls_is_a_bridges_identity(own_tunnel, tmp_path, known, run, origins):
    bridge = Cert(issuer=known.ca)
    server = {
        "verifyClientCertificate": True,
        "certificates": [known.server.files(tmp_path, "portal"), known.ca.trusted(tmp_path, "bridges")],
    }
    client = {"certificates": [known.ca.trusted(tmp_path, "ca"), bridge.files(tmp_path, "bridge")]}
    t = own_tunnel_with(own_tunnel, ("v2c", "v2c"), server, client)
    assert http_get(t.web, "/small.txt").body == b"small\n"
    for name, own in (("none", []), ("other", [Cert(issuer=Cert(authority=True)).files(tmp_path, "x")])):
        config = dialler(*free_ports(1), t.link, certificates=[known.ca.trusted(tmp_path, "ca"), *own])
        stranger = run("v2c", config, name)
        assert refused(config["inbounds"][0]["port"])
        stranger.wait_log("tls: the (server wants a certificate of ours|other side does not know)")
    t.portal.wait_log("tls: the client has no certificate")
    t.portal.wait_log("tls: the client's certificate is of an unknown authority")


# --------------------------------------------------------------------------------------------- servers


@pytest.fixture
def served(run, origins, tmp_path, known):
    """A door with tls in front of nginx; by its port."""

    def start(origin=None, **settings):
        (port,) = free_ports(1)
        settings.setdefault("certificates", [known.server.files(tmp_path, "portal")])
        settings.setdefault("alpn", ["http/1.1"])
        program = run("v2c", door(port, origin or origins.web, **settings), "door")
        return SimpleNamespace(port=port, program=program)

    return start


def test_curl_is_content(served, tmp_path, known):
    door = served()
    known.ca.trusted(tmp_path, "ca")
    url = f"https://{NAME}:{door.port}/small.txt"
    for version in ("--tlsv1.2", "--tlsv1.3"):
        said = subprocess.run(
            ["curl", "-sS", "--http1.1", version, "--cacert", tmp_path / "ca.pem",
             "--resolve", f"{NAME}:{door.port}:{HOST}", url],
            capture_output=True, timeout=20, check=True,
        )  # fmt: skip
        assert said.stdout == b"small\n"
    assert subprocess.run(["curl", "-sS", url], capture_output=True, timeout=20, check=False).returncode


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
def test_old_versions_are_refused(served, known, version):
    door = served()
    context = believing(known.ca)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    with pytest.raises(ssl.SSLError):
        wrapped(door.port, context)
    door.program.wait_log("tls: the other side has only versions of TLS that are refused here")


def test_only_the_newest_if_asked_for(served, known):
    door = served(minVersion="1.3")
    context = believing(known.ca)
    assert wrapped(door.port, context).version() == "TLSv1.3"
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        wrapped(door.port, context)


def test_each_name_has_its_certificate(served, tmp_path, known):
    other = Cert(["other.test"], known.ca)
    both = [known.server.files(tmp_path, "portal"), other.files(tmp_path, "other")]
    door = served(certificates=both)
    for name in (NAME, "other.test"):
        with wrapped(door.port, believing(known.ca), name) as s:
            assert ("DNS", name) in s.getpeercert()["subjectAltName"]
    strict = served(certificates=both, rejectUnknownSni=True)
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        wrapped(strict.port, believing(known.ca), "third.test")


def test_inline_certificates(served, known):
    inline = {"certificate": known.server.pem.splitlines(), "key": known.server.key_pem.splitlines()}
    door = served(certificates=[inline])
    wrapped(door.port, believing(known.ca)).close()


def test_half_close_and_end_pass_through(served, origins, known):
    """TLS says that nothing follows, and the answer still comes."""
    door = served(origin=origins.odd)
    with wrapped(door.port, believing(known.ca)) as s:
        s.sendall(b"sink 1000\n" + b"x" * 1000)
        assert len(read_exactly(s, 64)) == 64


def test_cut_without_a_word_is_a_reset(run, origins, tmp_path, known):
    """A server that ends its TLS without close_notify has been cut off: the visitor sees a reset, not an end."""
    plain, port = free_ports(2)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own = known.server.files(tmp_path, "portal")
    context.load_cert_chain(own["certificateFile"], own["keyFile"])
    with socket.create_server((HOST, port)) as listener:
        def serve(well):
            s, _ = listener.accept()
            s = context.wrap_socket(s, server_side=True)
            s.recv(100)
            s.sendall(b"half of it")
            if well:
                s = s.unwrap()
            s.close()

        client = {"serverName": NAME, "certificates": [known.ca.trusted(tmp_path, "ca")]}
        run("v2c", dialler(plain, port, **client), "dialler")
        for well, how in ((True, "fin"), (False, "rst")):
            thread = threading.Thread(target=serve, args=(well,))
            thread.start()
            with connect(plain) as s:
                s.sendall(b"x")
                if well:
                    assert read_exactly(s, 10) == b"half of it"
                    s.shutdown(socket.SHUT_WR)
                    assert read_to_end(s).how == "fin"
                else:
                    assert read_to_end(s).how == "rst"
            thread.join()


# --------------------------------------------------------------------------------------------- clients


def test_who_the_server_is_counts(run, served, origins, tmp_path, known):
    """Each client dials a server with one certificate; what the log says when it does not like it."""
    door = served()
    ca, other = known.ca.trusted(tmp_path, "ca"), Cert(authority=True).trusted(tmp_path, "other")
    pin, wrong = known.server.chain_pin, Cert().chain_pin
    cases = [
        (None, {"serverName": NAME, "certificates": [ca]}),
        (None, {"certificates": [ca]}),  # the address is in it
        (f"is for {NAME}, want x.test", {"serverName": "x.test", "certificates": [ca]}),
        ("of an unknown authority", {"serverName": NAME, "certificates": [other]}),
        ("of an unknown authority", {"serverName": NAME}),
        (None, {"serverName": "x.test", "allowInsecure": True}),
        (None, {"serverName": NAME, "certificates": [ca], "pinnedPeerCertificateChainSha256": [wrong, pin]}),
        ("is not the pinned one", {"certificates": [ca], "pinnedPeerCertificateChainSha256": [wrong]}),
        (None, {"serverName": "x.test", "disableSystemRoot": True, "pinnedPeerCertificateChainSha256": pin}),
        ("of an unknown authority", {"serverName": NAME, "pinnedPeerCertificateChainSha256": pin}),
        ("is not the pinned one", {"allowInsecure": True, "pinnedPeerCertificateChainSha256": wrong}),
        (None, {"serverName": "x.test", "pinnedPeerCertSha256": known.server.digest.hex()}),
        ("is not the pinned one", {"certificates": [ca], "pinnedPeerCertSha256": "00" * 32}),
    ]
    ports = free_ports(len(cases))
    config = dialler(ports[0], door.port)
    config["inbounds"] = [dokodemo(f"in{i}", p, door.port) for i, p in enumerate(ports)]
    config["outbounds"] = [
        {"tag": f"out{i}", "protocol": "freedom", "streamSettings": tls(**case[1])}
        for i, case in enumerate(cases)
    ]
    config["routing"] = {"rules": [rule(f"in{i}", f"out{i}") for i in range(len(cases))]}
    program = run("v2c", config, "clients")
    for i, (complaint, settings) in enumerate(cases):
        assert refused(ports[i]) == bool(complaint), settings
        if complaint:
            program.wait_log(f"in{i}.*out{i}.*{complaint}")
    assert program.log().count(f"nobody checks who {HOST}:{door.port} is") == 1


def test_a_server_of_the_past_is_refused(run, served, tmp_path, known):
    past = Cert([NAME], known.ca, days=(-20, -10))
    door = served(certificates=[past.files(tmp_path, "past")])
    (plain,) = free_ports(1)
    trusted = [known.ca.trusted(tmp_path, "ca")]
    client = run("v2c", dialler(plain, door.port, serverName=NAME, certificates=trusted), "client")
    assert refused(plain)
    client.wait_log("tls: the server's certificate has expired")


# ------------------------------------------------------------------------------------------------ files


def test_changed_files_under_load(served, tmp_path, known):
    """A new certificate reaches new visitors by itself; nobody who talks notices, and none is turned away."""
    door = served()
    stop, failed = threading.Event(), []

    def visit():
        while not stop.is_set():
            try:
                with wrapped(door.port, believing(known.ca)) as s:
                    s.sendall(http_request("/small.txt"))
                    assert s.recv(1000).startswith(b"HTTP/1.1 200")
            except (OSError, AssertionError) as error:
                failed.append(error)

    def serial():
        with wrapped(door.port, believing(known.ca)) as s:
            return s.getpeercert()["serialNumber"]

    visitors = [threading.Thread(target=visit) for _ in range(3)]
    for v in visitors:
        v.start()
    before = serial()
    Cert([NAME, HOST], known.ca).files(tmp_path, "portal")
    wait_for(lambda: serial() != before, 15 * SLOWER, "the new certificate")
    stop.set()
    for v in visitors:
        v.join()
    assert not failed


def test_the_pin_is_printed(tmp_path, known):
    path = known.server.files(tmp_path, "portal")["certificateFile"]
    said = subprocess.run([V2C, "tls", "hash", path], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == known.server.chain_pin
    assert subprocess.run([V2C, "tls", "hash", "/x"], capture_output=True, check=False).returncode == 23


def test_mistakes_have_their_place(tmp_path, known):
    own = known.server.files(tmp_path, "portal")
    wrong = {**own, "keyFile": Cert().files(tmp_path, "other")["keyFile"]}
    at = "/inbounds/0/streamSettings/tlsSettings"
    for settings, complaint in (
        ({}, f"{at}: error: a server wants a certificate"),
        ({"certificates": [wrong]}, f"{at}/certificates/0: error: this key is not the certificate's"),
        ({"certificates": [{**own, "keyFile": "/x"}]}, f"{at}/certificates/0/keyFile: error: /x: cannot be read"),
        ({"certificates": [{**own, "usage": "issue"}]}, f"{at}/certificates/0/usage: error: v2c has no issue"),
        ({"certificates": [own], "minVersion": "1.1"}, f'{at}/minVersion: error: want "1.2" or "1.3"'),
        ({"certificates": [own], "cipherSuites": "X"}, f"{at}/cipherSuites: error: unknown or unsafe"),
        ({"certificates": [own], "fingerprint": "x"}, f"{at}/fingerprint: error: v2c has no tls fing"),
        ({"certificates": [own], "verifyClientCertificate": True}, f"{at}: error: verifyClientCertificate wants"),
    ):
        path = tmp_path / "config.json"
        path.write_text(json.dumps(door(1234, 80, **settings)))
        said = subprocess.run([V2C, "test", "-c", path], capture_output=True, text=True, check=False)
        assert said.returncode == 23
        assert complaint in said.stdout + said.stderr
