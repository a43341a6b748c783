"""An abnormal end must look like one: RST, never a clean end of half a download."""
import pytest

from origins import MB, known_bytes
from rig import connect, http_get, http_request, read_exactly, read_to_end, reset, wait_for

NEW_PORTAL = (("v2c", "v2c"), ("v2c", "v2ray"))
OLD_PORTAL = (("v2ray", "v2c"), ("v2ray", "v2ray"))
SIZE = 60 * MB


def download_begun(tunnel):
    s = connect(tunnel.web, 15)
    s.sendall(http_request("/big.bin"))
    read_exactly(s, 1 * MB)
    return s


def stream_begun(tunnel):
    """Without a length: only the way it ends tells the visitor that something is missing."""
    s = tunnel.ask("endless", 15)
    read_exactly(s, 1 * MB)
    return s


@pytest.mark.quick
@pytest.mark.workers
@pytest.mark.pairings(*NEW_PORTAL)
def test_bridge_killed(own_tunnel, pairing):
    t = own_tunnel(pairing)
    visitors = [download_begun(t), stream_begun(t)]
    t.bridge.kill()
    for s in visitors:
        end = read_to_end(s, 15, keep=False)
        assert end.how == "rst" and end.data < SIZE


@pytest.mark.quick
@pytest.mark.workers
@pytest.mark.pairings(("v2c", "v2c"), ("v2c", "v2ray"))
def test_portal_killed(own_tunnel, pairing):
    t = own_tunnel(pairing)
    visitors = [download_begun(t), stream_begun(t)]
    t.portal.kill()
    for s in visitors:
        end = read_to_end(s, 15, keep=False)
        assert end.how == "rst" and end.data < SIZE


@pytest.mark.quick
@pytest.mark.workers
@pytest.mark.pairings(("v2c", "v2c"))
def test_origin_resets(tunnels, pairing):
    t = tunnels.get(pairing)
    for size in (0, 1, 1000, 2 * MB):
        with t.ask(f"cut {size}") as s:
            end = read_to_end(s)
        assert end.how == "rst"
        assert known_bytes(size).startswith(end.data)
    assert http_get(t.web, "/small.txt").body == b"small\n"


def test_origin_resets_and_the_tunnel_lives(tunnels, pairing):
    """An old bridge does not always tell its portal; what came is right, and others are served."""
    t = tunnels.get(pairing)
    for size in (0, 1, 1000, 2 * MB):
        with t.ask(f"cut {size}") as s:
            end = read_to_end(s, 3)
        assert known_bytes(size).startswith(end.data)
        if pairing[1] == "v2c":
            assert end.how != "open"
    assert http_get(t.web, "/small.txt").body == b"small\n"


@pytest.mark.quick
@pytest.mark.pairings(*OLD_PORTAL)
def test_control_old_portal_ends_half_a_download_cleanly(own_tunnel, pairing):
    t = own_tunnel(pairing)
    s = stream_begun(t)
    t.bridge.kill()
    end = read_to_end(s, 15, keep=False)
    assert end.how == "fin"


@pytest.mark.quick
@pytest.mark.workers
@pytest.mark.pairings(("v2c", "v2c"), ("v2c", "v2ray"), ("v2ray", "v2c"))
def test_visitor_resets(tunnels, origins, pairing):
    """The origin learns of it: its connection ends, and does not stay open for ever."""
    t = tunnels.get(pairing)
    before = len(origins.odd_server.live)
    s = t.ask("endless")
    read_exactly(s, 1 * MB)
    reset(s)
    wait_for(lambda: len(origins.odd_server.live) <= before, 10, "the origin's connection to end")
