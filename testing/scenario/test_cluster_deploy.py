"""deploy/ as it is: three portals with its portal.json, Redis as its manifests start it, nginx with its nginx.conf, each in
a network of its own with the addresses and ports that are written there, and the line of a bridge."""
import re
import shutil
import socket
import subprocess
import threading

import pytest

import rig
import spaces
from cluster import Node, Visits
from nameserver import Zone
from rig import NGINX, SLOWER, wait_for
from spaces import NETWORK, Spaces
from test_deploy import COMPOSE, DEPLOY, KUBERNETES, PORTAL, TUNNEL, ports, secrets

REFUSED = spaces.refused()
pytestmark = [pytest.mark.v2c, pytest.mark.skipif(bool(REFUSED), reason=f"no network namespaces: {REFUSED}")]

PORTALS = [name for name in COMPOSE["services"] if name.startswith("portal-")]
PLACES = [*PORTALS, "redis", "entry", "bridge"]  # each has a network of its own

# /etc and /run are others in there. $0: the folder for /etc; $1: the secrets.
INSIDE = """
mount --bind "$0" /etc && mount -t tmpfs none /run && mkdir /run/secrets && cp -r "$1" /run/secrets/v2c || exit
shift
exec "$@"
"""
NAMESERVER = f"{NETWORK}.1"  # in the hub, with the visitors


