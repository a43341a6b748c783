"""A cluster: real Redis, portals, nginx in front of them as an L7 entry, bridges, and visitors who never stop asking.

Every process has ports that the kernel chose. In `Spaces` (spaces.py) each portal has a network of its own.
"""
import collections
import json
import pathlib
import random
import re
import signal
import socket
import subprocess
import threading
import time
import uuid

import admin
import rig
import spaces
from configs import bridge_config, dokodemo, rule, vmess_in, vmess_out
from rig import HOST, NGINX, SLOWER, Program, connect, free_port, free_ports, read_answer, wait_for

REDIS = "/usr/bin/redis-server"
DOMAIN = "tunnel.test"
HOSTS = ".hosts.test"  # in which bridges of the user "home" may have names
KEY = "6b" * 32
WS = {"network": "ws", "wsSettings": {"path": "/tunnel"}}


class Redis:
    """One redis-server without persistence; restart() gives an empty one, as a crash would."""

    def __init__(self, directory, port=None, address=HOST, space=None, **options):
        self.port, self.address, self.space = port or free_port(), address, space
        self.directory = pathlib.Path(directory) / f"redis-{self.port}"
        self.directory.mkdir(exist_ok=True)
        self.options = {"save": "", "appendonly": "no", "maxmemory-policy": "noeviction", **options}
        self.process = None
        self.start()

    def start(self):
        words = [REDIS, "--port", self.port, "--bind", self.address, "--dir", self.directory]
        words += ["--protected-mode", "no", "--logfile", self.directory / "log"]
        for name, value in self.options.items():
            words += [f"--{name}", value]
        command = spaces.prefix(self.space) + [str(w) for w in words]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        started(self.process, self._answers, 10 * SLOWER, f"redis on {self.port}")
        return self

    def _answers(self):
        try:
            with self.connection(1) as s:
                s.sendall(b"PING\r\n")
                return s.recv(7) != b""
        except OSError:
            return False

    def connection(self, timeout=10):
        return spaces.inside(self.space, lambda: socket.create_connection((self.address, self.port), timeout))

    def url(self, database=0):
        return f"redis://{self.address}:{self.port}/{database}"

    def ask(self, *words):
        """The answer to one command: text, in which a byte is a letter, a number, a list, or None; an error is raised."""
        with self.connection() as s, s.makefile("rb") as answers:
            password = self.options.get("requirepass")
            if password:
                s.sendall(_command(["AUTH", password]))
                _reply(answers)
            s.sendall(_command(words))
            return _reply(answers)

    def keys(self, pattern="*"):
        return sorted(self.ask("KEYS", pattern))

    def hash(self, key):
        found = self.ask("HGETALL", key)
        return dict(zip(found[::2], found[1::2]))

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.thaw()
            self.kill()


def started(process, check, seconds, what):
    """One that is not what it should be by then is not left behind."""
    try:
        wait_for(check, seconds, what)
    except BaseException:
        process.kill()
        process.wait()
        raise


def _command(words):
    data = [w if isinstance(w, bytes) else str(w).encode("latin-1") for w in words]
    return b"*%d\r\n" % len(data) + b"".join(b"$%d\r\n%s\r\n" % (len(d), d) for d in data)


def _reply(f):
    line = f.readline()
    if not line:
        raise EOFError("redis has gone")
    kind, rest = line[:1], line[1:-2]
    if kind == b"-":
        raise RuntimeError(rest.decode())
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if rest == b"-1" else f.read(int(rest) + 2)[:-2].decode("latin-1")
    if kind == b"*":
        return None if rest == b"-1" else [_reply(f) for _ in range(int(rest))]
    return rest.decode()


def _taken(port):
    """Somebody listens there, at whatever address."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("", port))
        except OSError:
            return True
    return False


class Node(Program):
    """A portal of a cluster, perhaps in a space of its own. Ports: entry (an ingress), links, peers, admin, and doors."""

    def __init__(self, config, directory, name, space=None):
        super().__init__("v2c", config, directory, name)
        self.space, self.environment = space, {}

    def command(self):
        settings = [f"{name}={value}" for name, value in self.environment.items()]
        return spaces.prefix(self.space) + ["/usr/bin/env", *settings, *super().command()]

    def start(self, ports=None):
        if not self.space:
            return super().start(ports)
        super().start([])
        wait_for(
            lambda: spaces.inside(self.space, lambda: all(_taken(p) for p, _ in self.ports)),
            15 * SLOWER, f"{self.name} to listen",
        )
        return self

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def drain(self, seconds):
        """SIGTERM; it ends by itself, with 0."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(seconds) == 0, self.name
        self.check_health()


