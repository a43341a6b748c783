"""Configurations of both sides, and the pairs of processes that make a tunnel."""
import uuid

from rig import HOST, Program, connect, first_good, free_port, free_ports

DOMAIN = "tunnel.test"
CONTROL_NAMES = (
    "reverse.internal.v2ray.com",
    "reverse.internal.v2fly.org",
    "reverse.internal.example.com",
    "reverse",
)
BRIDGE_EMAIL = "bridge@tunnel.test"
LOG = {"loglevel": "info"}


def rule(tags, outbound, **conditions):
    tags = [tags] if isinstance(tags, str) else tags
    return {"type": "field", "inboundTag": tags, "outboundTag": outbound, **conditions}


def dokodemo(tag, port, target_port, address=HOST, network="tcp", **more):
    return {
        "tag": tag,
        "listen": HOST,
        "port": port,
        "protocol": "dokodemo-door",
        "settings": {"address": address, "port": target_port, "network": network, **more},
    }


def vmess_in(tag, port, users):
    """`users`: pairs of id and e-mail address."""
    clients = [{"id": i, "alterId": 0, "email": email} for i, email in users]
    return {
        "tag": tag,
        "listen": HOST,
        "port": port,
        "protocol": "vmess",
        "settings": {"clients": clients},
    }


def vmess_out(tag, port, user_id, security="auto"):
    user = {"id": user_id, "alterId": 0, "security": security}
    server = {"address": HOST, "port": port, "users": [user]}
    return {"tag": tag, "protocol": "vmess", "settings": {"vnext": [server]}}


def add_status(config, port):
    """v2c's own status page, reached through an inbound of its own."""
    config["api"] = {"tag": "status"}
    config.setdefault("inbounds", []).append(dokodemo("status-in", port, 80))
    config["routing"]["rules"].insert(0, rule("status-in", "status"))


def portal_config(link_port, user_id, visitors):
    """`visitors`: dokodemo inbounds; all of them lead to the portal."""
    tags = [v["tag"] for v in visitors]
    return {
        "log": dict(LOG),
        "reverse": {"portals": [{"tag": "portal", "domain": DOMAIN}]},
        "inbounds": [*visitors, vmess_in("interconn", link_port, [(user_id, BRIDGE_EMAIL)])],
        "routing": {"rules": [rule(tags, "portal"), rule("interconn", "portal")]},
    }


def bridge_config(link_port, user_id, security="auto"):
    return {
        "log": dict(LOG),
        "reverse": {"bridges": [{"tag": "bridge", "domain": DOMAIN}]},
        "outbounds": [
            {"tag": "out", "protocol": "freedom"},
            vmess_out("interconn", link_port, user_id, security),
        ],
        "routing": {
            "rules": [
                rule("bridge", "interconn", domain=[f"full:{DOMAIN}"]),
                rule("bridge", "out"),
            ]
        },
    }


class Tunnel:
    """A portal and a bridge in front of the origins; every origin has a visitor port of its own:
    `web` (nginx), `origin` (the one with odd manners), `banner` (speaks first) and `udp`."""

    def __init__(self, directory, origins, portal="v2c", bridge="v2c", security="auto", via=None):
        """`via`, if given, makes a Relay from the portal's link port."""
        self.portal_kind, self.bridge_kind = portal, bridge
        self.user_id = str(uuid.uuid4())
        self.web, self.origin, self.banner, self.link, status_p, status_b = free_ports(6)
        self.udp = free_port(udp=True)
        visitors = [
            dokodemo("web", self.web, origins.web),
            dokodemo("origin", self.origin, origins.odd),
            dokodemo("banner", self.banner, origins.banner),
            dokodemo("datagrams", self.udp, origins.udp, network="udp"),
        ]
        self.portal_config = portal_config(self.link, self.user_id, visitors)
        self.relay = via(self.link) if via else None
        dial = self.relay.port if self.relay else self.link
        self.bridge_config = bridge_config(dial, self.user_id, security)
        self.portal_status = self.bridge_status = None
        if portal == "v2c":
            self.portal_status = status_p
            add_status(self.portal_config, status_p)
        if bridge == "v2c":
            self.bridge_status = status_b
            add_status(self.bridge_config, status_b)
        self.directory = directory
        self.portal = self.bridge = None

    def both_new(self):
        return self.portal_kind == self.bridge_kind == "v2c"

    def start(self):
        self.portal = Program(self.portal_kind, self.portal_config, self.directory, "portal")
        self.bridge = Program(self.bridge_kind, self.bridge_config, self.directory, "bridge")
        self.portal.start()
        self.bridge.start()
        first_good(self.web)
        return self

    def alive(self):
        return bool(self.portal and self.portal.alive() and self.bridge.alive())

    def stop(self):
        """Ends both sides and checks that they were well until then."""
        try:
            for program in (self.bridge, self.portal):
                if program:
                    program.stop()
        finally:
            self.end_now()

    def end_now(self):
        for program in (self.bridge, self.portal):
            if program and program.alive():
                program.kill()
        if self.relay:
            self.relay.close()

    def ask(self, line, timeout=10):
        """A connection to the odd origin that has sent its order."""
        s = connect(self.origin, timeout)
        s.sendall(line.encode() + b"\n")
        return s