class Names:
    """What the cluster's DNS says: the places, and all portals by one name."""

    def __init__(self, space, addresses):
        names = {place: [at] for place, at in addresses.items()}
        names["v2c-peers"] = [addresses[place] for place in PORTALS]
        names["gost.local"] = names["entry"]
        self.zone = Zone(names, ttl=1)
        self.socket = spaces.inside(space, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.socket.bind((NAMESERVER, 53))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                message, asker = self.socket.recvfrom(4096)
            except OSError:
                return
            for answer in self.zone.answers(message, "udp"):
                self.socket.sendto(answer, asker)

    def close(self):
        self.socket.close()


class Placed(Node):
    """A program at one of the places."""

    def __init__(self, stack, place, words, listens=()):
        super().__init__({}, stack.directory, place, stack.net.names[PLACES.index(place)])
        self.words, self.stack = words, stack
        self.ports = [(port, False) for port in listens]

    def command(self):
        return ["nsenter", f"--net=/run/netns/{self.space}", "unshare", "--mount", "sh", "-c", INSIDE,
                *map(str, (self.stack.etc, self.stack.secrets, *self.words))]


class Stack:
    def __init__(self, directory):
        self.directory, self.net, self.running = directory, Spaces(len(PLACES)), []
        self.net.add_hub_address(1)
        self.address = dict(zip(PLACES, self.net.addresses))
        self.names = Names(self.net.hub, self.address)
        self.secrets = secrets(directory)
        self.etc = directory / "etc"
        (self.etc / "v2c").mkdir(parents=True)
        for name in ("passwd", "group", "nsswitch.conf"):
            shutil.copy(f"/etc/{name}", self.etc)
        (self.etc / "hosts").write_text("127.0.0.1 localhost\n", encoding="ascii")
        (self.etc / "resolv.conf").write_text(f"nameserver {NAMESERVER}\n", encoding="ascii")
        portal = KUBERNETES["ConfigMap", "v2c-portal"]["data"]["portal.json"]
        (self.etc / "v2c/portal.json").write_text(portal, encoding="utf-8")

    def run(self, place, words, listens=()):
        program = Placed(self, place, words, listens)
        self.running.append(program)
        return program.start()

    def portal(self, place):
        arguments = PORTAL["containers"][0]["args"]
        environment = [f"POD_NAME={place}", f"POD_IP={self.address[place]}"]
        return self.run(place, ["env", *environment, rig.V2C, *arguments], ports(PORTAL).values())

    def redis(self):
        pod = KUBERNETES["Deployment", "redis"]["spec"]["template"]["spec"]
        container = pod["containers"][0]
        (self.directory / "data").mkdir()
        [line] = [a.replace("/data", str(self.directory / "data")) for a in container["args"]]
        return self.run("redis", [*container["command"], line], ports(pod).values())

    def entry(self):
        """The image's nginx.conf is around it."""
        at = self.directory / "nginx"
        at.mkdir()
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temp = " ".join(f"{kind}_temp_path {at}/{kind};" for kind in kinds)
        (at / "nginx.conf").write_text(
            f"daemon off; master_process off; pid {at}/pid; events {{}}\n"
            f"http {{ access_log off; {temp} include {DEPLOY}/cluster/nginx.conf; }}", encoding="utf-8")
        return self.run("entry", [NGINX, "-c", at / "nginx.conf", "-p", at, "-e", at / "error.log"], [80])

    def bridge(self):
        """The line of the README, in the folder that it serves. The hostname that it was given."""
        files = self.directory / "files"
        files.mkdir()
        (files / "small.txt").write_text("small\n", encoding="ascii")
        line = ["bridge", "--to", "ws://gost.local:80", "--tunnel", TUNNEL, "file:."]
        program = self.run("bridge", ["env", "-C", files, rig.V2C, *line])
        return program.wait_log(r"reachable at http://([0-9a-f]{16}\.gost\.local)\b", 10 * SLOWER).group(1)

    def ask(self, url, *more):
        """As visitors would, who have the name from the DNS; status and body."""
        host = re.match(r"http://([^/:]+)", url).group(1)
        words = ["curl", "-sS", "-m", "10", "-w", "\n%{http_code}", "--resolve", f"{host}:80:{self.address['entry']}"]
        done = subprocess.run([*spaces.prefix(self.net.hub), *words, *more, url], capture_output=True, text=True,
                              timeout=20, check=False)
        body, _, status = done.stdout.rpartition("\n")
        return int(status or 0), body

    def is_ready(self, place):
        return self.ask(f"http://{self.address[place]}:9090/ready")[0] == 200

    def start(self):
        self.redis()
        self.portals = [self.portal(place) for place in PORTALS]
        self.entry()
        for place in PORTALS:
            wait_for(lambda place=place: self.is_ready(place), 20 * SLOWER, f"{place} to be ready")
        return self

    def stop(self):
        try:
            for program in reversed(self.running):
                program.stop()
        finally:
            for program in self.running:
                if program.alive():
                    program.kill()
            self.names.close()
            self.net.close()


@pytest.fixture
def stack(tmp_path):
    made = Stack(tmp_path)
    try:
        yield made.start()
    finally:
        made.stop()


def test_the_line_of_the_readme_is_served_by_all_portals(stack):
    host = stack.bridge()
    assert stack.ask(f"http://{host}/small.txt") == (200, "small\n")
    assert "small.txt" in stack.ask(f"http://{host}/")[1]
    for place in PORTALS:  # each of them alone
        at = (stack.address[place], 8080)
        with Visits([at], host, threads=1, space=stack.net.hub) as visits:
            visits.go_on(0.2, least=10)
        assert not visits.failed(), place
    assert stack.ask("http://0123456789abcdef.gost.local/")[0] == 404
    assert stack.ask("http://gost.local/")[0] == 404  # a web server that has no such page
    for place in PORTALS:  # the port of the probes lets nobody do anything
        assert stack.ask(f"http://{stack.address[place]}:9090/v1/drain", "-X", "POST", "-d", "{}", "-H",
                         "Content-Type: application/json")[0] in (401, 403), place
        assert stack.ask(f"http://{stack.address[place]}:9090/metrics")[0] == 200


def test_any_part_may_go_while_visitors_come(stack):
    """The last portal comes back while Redis is away: it finds the others by their name."""
    host = stack.bridge()
    redis, *_ = stack.running
    with Visits([(stack.address["entry"], 80)], host, space=stack.net.hub) as visits:
        visits.go_on(0.5)
        for portal in stack.portals:
            if portal is stack.portals[-1]:
                redis.kill()
                visits.go_on(1)
            portal.kill()
            visits.go_on(1)
            portal.start()
            wait_for(lambda: stack.is_ready(portal.name), 20 * SLOWER, f"{portal.name} to be ready again")
        visits.go_on(0.5)
    assert not visits.failed()
