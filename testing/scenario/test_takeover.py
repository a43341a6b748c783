"""Nobody becomes a bridge by naming the right host: not a visitor, not a user who may not."""
import threading
import uuid

import pytest

import peer
from configs import BRIDGE_EMAIL, CONTROL_NAMES, DOMAIN, dokodemo, rule
from rig import HOST, connect, counters, free_port, http_get, http_request, in_parallel
from rig import read_answer, read_exactly, read_to_end, wait_for

GUEST = str(uuid.UUID(int=0x6E7E57))
COOKIES = 40
SPELLINGS = (DOMAIN, DOMAIN.upper(), DOMAIN.title(), DOMAIN + ".", DOMAIN.upper() + ".")
NEW_PORTAL = (("v2c", "v2c"), ("v2c", "v2ray"))


class FakeBridge:
    """Serves as a bridge on something that carries mux frames, and remembers what visitors sent."""

    def __init__(self, read, send):
        self.read, self.send = read, send
        self.seen = b""
        self.ready = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        try:
            while True:
                f = peer.read_frame(self.read)
                self.ready.set()
                if f.network == peer.UDP or not f.data:
                    continue
                self.seen += f.data
                answer = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
                self.send(peer.frame(f.stream, peer.KEEP, answer))
                self.send(peer.frame(f.stream, peer.END))
        except Exception:  # whatever ends the link, what was seen is what counts
            pass


def send_cookies(tunnel):
    """Forty visitors, each with a cookie, who all stay connected; what they were answered."""
    answers, sockets = [], []
    for i in range(COOKIES):
        s = connect(tunnel.web, 5)
        sockets.append(s)
        cookie = f"Cookie: secret={i};\r\n"
        try:
            s.sendall(http_request("/small.txt", keep=True, extra=cookie))
            answers.append(read_answer(s).body)
        except (OSError, EOFError):
            answers.append(None)
    for s in sockets:
        s.close()
    return answers


def leaked(*seen):
    return sum(b"Cookie: secret=%d;" % i in b"".join(seen) for i in range(COOKIES))


def refused(tunnel):
    now = counters(tunnel.portal_status)
    return now["carriers_refused"] + now["names_refused"]


def with_guest(how):
    """Changes a portal's config: a second user, who may not be a bridge, for one of two reasons."""

    def prepare(tunnel):
        config = tunnel.portal_config
        interconn = next(i for i in config["inbounds"] if i["tag"] == "interconn")
        interconn["settings"]["clients"].append({"id": GUEST, "email": "guest@tunnel.test"})
        if how == "listed users":
            config["reverse"]["portals"][0]["users"] = [BRIDGE_EMAIL]
        elif how == "rule for another user":  # the guest falls to the default outbound
            for r in config["routing"]["rules"]:
                if r["inboundTag"] == ["interconn"]:
                    r["user"] = [BRIDGE_EMAIL]

    return prepare


def guest_request(tunnel, name, command=peer.TCP, port=0):
    client = peer.Client(tunnel.link, GUEST, peer.Request(command, name, port))
    return client.start()


@pytest.mark.quick
@pytest.mark.pairings(*NEW_PORTAL)
@pytest.mark.parametrize("how", ["listed users", "rule for another user"])
def test_user_who_may_not(own_tunnel, pairing, how):
    t = own_tunnel(pairing, with_guest(how))
    before = refused(t)
    attempts = [(name, peer.TCP, 0) for name in SPELLINGS]
    attempts += [(name, peer.TCP, 443) for name in CONTROL_NAMES]
    attempts += [(name, peer.UDP, 0) for name in CONTROL_NAMES]
    clients = [guest_request(t, *attempt) for attempt in attempts]
    fakes = [FakeBridge(c.read, c.send) for c in clients]
    if how == "listed users":
        wait_for(lambda: refused(t) - before >= len(attempts), 10, f"{len(attempts)} refusals")
    assert send_cookies(t) == [b"small\n"] * COOKIES
    assert leaked(*(f.seen for f in fakes)) == 0
    assert not any(f.ready.is_set() for f in fakes), "a control frame was sent to a stranger"
    for c in clients:
        if how == "listed users":
            assert read_to_end(c.s, 8).how != "open", "a refused request is ended"
        c.close()


