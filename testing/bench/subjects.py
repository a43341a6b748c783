"""What is measured: v2c, V2Ray and HAProxy, each as two processes; the yardstick; no tunnel at all.

`roles` says what a subject can be: "tunnel"; "service", a tunnel that can be restarted and has limits; "portal",
when portals and bridges can be put together freely; "workers"; "hop"; "far", with a long link in its middle.
"""
import json
import os
import socket
import sys
import time
import uuid
from dataclasses import dataclass

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenario"))

from certs import Cert
from system import HOST, NotMeasured, find_program, free_port

DOMAIN = "tunnel.example"
LINK_NAME = "link.example"  # in certificates; V2Ray does not ask for an address in one
SECURITY = "aes-128-gcm"
SERVED_SECONDS = 30


@dataclass
class Tunnel:
    """Where visitors go, and who carries them."""

    port: int
    portal: object = None
    bridge: object = None
    link_port: int = 0
    host: str = HOST

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    @property
    def processes(self):
        return [child for child in (self.portal, self.bridge) if child]


def wait_served(port, question, answer_start, seconds=SERVED_SECONDS):
    """Returns when a visitor of this port gets an answer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with socket.create_connection((HOST, port), 1) as s:
                s.sendall(question)
                if s.recv(4096).startswith(answer_start):
                    return
        except OSError:
            pass
        time.sleep(0.005)
    raise NotMeasured(f"no visitor was served within {seconds} s")


class Direct:
    """Visitors reach the origin without anything between."""

    name, roles = "direct", {"far"}

    def far_tunnel(self, _stage, origin, _near, far, _spaces):
        return Tunnel(origin, host=far)


class V2Like:
    """A program that reads V2Ray's configuration."""

    def __init__(self, name, command, *more_roles):
        self.name, self.command = name, command
        self.roles = {"tunnel", "service", "portal", "hop", "far", "travels", *more_roles}
        self.user = str(uuid.uuid4())

    def start(self, stage, name, config, space=None):
        config["log"] = {"loglevel": "error", "access": "none"}
        path = stage.write(name + ".json", json.dumps(config, indent=1))
        listens = [inbound["port"] for inbound in config.get("inbounds", [])]
        command = [find_program(self.command[0]), *self.command[1:], path]
        return stage.run(name, command, listens, space)

    @staticmethod
    def rule(inbound, outbound, **conditions):
        return {"type": "field", "inboundTag": [inbound], "outboundTag": outbound, **conditions}

    @staticmethod
    def inbound(tag, host, port, protocol, settings):
        return {"tag": tag, "listen": host, "port": port, "protocol": protocol, "settings": settings}

    def portal(self, stage, visitors, link, name="portal", host=HOST, space=None, **more):
        """Takes visitors on one port and the bridge on another. `more`: keys of the top level."""
        door = {"address": HOST, "port": 80, "network": "tcp"}
        clients = {"clients": [{"id": self.user, "alterId": 0}]}
        config = {
            "reverse": {"portals": [{"tag": "portal", "domain": DOMAIN}]},
            "inbounds": [
                self.inbound("visitors", HOST, visitors, "dokodemo-door", door),
                self.inbound("link", host, link, "vmess", clients),
            ],
            "routing": {"rules": [self.rule("visitors", "portal"), self.rule("link", "portal")]},
            **more,
        }
        return self.start(stage, name, config, space)

    def bridge(self, stage, links, origin, name="bridge", host=HOST, space=None, **more):
        """Dials the portals at the ports `links` and leads their visitors to the origin."""
        user = {"id": self.user, "alterId": 0, "security": SECURITY}
        web = {"tag": "web", "protocol": "freedom", "settings": {"redirect": f"{HOST}:{origin}"}}
        config = {"reverse": {"bridges": []}, "outbounds": [web], "routing": {"rules": []}, **more}
        for number, link in enumerate(links):
            bridge, out = f"bridge{number}", f"link{number}"
            vnext = [{"address": host, "port": link, "users": [user]}]
            config["reverse"]["bridges"].append({"tag": bridge, "domain": DOMAIN})
            config["outbounds"].append({"tag": out, "protocol": "vmess", "settings": {"vnext": vnext}})
            config["routing"]["rules"] += [
                self.rule(bridge, out, domain=["full:" + DOMAIN]),
                self.rule(bridge, "web"),
            ]
        return self.start(stage, name, config, space)

    def tunnel(self, stage, origin, portal_keys=None, bridge_keys=None):
        t = Tunnel(free_port(), link_port=free_port())
        t.portal = self.portal(stage, t.port, t.link_port, **(portal_keys or {}))
        t.bridge = self.bridge(stage, [t.link_port], origin, **(bridge_keys or {}))
        return t

    def far_tunnel(self, stage, origin, near, _far, spaces):
        """The portal at the address `near`, the bridge and the origin in the other namespace."""
        t = Tunnel(free_port(), link_port=free_port())
        t.portal = self.portal(stage, t.port, t.link_port, host=near, space=spaces[0])
        t.bridge = self.bridge(stage, [t.link_port], origin, host=near, space=spaces[1])
        return t

    def hop(self, stage, origin):
        """dokodemo-door to freedom: no tunnel."""
        t = Tunnel(free_port())
        door = {"address": HOST, "port": origin, "network": "tcp"}
        config = {
            "inbounds": [self.inbound("visitors", HOST, t.port, "dokodemo-door", door)],
            "outbounds": [{"protocol": "freedom", "settings": {}}],
        }
        t.portal = self.start(stage, "hop", config)
        return t


