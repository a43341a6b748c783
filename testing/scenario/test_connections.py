"""How many links a bridge keeps, to how many portals."""
import uuid

import pytest

from configs import (
    DOMAIN, LOG, add_status, dokodemo, portal_config, rule, vmess_out,
)
from rig import (
    SLOWER, counters, first_good, free_ports, http_get, in_parallel, read_exactly, wait_for,
)

BOTH_NEW = (("v2c", "v2c"),)
pytestmark = pytest.mark.v2c


def carriers(status):
    return counters(status)["portal>>>portal>>>carriers"]


def stays(check, seconds):
    """The check holds now and for so long."""
    with pytest.raises(AssertionError, match="in vain"):
        wait_for(lambda: not check(), seconds, "nothing")


@pytest.mark.quick
@pytest.mark.pairings(*BOTH_NEW)
@pytest.mark.parametrize("connections", [None, 1, 4])
def test_links_are_as_many_as_configured(own_tunnel, pairing, connections):
    def prepare(t):
        if connections:
            t.bridge_config["reverse"]["bridges"][0]["connections"] = connections

    wanted = connections or 2
    t = own_tunnel(pairing, prepare)
    wait_for(lambda: carriers(t.portal_status) == wanted, 5, f"{wanted} links")
    stays(lambda: carriers(t.portal_status) == wanted, 1)


@pytest.mark.quick
@pytest.mark.pairings(*BOTH_NEW)
def test_many_streams_bring_more_links(own_tunnel, pairing):
    t = own_tunnel(pairing)
    wait_for(lambda: carriers(t.portal_status) == 2, 5, "two links")
    held = in_parallel([lambda: t.ask("echo") for _ in range(300)])
    for s in held:
        s.sendall(b"x")
        assert read_exactly(s, 1) == b"x"
    wait_for(lambda: carriers(t.portal_status) >= 3, 5, "a third link")
    assert carriers(t.portal_status) <= 4
    assert http_get(t.web, "/small.txt").body == b"small\n"
    for s in held:
        s.close()


class TwoPortals:
    """One bridge that names two portals, each with a visitor port."""

    def __init__(self, run, origins):
        self.user_id = str(uuid.uuid4())
        self.web, self.status, self.portals, links = [], [], [], []
        for i in range(2):
            web, link, status = free_ports(3)
            config = portal_config(link, self.user_id, [dokodemo("web", web, origins.web)])
            add_status(config, status)
            self.portals.append(run("v2c", config, f"portal{i}"))
            self.web.append(web)
            self.status.append(status)
            links.append(link)
        outbounds = [vmess_out(f"to{i}", link, self.user_id) for i, link in enumerate(links)]
        self.bridge = run("v2c", {
            "log": LOG,
            "reverse": {"bridges": [
                {"tag": "bridge", "domain": DOMAIN, "portals": ["to0", "to1"]},
            ]},
            "outbounds": [{"tag": "out", "protocol": "freedom"}, *outbounds],
            "routing": {"rules": [rule("bridge", "out")]},
        }, "bridge")


@pytest.mark.quick
def test_each_of_two_portals_has_its_links(run, origins):
    two = TwoPortals(run, origins)
    for i in range(2):
        first_good(two.web[i])
        wait_for(lambda: carriers(two.status[i]) == 2, 5, "two links")


@pytest.mark.quick
def test_one_portal_dies_and_the_other_serves(run, origins):
    two = TwoPortals(run, origins)
    for web in two.web:
        first_good(web)
    for dying in (0, 1):
        two.portals[dying].kill()
        alive = two.web[1 - dying]

        def visit():
            return [http_get(alive, "/small.txt").body for _ in range(20)]

        assert in_parallel([visit] * 4) == [[b"small\n"] * 20] * 4
        two.portals[dying].start()
        assert first_good(two.web[dying], since=two.portals[dying].born) <= 2.5 * SLOWER
        wait_for(lambda: carriers(two.status[dying]) == 2, 5, "both of its links")
        assert in_parallel([visit] * 2) == [[b"small\n"] * 20] * 2