class Cluster:
    """`count` portals. Doors: by tag, (tunnel, port of the server behind it): a port of each portal that leads there.
    `by_peers`: they know each other's addresses; `redis`: a Redis that they share. `more`: keys of "cluster"."""

    def __init__(self, directory, count=3, redis=None, by_peers=None, doors=None, net=None, drain=5, links=None,
                 claims=None, registry=None, routes=(), prepare=None, **more):
        self.directory, self.redis, self.net = pathlib.Path(directory), redis, net
        self.domain = DOMAIN
        self.users = {"home": str(uuid.uuid4()), "other": str(uuid.uuid4())}
        self.key = self.directory / "cluster.key"
        self.key.write_text(KEY + "\n")
        self.key.chmod(0o600)
        self.claims = claims or [
            {"user": "home", "tunnels": ["*"], "hosts": [HOSTS], "nodes": ["*"], "clusters": ["*"]},
            {"user": "other", "tenant": "other", "tunnels": ["*"], "hosts": [HOSTS]},
        ]
        self.ports = [dict(zip(("entry", "links", "ws", "peers", "admin"), free_ports(5))) for _ in range(count)]
        self.doors, self.registry, self.more = doors or {}, registry or {}, more
        self.by_peers = by_peers if by_peers is not None else redis is None
        self.node_drain, self.links = drain, links
        self.nodes, self.bridges, self.routes, self.prepare = [], [], list(routes), prepare
        for i in range(count):
            self.nodes.append(Node(self.config(i), directory, f"portal-{'abcdefgh'[i]}", self.space(i)))

    def space(self, i):
        return self.net.names[i] if self.net else None

    def address(self, i):
        return self.net.addresses[i] if self.net else HOST

    def config(self, i):
        ports, listen = self.ports[i], self.address(i)
        cluster = {
            "name": "test",
            "node": f"node-{'abcdefgh'[i]}",
            "key": f"file:{self.key}",
            "listen": f"{listen}:{ports['peers']}",
            **self.more,
        }
        if self.links is not None:
            cluster["links"] = self.links
        if self.by_peers:
            cluster["peers"] = [
                f"{self.address(j)}:{p['peers']}" for j, p in enumerate(self.ports) if j != i
            ]
        if self.redis:
            cluster["registry"] = {"redis": self.redis.url(), **self.registry}
        entry = {
            "tag": "entry", "listen": listen, "port": ports["entry"], "protocol": "ingress",
            "settings": {"portal": "portal", "routes": self.routes},
        }  # fmt: skip
        links = vmess_in("links", ports["links"], [(i, name) for name, i in self.users.items()])
        links["listen"] = listen
        ws = {**links, "tag": "ws", "port": ports["ws"], "streamSettings": dict(WS)}
        doors = []
        for tag, (tunnel, target) in self.doors.items():
            port = ports.setdefault(tag, free_port())
            door = dokodemo(tag, port, target, "door.test", tunnel=tunnel)
            door["listen"] = listen
            doors.append(door)
        config = {
            "log": {"loglevel": "info", "access": "none"},
            "drain": self.node_drain,
            "cluster": cluster,
            "api": {"tag": "admin", "listen": f"{HOST}:{ports['admin']}", "token": admin.TOKEN},
            "reverse": {
                "portals": [{"tag": "portal", "domain": f"*.{DOMAIN}", "claims": self.claims}]
            },
            "inbounds": [entry, links, ws, *doors],
            "routing": {"rules": [rule(["links", "ws", *self.doors], "portal")]},
        }
        if self.prepare:
            self.prepare(i, config)
        return config

    def start(self):
        for node in self.nodes:
            node.start()
        self.wait_ready()
        return self

    def wait_ready(self, seconds=12 * SLOWER):
        for i in range(len(self.nodes)):
            wait_for(lambda: self.page(i, "/ready")[0] == 200, seconds, f"portal {i} to be ready")

    def page(self, i, path, method="GET", body=None):
        """Status and text of a page of a portal's api."""
        request = admin.request(method, path, {**admin.AUTHORIZATION, **admin.JSON}, body)
        try:
            with spaces.inside(self.space(i), lambda: connect(self.ports[i]["admin"], 5)) as s:
                s.sendall(request)
                answer = read_answer(s)
                return answer.status, answer.text
        except (OSError, EOFError):
            return 0, ""

    def json(self, i, path):
        status, text = self.page(i, path)
        return json.loads(text) if status == 200 else {}

    def carriers(self, i):
        """By tunnel, the carriers that this portal has itself."""
        found = self.json(i, "/v1/tunnels").get("tunnels", [])
        return {t["tunnel"]: t["carriers"] for t in found if t["carriers"]}

    def wait_carriers(self, tunnel, count, seconds=10 * SLOWER, at=None):
        """All portals, or those of `at`, have so many carriers of the tunnel, together."""
        which = range(len(self.nodes)) if at is None else at
        wait_for(
            lambda: sum(self.carriers(i).get(tunnel, 0) for i in which if self.nodes[i].alive()) >= count,
            seconds, f"{count} carriers of {tunnel}",
        )

    def bridge(self, tunnel, target, to, name=None, user="home", hosts=(), connections=1, space=None, front=None,
               **more):
        """A bridge with `connections` links to each portal of `to`, or, with the port `front`, to what is there."""
        config, outs = bridge_config(0, self.users[user]), self._outs(user, to, front)
        config["outbounds"].pop()
        made = {
            "tag": "bridge", "domain": f"{tunnel}.{DOMAIN}", "connections": connections,
            "portals": [o["tag"] for o in outs], **more,
        }  # fmt: skip
        if hosts:
            made["hosts"] = list(hosts)
        config["reverse"]["bridges"] = [made]
        config["outbounds"] = [*config["outbounds"], *outs]
        config["outbounds"][0]["settings"] = {"redirect": f"{HOST}:{target}"}
        config["routing"]["rules"] = [rule("bridge", config["outbounds"][0]["tag"])]
        program = Node(config, self.directory, name or f"bridge-{len(self.bridges)}", space)
        self.bridges.append(program)
        return program.start()

    def _outs(self, user, to, front):
        outs = []
        for number, i in enumerate([None] if front else to):
            out = vmess_out(f"portal-{number}", front or self.ports[i]["links"], self.users[user])
            out["settings"]["vnext"][0]["address"] = HOST if front else self.address(i)
            if front:
                out["streamSettings"] = dict(WS)
            outs.append(out)
        return outs

    def many_bridges(self, tunnels, name, to=(), front=None):
        """One process, not yet started, with a bridge for each of the tunnels."""
        outs = self._outs("home", to, front)
        portals = [o["tag"] for o in outs]
        made = [
            {"tag": f"bridge-{t}", "domain": f"{t}.{DOMAIN}", "connections": 1, "portals": portals} for t in tunnels
        ]
        config = {
            "log": {"loglevel": "warning"},
            "reverse": {"bridges": made},
            "outbounds": [{"tag": "out", "protocol": "freedom"}, *outs],
        }
        self.bridges.append(Node(config, self.directory, name))
        return self.bridges[-1]

    def entries(self, *which):
        return [self.ports[i]["entry"] for i in which or range(len(self.nodes))]

    def visits(self, which, host, **more):
        """Visitors at the entries of these portals, or at a port (of nginx)."""
        ports = [which] if isinstance(which, int) else [(self.address(i), self.ports[i]["entry"]) for i in which]
        return Visits(ports, host, space=self.net and self.net.hub, **more)

    def __enter__(self):
        """Started, or nothing of it is left."""
        try:
            return self.start()
        except BaseException:
            self.end_now()
            raise

    def __exit__(self, failed, *_):
        try:
            if not failed:
                self.stop()
        finally:
            self.end_now()

    def end_now(self):
        """Whatever is still there goes, and the Redis with it."""
        for program in [*self.bridges, *self.nodes]:
            if program.alive():
                program.kill()
        if self.redis:
            self.redis.stop()

    def stop(self):
        """All must have been well until now."""
        first = None
        for program in [*self.bridges, *self.nodes]:
            try:
                if program.alive():
                    program.process.send_signal(signal.SIGCONT)
                program.stop()
            except AssertionError as error:
                first = first or error
                program.kill()
        if first:
            raise first


