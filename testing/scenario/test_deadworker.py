"""A portal never gives a visitor to a link that is dead."""
import pytest

from configs import DOMAIN, Tunnel, add_status, bridge_config
from rig import Program, Relay, counters, free_port, http_get, in_parallel, wait_for

NEW_PORTAL = (("v2c", "v2c"), ("v2c", "v2ray"))


@pytest.fixture
def two_bridges(origins, tmp_path):
    """A tunnel whose first bridge dials through a relay, and a second bridge that dials directly; each
    has one link."""
    made = []

    def make(pairing):
        tunnel = Tunnel(tmp_path, origins, *pairing, via=Relay)
        made.append(tunnel)
        config = bridge_config(tunnel.link, tunnel.user_id)
        for each in (tunnel.bridge_config, config):
            each["reverse"]["bridges"][0]["connections"] = 1
        tunnel.start()
        second = Program(pairing[1], config, tmp_path, "second")
        made.insert(0, second)
        second.start()
        wait_for(lambda: carriers(tunnel) >= 2, 10, "the second bridge's link")
        return tunnel

    yield make
    for thing in made:
        thing.stop()


def link_count(tunnel):
    """Connections that the portal has accepted on its link port and that are open."""
    port = f":{tunnel.link:04X}"
    with open("/proc/net/tcp") as f:
        lines = [line.split() for line in f]
    return sum(1 for fields in lines if fields[1].endswith(port) and fields[3] == "01")


def carriers(tunnel):
    """Links that the portal uses; of an old one only its connections are known."""
    if tunnel.portal_status is None:
        return link_count(tunnel)
    return counters(tunnel.portal_status)["portal>>>portal>>>carriers"]


def outcomes(tunnel, count):
    good = 0
    for _ in range(count):
        try:
            good += http_get(tunnel.web, "/small.txt", timeout=5).status == 200
        except (OSError, EOFError):
            pass
    return good


@pytest.mark.quick
@pytest.mark.pairings(*NEW_PORTAL)
def test_visitors_use_the_other_link_at_once(two_bridges, pairing):
    t = two_bridges(pairing)
    assert outcomes(t, 10) == 10
    t.relay.refuse()
    t.relay.cut()
    wait_for(lambda: carriers(t) == 1, 5, "the cut link to be gone")
    assert outcomes(t, 40) == 40


@pytest.mark.quick
@pytest.mark.pairings(("v2ray", "v2ray"))
def test_control_old_portal_prefers_the_dead_link(two_bridges, pairing):
    t = two_bridges(pairing)
    assert outcomes(t, 10) == 10
    t.relay.refuse()
    t.relay.cut()
    wait_for(lambda: carriers(t) == 1, 5, "the cut link to be gone")
    assert outcomes(t, 10) == 0


@pytest.mark.quick
@pytest.mark.pairings(*NEW_PORTAL)
def test_both_links_carry_visitors(two_bridges, pairing):
    """Streams that stay open are spread: cutting one link leaves some of them whole."""
    t = two_bridges(pairing)
    held = in_parallel([lambda: t.ask("echo") for _ in range(8)])
    for s in held:
        s.sendall(b"x")
        assert s.recv(1) == b"x"
    t.relay.refuse()
    t.relay.cut()
    alive = 0
    for s in held:
        try:
            s.settimeout(5)
            s.sendall(b"y")
            alive += s.recv(1) == b"y"
        except OSError:
            pass
        s.close()
    assert 2 <= alive <= 6