class Travelling(V2Like):
    """The same with a link that travels by TLS, whose certificate the bridge knows, by WebSocket, or both."""

    def __init__(self, name, command, tls=False, ws=False, security=SECURITY):
        super().__init__(name, command)
        self.roles = {"travels"}
        self.cert = Cert(names=[LINK_NAME]) if tls else None
        self.ws, self.security = ws, security

    def stream_settings(self, folder, server):
        settings = {"network": "ws", "wsSettings": {"path": "/link"}} if self.ws else {}
        if self.cert and server:
            ours = {"certificates": [self.cert.files(folder, "link")]}
            settings.update(security="tls", tlsSettings=ours)
        elif self.cert:
            trusted = {"certificates": [self.cert.trusted(folder, "link")], "disableSystemRoot": True}
            settings.update(security="tls", tlsSettings={**trusted, "serverName": LINK_NAME})
        return settings

    def start(self, stage, name, config, space=None):
        folder = os.path.dirname(stage.write(name + ".files", ""))
        for end in ("inbounds", "outbounds"):
            for one in config.get(end, []):
                if one["protocol"] != "vmess":
                    continue
                one["streamSettings"] = self.stream_settings(folder, end == "inbounds")
                for server in one["settings"].get("vnext", []):
                    server["users"] = [{**user, "security": self.security} for user in server["users"]]
        return super().start(stage, name, config, space)


class Entry(V2Like):
    """v2c with an ingress, which routes each request, in front of a portal that has many tunnels."""

    ID = "web"

    def __init__(self, name, command):
        super().__init__(name, command)
        self.roles = {"entry"}

    def portal(self, stage, visitors, link, **_):
        email = "bridge@bench"
        config = {
            "reverse": {
                "portals": [
                    {
                        "tag": "portal",
                        "domain": "*." + DOMAIN,
                        "claims": [{"user": email, "tunnels": [self.ID]}],
                    }
                ]
            },
            "inbounds": [
                self.inbound(
                    "visitors", HOST, visitors, "ingress", {"portal": "portal", "routes": [{"tunnel": self.ID}]}
                ),
                self.inbound("link", HOST, link, "vmess", {"clients": [{"id": self.user, "email": email}]}),
            ],
            "outbounds": [{"protocol": "blackhole", "tag": "nowhere"}],
            "routing": {"rules": [self.rule("link", "portal")]},
        }
        return self.start(stage, "portal", config)

    def bridge(self, stage, links, origin, **_):
        web = {"tag": "web", "protocol": "freedom", "settings": {"redirect": f"{HOST}:{origin}"}}
        user = {"id": self.user, "security": SECURITY}
        link = {"vnext": [{"address": HOST, "port": links[0], "users": [user]}]}
        domain = f"{self.ID}.{DOMAIN}"
        config = {
            "reverse": {"bridges": [{"tag": "bridge", "domain": domain}]},
            "outbounds": [web, {"tag": "link", "protocol": "vmess", "settings": link}],
            "routing": {"rules": [self.rule("bridge", "link", domain=["full:" + domain])]},
        }
        return self.start(stage, "bridge", config)