class Front:
    """nginx as an L7 entry, with the rules of an Ingress: one host for bridges by WebSocket, all others for visitors."""

    def __init__(self, directory, cluster, name="front"):
        self.port, self.cluster = free_port(), cluster
        self.directory = pathlib.Path(directory) / name
        self.directory.mkdir()
        temp = "".join(
            f"{kind}_temp_path {self.directory}/{kind}; "
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )

        def upstream(what, more=""):
            servers = "".join(
                f"server {cluster.address(i)}:{p[what]} max_fails=1 fail_timeout=1s; "
                for i, p in enumerate(cluster.ports)
            )
            return f"upstream {what} {{ {servers} {more} }}"

        conf = self.directory / "nginx.conf"
        conf.write_text(
            f"""daemon off; master_process off; worker_processes 1; pid {self.directory}/pid;
            error_log {self.directory}/error.log; events {{ worker_connections 4096; }}
            http {{ access_log off; {temp}
                {upstream("ws")} {upstream("entry", "keepalive 16;")}
                server {{ listen {HOST}:{self.port} backlog=1024 default_server;
                    location / {{ proxy_pass http://entry; proxy_http_version 1.1; proxy_set_header Connection "";
                        proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; }} }}
                server {{ listen {HOST}:{self.port}; server_name {DOMAIN} {HOST};
                    location / {{ proxy_pass http://ws; proxy_http_version 1.1; proxy_read_timeout 120s;
                        proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }} }} }}"""
        )
        self.process = subprocess.Popen(
            [NGINX, "-c", conf, "-p", self.directory, "-e", self.directory / "error.log"],
            stdin=subprocess.DEVNULL,
        )
        started(self.process, lambda: rig.listening(self.port), 10, "nginx to listen")

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


