"""A side that dies comes back at once: seconds from the start of the new process to a good answer."""
import time

import pytest

from rig import SLOWER, connect, first_good, http_get, wait_for

WITH_NEW_PORTAL = (("v2c", "v2c"), ("v2c", "v2ray"))
WITH_NEW_BRIDGE = (("v2c", "v2c"), ("v2ray", "v2c"))
OLD = ("v2ray", "v2ray")


def limit(pairing, old):
    """1 s between new peers; an old one has its own pace."""
    return (1.0 if pairing == ("v2c", "v2c") else old) * SLOWER


def restarted(tunnel, program, seconds=40):
    program.kill()
    program.start()
    return first_good(tunnel.web, seconds=seconds, since=program.born)


@pytest.mark.quick
@pytest.mark.workers
@pytest.mark.pairings(*WITH_NEW_PORTAL)
def test_bridge_killed_and_restarted(own_tunnel, pairing):
    t = own_tunnel(pairing)
    for _ in range(3):
        assert restarted(t, t.bridge) <= limit(pairing, 2.5)


@pytest.mark.quick
@pytest.mark.workers
@pytest.mark.pairings(*WITH_NEW_BRIDGE)
def test_portal_killed_and_restarted(own_tunnel, pairing):
    t = own_tunnel(pairing)
    for _ in range(3):
        assert restarted(t, t.portal) <= limit(pairing, 2.5)


@pytest.mark.pairings(("v2c", "v2ray"))
def test_portal_killed_under_an_old_bridge(own_tunnel, pairing):
    """The old bridge looks every 2 s and pauses between attempts."""
    t = own_tunnel(pairing)
    assert restarted(t, t.portal) <= 8 * SLOWER


def refused_for(port, seconds):
    """Returns when connections have been refused for so long."""
    since = time.monotonic()

    def long_enough():
        try:
            connect(port, 1).close()
        except ConnectionRefusedError:
            return time.monotonic() - since >= seconds
        raise AssertionError("somebody listens")

    wait_for(long_enough, seconds + 5, "refused connections")


@pytest.mark.pairings(*WITH_NEW_BRIDGE)
def test_portal_back_after_a_pause(own_tunnel, pairing):
    """The bridge has been refused for 3 s; its pauses must not have grown much."""
    t = own_tunnel(pairing)
    t.portal.kill()
    refused_for(t.web, 3)
    t.portal.start()
    assert first_good(t.web, since=t.portal.born) <= limit(pairing, 2.5)


@pytest.mark.pairings(*WITH_NEW_PORTAL)
def test_bridge_back_after_a_pause(own_tunnel, pairing):
    """Visitors who come meanwhile are turned away, and do not make it worse."""
    t = own_tunnel(pairing)
    t.bridge.kill()
    end = time.monotonic() + 3

    def turned_away():
        try:
            status = http_get(t.web, "/small.txt", timeout=10).status
        except (OSError, EOFError):
            return time.monotonic() > end
        raise AssertionError(f"status {status} without a bridge")

    wait_for(turned_away, 15, "three seconds of visitors in vain")
    t.bridge.start()
    assert first_good(t.web, since=t.bridge.born) <= limit(pairing, 2.5)


@pytest.mark.quick
@pytest.mark.workers
@pytest.mark.pairings(*WITH_NEW_BRIDGE)
def test_bridge_started_before_the_portal(own_tunnel, pairing):
    t = own_tunnel(pairing)
    t.bridge.kill()
    t.portal.kill()
    t.bridge.start()
    refused_for(t.web, 1)
    t.portal.start()
    assert first_good(t.web, since=t.portal.born) <= limit(pairing, 2.5)


@pytest.mark.slow_control
@pytest.mark.pairings(OLD)
def test_control_old_portal_keeps_a_dead_link(own_tunnel, pairing):
    t = own_tunnel(pairing)
    assert restarted(t, t.bridge) > 5
