"""VMess the ordinary way round, client and server, with and without mux: either side may be V2Ray."""
import contextlib
import hashlib
import socket
from types import SimpleNamespace

import pytest

from configs import LOG, dokodemo, vmess_in, vmess_out
from origins import MB, known_bytes
from rig import HOST, connect, free_ports, http_get, http_request, in_parallel, read_answer, read_exactly

pytestmark = pytest.mark.workers
USER = "11223344-5566-4788-99aa-bbccddeeff00"
SIDES = [("v2ray", "v2c"), ("v2c", "v2ray"), ("v2c", "v2c")]
SECURITIES = ["auto", "aes-128-gcm", "chacha20-poly1305", "none"]


def client_config(ports, origins, security, mux):
    doors = [
        dokodemo("web", ports.web, origins.web),
        dokodemo("odd", ports.odd, origins.odd),
        dokodemo("udp", ports.udp, origins.udp, network="udp"),
    ]
    out = vmess_out("out", ports.server, USER, security)
    if mux:
        out["mux"] = {"enabled": True, "concurrency": 8}
    return {"log": LOG, "inbounds": doors, "outbounds": [out]}


def server_config(port):
    return {
        "log": LOG,
        "inbounds": [vmess_in("in", port, [(USER, "user@test")])],
        "outbounds": [{"protocol": "freedom"}],
    }


@pytest.fixture
def chain(run, origins):
    def start(client, server, security="auto", mux=False):
        ports = SimpleNamespace(**dict(zip(("web", "odd", "server"), free_ports(3))))
        ports.udp = free_ports(1, udp=True)[0]
        run(server, server_config(ports.server), "server")
        run(client, client_config(ports, origins, security, mux), "client")
        return ports

    return start


def datagram_comes_back(port, body):
    """V2Ray may lose one; nothing says that it must not."""
    for _ in range(4):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(3)
            s.connect((HOST, port))
            s.send(body)
            with contextlib.suppress(TimeoutError):
                return s.recv(65536) == body
    return False


def carries(ports, origins, datagrams=(1, 500, 1400, 1900)):
    assert http_get(ports.web, "/small.txt") == (200, b"small\n")
    digest = hashlib.sha256()
    with connect(ports.web, 60) as s:
        s.sendall(http_request("/big.bin"))
        assert read_answer(s, digest.update).status == 200
    assert digest.hexdigest() == origins.big_sha256
    body = known_bytes(5 * MB)
    with connect(ports.odd, 60) as s:
        s.sendall(b"sink %d\n" % len(body) + body)
        assert read_exactly(s, 64).decode() == hashlib.sha256(body).hexdigest()
    small = in_parallel([lambda: http_get(ports.web, "/small.txt").body] * 30)
    assert small == [b"small\n"] * 30
    for size in datagrams:
        assert datagram_comes_back(ports.udp, known_bytes(size)), f"datagram of {size} bytes"


@pytest.mark.v2c
@pytest.mark.quick
@pytest.mark.parametrize("security", SECURITIES)
@pytest.mark.parametrize("client,server", SIDES)
def test_requests_and_datagrams(chain, origins, client, server, security):
    carries(chain(client, server, security), origins)


@pytest.mark.v2c
@pytest.mark.quick
@pytest.mark.parametrize("security", SECURITIES)
def test_a_v2ray_client_with_mux(chain, origins, security):
    carries(chain("v2ray", "v2c", security, mux=True), origins)