@pytest.mark.quick
@pytest.mark.pairings(*NEW_PORTAL)
def test_guest_is_served_as_a_visitor(own_tunnel, origins, pairing):
    """Who may not be a bridge may still be a visitor where a rule says so."""
    t = own_tunnel(pairing, with_guest("listed users"))
    request = peer.Request(peer.TCP, HOST, origins.odd)
    with peer.Client(t.link, GUEST, request).start(b"echo\nhello") as c:
        assert c.read(5) == b"hello"


@pytest.mark.quick
@pytest.mark.pairings(*NEW_PORTAL)
def test_visitor_inbound_that_names_the_domain(own_tunnel, pairing):
    names = [*SPELLINGS, *CONTROL_NAMES, *(n.upper() + "." for n in CONTROL_NAMES)]
    ports = {}

    def prepare(tunnel):
        for i, name in enumerate(names):
            ports[name] = free_port()
            inbound = dokodemo(f"evil{i}", ports[name], 80, address=name)
            tunnel.portal_config["inbounds"].append(inbound)
            tunnel.portal_config["routing"]["rules"].append(rule(f"evil{i}", "portal"))

    t = own_tunnel(pairing, prepare)
    before = refused(t)
    sockets = []
    for port in ports.values():  # "leave this link", for whoever takes it for control
        try:
            sockets.append(connect(port))
            sockets[-1].sendall(b"\x08\x01" + peer.frame(1, peer.KEEP, b"\x08\x01"))
        except ConnectionError:  # refused before a word was said
            pass
    wait_for(lambda: refused(t) - before >= len(names), 10, f"{len(names)} refusals")
    assert send_cookies(t) == [b"small\n"] * COOKIES
    for s in sockets:
        end = read_to_end(s, 5)
        assert end.data == b"" and end.how != "open"


@pytest.mark.quick
@pytest.mark.pairings(("v2c", "v2c"), ("v2ray", "v2c"))
def test_bridge_takes_control_from_the_control_stream_only(run, origins, pairing, own_tunnel):
    """A visitor of an old portal can name a control host; a new bridge does not obey it."""
    port = free_port()

    def prepare(tunnel):
        name = CONTROL_NAMES[0]
        tunnel.portal_config["inbounds"].append(dokodemo("evil", port, 443, address=name))
        tunnel.portal_config["routing"]["rules"].append(rule("evil", "portal"))

    t = own_tunnel(pairing, prepare)
    with t.ask("echo") as held:
        for _ in range(8):
            try:
                with connect(port) as s:
                    s.sendall(b"\x08\x01")
                    read_to_end(s, 0.2)
            except ConnectionError:  # a new portal refuses before a word was said
                pass
        http_get(t.web, "/small.txt")
        log = t.bridge.log()
        assert "drain" not in log.lower()
        held.sendall(b"x")
        assert held.recv(1) == b"x"


@pytest.mark.quick
@pytest.mark.pairings(("v2ray", "v2c"), ("v2ray", "v2ray"))
def test_control_socks_visitor_takes_over_an_old_portal(own_tunnel, pairing):
    socks = free_port()

    def prepare(tunnel):
        inbound = {"tag": "socks", "listen": HOST, "port": socks, "protocol": "socks",
                   "settings": {"auth": "noauth"}}
        tunnel.portal_config["inbounds"].append(inbound)
        tunnel.portal_config["routing"]["rules"].append(rule("socks", "portal"))

    t = own_tunnel(pairing, prepare)
    with connect(socks) as s:
        s.sendall(b"\5\1\0")
        read_exactly(s, 2)
        s.sendall(b"\5\1\0" + b"\3" + bytes([len(DOMAIN)]) + DOMAIN.encode() + b"\0\0")
        read_exactly(s, 10)
        fake = FakeBridge(lambda n: read_exactly(s, n), s.sendall)
        assert fake.ready.wait(5), "the portal greets its new bridge"
        answers = send_cookies(t)
        assert leaked(fake.seen) > 0
        assert b"forged" in answers


@pytest.mark.quick
@pytest.mark.pairings(("v2ray", "v2c"), ("v2ray", "v2ray"))
def test_control_any_user_takes_over_an_old_portal(own_tunnel, pairing):
    t = own_tunnel(pairing, with_guest("listed users"))
    with guest_request(t, DOMAIN) as c:
        fake = FakeBridge(c.read, c.send)
        assert fake.ready.wait(5)
        send_cookies(t)
        assert leaked(fake.seen) > 0