# ----------------------------------------------------------------------------------------------- visitors

Visit = collections.namedtuple("Visit", "at began took error")  # error: None if all was right


def visit(at, host, path="/small.txt", want=b"small\n", timeout=10):
    """One request on a connection of its own; None, or what was wrong."""
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    try:
        with socket.create_connection(at, timeout) as s:
            s.sendall(request)
            answer = read_answer(s)
    except (OSError, EOFError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return None if (answer.status, answer.body) == (200, want) else f"{answer.status}: {answer.body[:60]!r}"


class Visits:
    """Visitors who ask one after the other, at all addresses in turn, until they are stopped."""

    def __init__(self, places, host, threads=3, pause=0.01, path="/small.txt", want=b"small\n", space=None,
                 timeout=10):
        places = [p if isinstance(p, tuple) else (HOST, p) for p in places]
        self.done, self.stopping = [], threading.Event()
        self.what = (host, path, want, timeout)

        def ask(number):
            turn = number
            while not self.stopping.is_set():
                at, began = places[turn % len(places)], time.monotonic()
                error = visit(at, *self.what)
                self.done.append(Visit(at, began, time.monotonic() - began, error))
                turn += 1
                self.stopping.wait(pause * random.uniform(0.5, 1.5))

        self.threads = [
            threading.Thread(target=spaces.inside, args=(space, lambda n=n: ask(n)), daemon=True)
            for n in range(threads)
        ]
        for t in self.threads:
            t.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join(30)
        return self

    def go_on(self, seconds, least=5):
        """Time for so many more requests; the time at which it began."""
        since = time.monotonic()
        threading.Event().wait(seconds)
        wait_for(lambda: len(self.since(since)) >= least, 30, "visitors to go on")
        return since

    def since(self, moment):
        return [v for v in list(self.done) if v.began >= moment]

    def failed(self, since=0):
        return [v for v in list(self.done) if v.began >= since and v.error]

    def percentile(self, share, since=0, until=float("inf")):
        took = sorted(v.took for v in list(self.done) if since <= v.began < until)
        return took[min(len(took) - 1, int(len(took) * share))]


def first_word(cluster, name):
    """The first number of a counter in /stats of each portal that lives."""
    found = []
    for i, node in enumerate(cluster.nodes):
        got = re.search(rf"(?m)^{re.escape(name)}: (\d+)$", cluster.page(i, "/stats")[1]) if node.alive() else None
        found.append(int(got.group(1)) if got else None)
    return found
