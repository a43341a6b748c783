"""What the gateway lets pass reaches a real nginx as the same requests: as many, to the same hosts, with the same bodies.

nginx says in its log what it took for a request. The gateway keeps its connections to nginx, so one byte that belonged to
two requests, or to none, would be seen in the next one.
"""
import json

import pytest

import wire
from rig import HOST, Nginx, free_port, http_get, wait_for

pytestmark = [pytest.mark.v2c, pytest.mark.quick]

MARK = "/this-was-case-"


@pytest.fixture(scope="module")
def nginx(tmp_path_factory):
    """Reads bodies, for it passes them on to itself, and logs each request."""
    directory = tmp_path_factory.mktemp("nginx")
    inner = free_port()
    line = ('{"status":$status,"method":"$request_method","path":"$request_uri","host":"$http_host",'
            '"body":"$request_body","request":"$request"}')
    more = f"""
        large_client_header_buffers 8 40k; client_max_body_size 0; client_body_in_single_buffer on;
        access_log {directory}/seen.log seen; client_header_timeout 5; client_body_timeout 5;
        location / {{ proxy_pass http://{HOST}:{inner}; proxy_set_header Host inner; proxy_method GET; }}
    }}
    server {{ listen {HOST}:{inner}; location / {{ return 200; }}"""
    running = Nginx(directory, directory, more, http=f"log_format seen escape=json '{line}';")
    running.seen = directory / "seen.log"
    yield running
    running.stop()


def seen(log):
    """What nginx logged, by case."""
    found, current = {}, []
    for line in log.read_text(encoding="latin-1").splitlines():
        entry = json.loads(line)
        if entry["path"].startswith(MARK):
            found[int(entry["path"][len(MARK) :])] = current
            current = []
        else:
            current.append(entry)
    return found


def expected(case):
    """The requests of which nginx must see all, and their hosts in normal form."""
    hosts = [word for word in case.words if not word.isdigit() and word not in ("more", "end")]
    if case.body_fails():
        hosts.pop()
    requests, rest = [], case.data
    for host in hosts:
        request, rest = wire.first_request(rest)
        requests.append((*request, host))
    return requests


def same(entry, request):
    """nginx may refuse a request that the gateway lets pass: then it says less about it."""
    method, path, host, body, normal = request
    if entry["status"] == 400:
        return not entry["host"] or entry["host"].encode("latin-1") == host
    told = (entry["method"], entry["path"], entry["body"])
    return told == (method.decode(), path.decode("latin-1"), body.decode("latin-1")) and (
        normal == "-" or (entry["host"].encode() == host and wire.same_host(entry["host"], normal))
    )


def test_requests_arrive_as_they_were_understood(run, nginx):
    port = free_port()
    run("v2c", wire.gateway(port, nginx.port), "gateway")
    all_cases = wire.cases("requests")
    for index, case in enumerate(all_cases):
        wire.ask(port, case.data, case.methods())
        http_get(port, f"{MARK}{index}")
    wait_for(lambda: len(seen(nginx.seen)) == len(all_cases), 5, "nginx to log all cases")
    log, wrong = seen(nginx.seen), []
    for index, case in enumerate(all_cases):
        requests, entries = expected(case), log[index]
        if case.body_fails():  # it may have seen the head of one that was then cut off
            entries = [e for e in entries if e["status"] not in (400, 408, 499)]
        if len(entries) != len(requests) or not all(map(same, entries, requests)):
            wrong.append((case, requests, entries))
    assert not wrong
