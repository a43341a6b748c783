"""Bulk from one plain connection to another goes through the kernel and comes unchanged."""
import hashlib
import threading

import pytest

from configs import LOG, add_status, dokodemo
from origins import MB, known_bytes
from rig import connect, counters, free_ports, http_get, http_request, in_parallel, read_answer, read_exactly

DOWNLOADS = 4  # of 60 MB


@pytest.fixture
def hop(run, origins):
    web, odd, status = free_ports(3)
    config = {
        "log": LOG,
        "inbounds": [dokodemo("web", web, origins.web), dokodemo("odd", odd, origins.odd)],
        "outbounds": [{"protocol": "freedom"}],
        "routing": {"rules": []},
    }
    add_status(config, status)
    run("v2c", config, "hop")
    return web, odd, lambda: counters(status)["spliced_bytes"]


def download_sum(port):
    digest = hashlib.sha256()
    with connect(port, 60) as s:
        s.sendall(http_request("/big.bin"))
        assert read_answer(s, digest.update).status == 200
    return digest.hexdigest()


def upload_sum(port, body):
    with connect(port, 60) as s:
        s.sendall(b"sink %d\n" % len(body) + body)
        return read_exactly(s, 64).decode()


@pytest.mark.v2c
@pytest.mark.quick
def test_downloads(hop, origins):
    web, _, spliced = hop
    for _ in range(DOWNLOADS):
        assert download_sum(web) == origins.big_sha256
    assert spliced() > DOWNLOADS * 40 * MB


@pytest.mark.v2c
@pytest.mark.quick
def test_uploads(hop):
    _, odd, spliced = hop
    body = known_bytes(60 * MB)
    assert upload_sum(odd, body) == hashlib.sha256(body).hexdigest()
    assert spliced() > 20 * MB


@pytest.mark.v2c
@pytest.mark.quick
def test_both_ways_at_once(hop):
    _, odd, spliced = hop
    body = known_bytes(30 * MB)
    with connect(odd, 60) as s:
        s.sendall(b"echo\n")
        sender = threading.Thread(target=s.sendall, args=(body,))
        sender.start()
        assert read_exactly(s, len(body)) == body
        sender.join()
    assert spliced() > 0


@pytest.mark.v2c
@pytest.mark.quick
def test_small_answers_beside_bulk(hop, origins):
    web, _, spliced = hop
    before = spliced()
    assert in_parallel([lambda: http_get(web, "/small.txt").body] * 20) == [b"small\n"] * 20
    assert spliced() == before
    jobs = [lambda: download_sum(web)] * 3 + [lambda: http_get(web, "/small.txt").body] * 20
    assert in_parallel(jobs) == [origins.big_sha256] * 3 + [b"small\n"] * 20
