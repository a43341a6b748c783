"""The `api` outbound: a page, counters, readiness."""
import re
import socket

import pytest

from configs import BRIDGE_EMAIL
from rig import (
    connect, counters, first_good, http_get, http_request, in_parallel, read_answer, read_exactly,
    read_to_end, wait_for,
)

pytestmark = [pytest.mark.quick, pytest.mark.v2c]
NEW_PORTAL = (("v2c", "v2c"), ("v2c", "v2ray"))


def with_stats(tunnel):
    for config in (tunnel.portal_config, tunnel.bridge_config):
        config["stats"] = {}
        config["policy"] = {
            "levels": {"0": {"statsUserUplink": True, "statsUserDownlink": True}},
            "system": {
                "statsInboundUplink": True, "statsInboundDownlink": True,
                "statsOutboundUplink": True, "statsOutboundDownlink": True,
            },
        }


@pytest.mark.pairings(("v2c", "v2c"))
def test_every_page_answers(tunnels, pairing):
    t = tunnels.get(pairing)
    for port in (t.portal_status, t.bridge_status):
        for path in ("/", "/stats", "/metrics", "/ready", "/live"):
            answer = http_get(port, path)
            assert answer.status == 200, path
        assert http_get(port, "/absent").status == 404


@pytest.mark.pairings(("v2c", "v2c"))
def test_one_connection_serves_many_requests(tunnels, pairing):
    t = tunnels.get(pairing)
    with connect(t.portal_status) as s:
        for path in ("/live", "/stats", "/ready", "/metrics") * 5:
            s.sendall(http_request(path, keep=True))
            assert read_answer(s).status == 200


