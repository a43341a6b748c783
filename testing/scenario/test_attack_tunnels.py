"""Bridges and visitors of a portal with many tunnels that want what is not theirs (docs/link.md, tunnels)."""
import pytest

import link
import peer
from configs import CONTROL_NAMES, DOMAIN
from origins import MB
from rig import HOST, SANITIZED, connect, free_port, read_answer
from test_tunnels import USERS, Site, servers  # noqa: F401: a fixture

pytestmark = [pytest.mark.v2c, pytest.mark.quick]
CLAIMS = [
    {"user": "alice", "tunnels": ["web", "evil", "$ssh"], "hosts": [".alice.test"], "nodes": ["n"]},
    {"user": "bob", "tenant": "b", "tunnels": ["team-*"]},
]
MEMORY = 8 * MB * (4 if SANITIZED else 1)


class Town(Site):
    """With an ingress, which leads to alice's web by default."""

    def __init__(self, run):
        def start(kind, config, name):
            if name == "portal":
                config["inbounds"].append(self.ingress())
            return run(kind, config, name)

        self.entry = free_port()
        super().__init__(start, [("web",)], CLAIMS)

    def ingress(self):
        routes = [{"tunnel": "web"}, {"host": "by.test", "header": "x-tunnel", "by": "tunnel"}]
        settings = {"portal": "portal", "routes": routes}
        return {
            "tag": "entry", "listen": HOST, "port": self.entry, "protocol": "ingress", "settings": settings
        }

    def status(self, host, extra=""):
        with connect(self.entry) as s:
            s.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n{extra}\r\n".encode())
            return read_answer(s).status

    def link_as(self, user, domain):
        return peer.Client(self.link, USERS[user], peer.Request(1, domain, 0))

    def connected(self):
        return self.portal.log().count(" connected\n")


@pytest.fixture
def town(run):
    return Town(run)


def heard(client, seconds=5):
    """All link items until the link ends."""
    got = []
    client.s.settimeout(seconds)
    try:
        while True:
            f = peer.read_frame(client.read)
            got += link.items(f.data) if f.status == peer.KEEPALIVE and f.data else []
    except (OSError, EOFError, ValueError):
        return got


def test_no_visitor_becomes_a_bridge_or_speaks_to_one(town, servers):
    town.bridge("web", servers("web"), connections=1)  # no link comes later
    town.bridge("ssh", servers("ssh"), connections=1)
    count = town.connected()
    assert town.status("any.test") == 200
    names = [*CONTROL_NAMES, "v1.mux.cool", f"web.{DOMAIN}", f"WEB.{DOMAIN}.", f"ssh.{DOMAIN}"]
    for name in names:
        assert town.status(name) == 404, name
    assert town.status(f"x.{DOMAIN}:0") == 400
    assert town.status("by.test", "x-tunnel: web\r\n") == 200
    assert town.status("by.test", "x-tunnel: $ssh\r\n") == 404
    with connect(town.socks) as s:
        s.sendall(b"\x05\x01\x00")
        assert s.recv(2) != b"\x05\x00"  # nobody names a tunnel who has not said who he is
    assert town.connected() == count


@pytest.mark.parametrize(
    "user, tunnel",
    [
        ("alice", "team-1"), ("alice", "webb"), ("alice", "web."), ("alice", "we"), ("alice", "a.web"),
        ("alice", "web.web"), ("alice", "."), ("bob", "web"), ("bob", "team"), ("bob", "xteam-1"),
        ("bob", "team-" + 59 * "x"), ("bob", "reverse"),
    ],
)
def test_no_bridge_has_a_tunnel_that_is_not_its_users(town, user, tunnel):
    with town.link_as(user, f"{tunnel}.{DOMAIN}") as thief:
        thief.start(link.note(link.hello()))
        kinds = [kind for kind, _ in heard(thief)]
        assert kinds[-2:] == [link.WHY, link.GOAWAY] or not kinds
    assert town.connected() == 0


def test_a_bridge_that_says_anything_at_any_time_harms_only_itself(town, servers):
    town.bridge("web", servers("web"))
    before = town.portal.rss()
    flood = [
        link.names("n", "", ""), link.names("other", "west", "b", 255), link.host(""),
        link.host("x.alice.test"), link.host(".alice.test"), link.host("alice.test.evil.test"),
        link.host("a..b"), link.host(250 * "x"), link.weight(255), link.weight(0),
        link.host_answer(1, "x.alice.test"), link.why("because"), link.ping(),
    ]
    for first in (b"", link.note(link.hello()), link.note(link.hello(), link.goaway())):
        with town.link_as("alice", f"evil.{DOMAIN}") as hostile:
            hostile.start(first)
            hostile.s.settimeout(2)
            try:
                for n in range(400):
                    hosts = [link.host(f"h{n}-{i}.alice.test") for i in range(20)]
                    hostile.send(b"".join(link.note(i) for i in [*flood, *hosts]))
            except OSError:
                pass  # who reads no answers is cut off
            assert town.ask("web") == "web"
    assert town.portal.rss() - before < MEMORY
    assert town.portal.log().count("is refused") < 2 * 3 * 30