class NginxProxy:
    """nginx as a reverse proxy with connections kept to the origin: one hop, no tunnel."""

    name, roles = "nginx", {"entry"}

    def tunnel(self, stage, origin, **_):
        t = Tunnel(free_port())
        folder = stage.directory
        path = stage.write("proxy.conf", f"""
daemon off;
master_process off;
pid {folder}/proxy.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path {folder}/p1; proxy_temp_path {folder}/p2; fastcgi_temp_path {folder}/p3;
    uwsgi_temp_path {folder}/p4; scgi_temp_path {folder}/p5;
    upstream origin {{ server {HOST}:{origin}; keepalive 128; keepalive_requests 1000000; }}
    server {{
        listen {t.address} backlog=4096;
        location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
}}
""")
        command = [find_program("nginx"), "-c", path, "-p", folder, "-e", folder + "/proxy-error.log"]
        t.portal = stage.run("proxy", command, [t.port])
        return t


class Haproxy:
    """Plain TCP over two processes where portal and bridge stand: what relaying costs without a tunnel."""

    name, roles, mode = "haproxy", {"tunnel", "service", "hop"}, "tcp"

    def start(self, stage, name, listen, to):
        path = stage.write(name + ".cfg", f"""
global
    nbthread 1
    maxconn 9000
defaults
    mode {self.mode}
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen hop
    bind {listen} backlog 4096
    server next {to}
""")
        port = int(listen.rpartition(":")[2])
        return stage.run(name, [find_program("haproxy"), "-db", "-f", path], [port])

    def tunnel(self, stage, origin, **_):
        t = Tunnel(free_port(), link_port=free_port())
        t.bridge = self.start(stage, "bridge", f"{HOST}:{t.link_port}", f"{HOST}:{origin}")
        t.portal = self.start(stage, "portal", t.address, f"{HOST}:{t.link_port}")
        return t

    def hop(self, stage, origin):
        t = Tunnel(free_port())
        t.portal = self.start(stage, "hop", t.address, f"{HOST}:{origin}")
        return t


class HaproxyHttp(Haproxy):
    """HAProxy as a reverse proxy: one hop, no tunnel."""

    name, roles, mode = "haproxy-http", {"entry"}, "http"

    def tunnel(self, stage, origin, **_):
        return self.hop(stage, origin)


class LimitMux:
    """The yardstick, limit_mux.c."""

    name, roles = "limit-mux", {"tunnel"}

    def tunnel(self, stage, origin, **_):
        t = Tunnel(free_port(), link_port=free_port())
        program, visitors, link = stage.tools + "/limit_mux", str(t.port), str(t.link_port)
        t.portal = stage.run("portal", [program, "portal", visitors, link], [t.port, t.link_port])
        t.bridge = stage.run("bridge", [program, "bridge", link, str(origin)])
        return t


def all_subjects(v2c, others):
    """Every subject by name; `others` are more programs that run like v2c, as NAME=PATH."""
    programs = [("v2c", v2c), *(other.split("=", 1) for other in others)]
    found = [V2Like(name, [path, "run", "-c"], "workers", "entry") for name, path in programs]
    found += [Entry("v2c-entry", [v2c, "run", "-c"]), NginxProxy(), HaproxyHttp()]
    for name, command in (("v2c", [v2c, "run", "-c"]), ("v2ray", ["v2ray", "-config"])):
        found += [
            Travelling(name + "-tls", command, tls=True),
            Travelling(name + "-tls-none", command, tls=True, security="none"),
            Travelling(name + "-ws", command, ws=True),
            Travelling(name + "-wss", command, tls=True, ws=True),
        ]
    found += [V2Like("v2ray", ["v2ray", "-config"]), Haproxy(), LimitMux(), Direct()]
    return {subject.name: subject for subject in found}