@pytest.mark.pairings(("v2c", "v2c"))
def test_nothing_can_be_changed(tunnels, pairing):
    t = tunnels.get(pairing)
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        with connect(t.portal_status) as s:
            s.sendall(f"{method} /stats HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
            assert s.recv(4096).startswith(b"HTTP/1.1 405 "), method
    with connect(t.portal_status) as s:
        s.sendall(b"HEAD /stats HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        head = read_to_end(s, 5).data
        assert head.startswith(b"HTTP/1.1 200 ") and head.endswith(b"\r\n\r\n")


@pytest.mark.pairings(("v2c", "v2c"))
def test_bad_requests_end_and_harm_nothing(tunnels, pairing):
    t = tunnels.get(pairing)
    for data in (b"\0" * 100, b"GET / HTTP/9.9\r\n\r\n", b"GET /\r\n\r\n", b"A" * 100_000,
                 b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 5_000 + b"\r\n"):
        with connect(t.portal_status) as s:
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            end = read_to_end(s, 5)
            assert end.how != "open" and not end.data.startswith(b"HTTP/1.1 200")
    assert http_get(t.portal_status, "/live").status == 200


@pytest.mark.pairings(("v2c", "v2c"))
def test_stats_are_name_and_value(tunnels, pairing):
    t = tunnels.get(pairing)
    text = http_get(t.portal_status, "/stats").text
    for line in text.splitlines():
        assert re.fullmatch(r"\S.*: -?\d+", line), line
    names = counters(t.portal_status)
    for name in ("flows_opened", "flows_live", "flows_failed", "accepts", "handshakes_failed",
                 "replays_refused", "carriers_refused", "names_refused", "no_carrier", "mux_errors",
                 "mux_stalled", "datagrams_dropped"):
        assert name in names


@pytest.mark.pairings(("v2c", "v2c"))
def test_metrics_are_prometheus_text(tunnels, pairing):
    t = tunnels.get(pairing)
    text = http_get(t.portal_status, "/metrics").text
    assert text.endswith("\n")
    types = set()
    for line in text.splitlines():
        if line.startswith("#"):
            assert re.match(r"# (HELP|TYPE) [a-zA-Z_:][a-zA-Z0-9_:]* ", line), line
            if line.startswith("# TYPE"):
                name = line.split()[2]
                assert name not in types, f"{name} has two types"
                types.add(name)
        else:
            wanted = r'[a-zA-Z_:][\w:]*(\{([a-zA-Z_]\w*="([^"\\]|\\.)*",?)*\})? -?[0-9.e+]+'
            assert re.fullmatch(wanted, line), line
    assert any("flows_opened" in name for name in types)


@pytest.mark.pairings(*NEW_PORTAL)
def test_counters_of_tags_and_users_move(own_tunnel, pairing):
    """V2Ray's names and meanings: an inbound's bytes on the wire, a user's payload."""
    t = own_tunnel(pairing, with_stats)
    before = counters(t.portal_status)
    size = 300_000
    with t.ask(f"sink {size}") as s:
        s.sendall(bytes(size))
        read_exactly(s, 64)
    http_get(t.web, "/40.bin")
    expected = {
        "inbound>>>origin>>>traffic>>>uplink": size,
        "inbound>>>origin>>>traffic>>>downlink": 64,
        "inbound>>>web>>>traffic>>>downlink": 140_000,
        "inbound>>>interconn>>>traffic>>>uplink": 140_000,
        "inbound>>>interconn>>>traffic>>>downlink": size,
        f"user>>>{BRIDGE_EMAIL}>>>traffic>>>uplink": 140_000,
        f"user>>>{BRIDGE_EMAIL}>>>traffic>>>downlink": size,
    }

    def moved():
        now = counters(t.portal_status)
        return {k: now.get(k, 0) - before.get(k, 0) for k in expected}

    wait_for(lambda: all(moved()[k] >= v for k, v in expected.items()), 5, f"{expected}")
    for name, value in moved().items():
        assert value < expected[name] * 1.5 + 20_000, f"{name}: {value}"


@pytest.mark.pairings(("v2c", "v2c"), ("v2ray", "v2c"))
def test_counters_of_the_bridge_move(own_tunnel, pairing):
    t = own_tunnel(pairing, with_stats)
    http_get(t.web, "/40.bin")
    wanted = ("outbound>>>out>>>traffic>>>downlink", "outbound>>>interconn>>>traffic>>>uplink")

    def moved():
        now = counters(t.bridge_status)
        return all(now.get(name, 0) >= 140_000 for name in wanted)

    wait_for(moved, 5, f"{wanted}")


@pytest.mark.pairings(*NEW_PORTAL)
def test_portal_is_ready_when_the_bridge_is_up(own_tunnel, pairing):
    t = own_tunnel(pairing)
    assert http_get(t.portal_status, "/ready").status == 200
    t.bridge.kill()
    wait_for(lambda: http_get(t.portal_status, "/ready").status == 503, 5, "503 without a bridge")
    assert http_get(t.portal_status, "/live").status == 200
    t.bridge.start()
    wait_for(lambda: http_get(t.portal_status, "/ready").status == 200, 5, "200 with a bridge")
    first_good(t.web)


@pytest.mark.pairings(("v2c", "v2c"), ("v2ray", "v2c"))
def test_bridge_is_ready_when_the_portal_is_up(own_tunnel, pairing):
    t = own_tunnel(pairing)
    assert http_get(t.bridge_status, "/ready").status == 200
    t.portal.kill()
    wait_for(lambda: http_get(t.bridge_status, "/ready").status == 503, 5, "503 without a portal")
    t.portal.start()
    wait_for(lambda: http_get(t.bridge_status, "/ready").status == 200, 10, "200 with a portal")


@pytest.mark.pairings(*NEW_PORTAL)
def test_visitors_without_a_bridge_are_counted(own_tunnel, pairing):
    t = own_tunnel(pairing)
    t.bridge.kill()

    def turned_away():
        with connect(t.web) as s:
            s.sendall(http_request("/small.txt"))
            end = read_to_end(s, 10)
            return end.data == b"" and end.how != "open"

    assert all(in_parallel([turned_away] * 3))
    assert counters(t.portal_status)["no_carrier"] >= 3


@pytest.mark.pairings(("v2c", "v2c"))
def test_no_secret_on_any_page(tunnels, pairing):
    t = tunnels.get(pairing)
    for port in (t.portal_status, t.bridge_status):
        for path in ("/", "/stats", "/metrics"):
            assert t.user_id[:8] not in http_get(port, path).text
