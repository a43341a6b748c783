"""What tunnels cost on one portal: memory of each with one link, and whether many make a visitor dearer.

The bridges are those of one v2c process with a link each; visitors name their tunnel at a SOCKS port of the portal.
"""
import argparse
import json
import os
import pathlib
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import uuid

import page
from system import free_port, raise_descriptor_limit

MARK = "<!-- tunnels -->"
COUNTS = (100, 1000, 10_000)
VISITS = 4000
KIB_MAX = 24


def listener():
    """Says one byte to everybody."""
    server = socket.create_server(("127.0.0.1", 0), backlog=512)

    def serve():
        while True:
            s, _ = server.accept()
            s.sendall(b"x")
            s.close()

    threading.Thread(target=serve, daemon=True).start()
    return server.getsockname()[1]


def rule(tag, outbound):
    return {"type": "field", "inboundTag": [tag], "outboundTag": outbound}


def inbound(tag, port, protocol, **settings):
    return {"tag": tag, "listen": "127.0.0.1", "port": port, "protocol": protocol, "settings": settings}


def configs(count, link, socks, target):
    user = str(uuid.uuid4())
    bridges = [{"tag": f"b{i}", "domain": f"t{i}.tunnel.test", "connections": 1, "portals": ["link"]}
               for i in range(count)]
    server = {"address": "127.0.0.1", "port": link, "users": [{"id": user, "alterId": 0}]}
    portal = {
        "log": {"loglevel": "none"},
        "reverse": {"portals": [{"tag": "portal", "domain": "*.tunnel.test"}]},
        "inbounds": [inbound("links", link, "vmess", clients=[{"id": user, "alterId": 0, "email": "all"}]),
                     inbound("door", socks, "socks", auth="password", accounts=[{"user": "u", "pass": "p"}])],
        "routing": {"rules": [rule("links", "portal"), rule("door", "portal")]},
    }
    bridge = {
        "log": {"loglevel": "none"},
        "reverse": {"bridges": bridges},
        "outbounds": [{"tag": "out", "protocol": "freedom", "settings": {"redirect": f"127.0.0.1:{target}"}},
                      {"tag": "link", "protocol": "vmess", "settings": {"vnext": [server]}}],
    }
    return portal, bridge


def rss_kib(pid):
    return int(re.search(r"Rss:\s+(\d+)", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()).group(1))


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_for(check, seconds, what):
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            sys.exit(f"waited {seconds} s in vain for {what}")
        time.sleep(0.05)


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
        return True
    except OSError:
        return False


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def visit(port, tunnel):
    name = f"t{tunnel}.tunnel.test".encode()
    with socket.create_connection(("127.0.0.1", port), 10) as s:
        s.sendall(b"\5\1\2")
        s.recv(2)
        s.sendall(b"\1\1u\1p")
        s.recv(2)
        s.sendall(b"\5\1\0\3" + bytes([len(name)]) + name + struct.pack(">H", 80))
        got = b""
        while more := s.recv(64):
            got += more
    if got[1:2] != b"\0" or got[-1:] != b"x":
        sys.exit(f"tunnel {tunnel} answered {got!r}")


def at_rest(portal, seconds):
    before, began = cpu_seconds(portal), time.monotonic()
    time.sleep(seconds)
    return (cpu_seconds(portal) - before) / (time.monotonic() - began)


def visitor_cost(portal, port, tunnels, rest):
    """CPU microseconds of the portal for a visitor, less what it takes without any."""
    before, began = cpu_seconds(portal), time.monotonic()
    for tunnel in tunnels:
        visit(port, tunnel)
    took = cpu_seconds(portal) - before - rest * (time.monotonic() - began)
    return took / len(tunnels) * 1e6


def measured(program, directory, count, visits, pause):
    link, socks = free_port(), free_port()
    running = []
    for name, config in zip(("portal", "bridge"), configs(count, link, socks, listener())):
        path = directory / f"{name}.json"
        path.write_text(json.dumps(config))
        path.chmod(0o600)
    try:
        running.append(subprocess.Popen([program, "-config", directory / "portal.json"]))
        portal = running[0].pid
        wait_for(lambda: answers(socks), 10, "the portal")
        time.sleep(0.5)  # who asked has left
        empty, files = rss_kib(portal), open_files(portal)
        running.append(subprocess.Popen([program, "-config", directory / "bridge.json"]))
        wait_for(lambda: open_files(portal) >= files + count, 60, f"{count} links")
        visit(socks, count - 1)
        time.sleep(pause)
        linked = rss_kib(portal) - empty
        rest = at_rest(portal, pause)
        one = visitor_cost(portal, socks, [count // 2] * visits, rest)
        each = visitor_cost(portal, socks, [i % count for i in range(max(count, visits))], rest)
        time.sleep(pause)
        return count, linked / count, (rss_kib(portal) - empty) / count, rest * 100, one, each
    finally:
        for process in running:
            process.kill()
            process.wait()


def report(rows):
    lines = ["| tunnels, a link each | KiB each | KiB each, once visited | CPU at rest: % | a visitor, one tunnel: CPU µs | all in turn: CPU µs | goal | reached |",
             "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for count, linked, after, rest, one, each in rows:
        lines.append(f"| {count:,} | **{linked:.1f}** | {after:.1f} | {rest:.1f} | {one:.0f} | {each:.0f} | {KIB_MAX} KiB | "
                     f"{'yes' if max(linked, after) <= KIB_MAX else '**no**'} |")
    return "\n".join(lines) + "\n"


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--v2c", type=pathlib.Path, required=True)
    page.add_into(arguments)
    arguments.add_argument("--quick", action="store_true", help="only that it works")
    options = arguments.parse_args()
    files = raise_descriptor_limit()
    counts = (20,) if options.quick else [n for n in COUNTS if n + 200 < files]
    with tempfile.TemporaryDirectory() as name:
        how = (20, 0.1) if options.quick else (VISITS, 3)
        text = report([measured(options.v2c.resolve(), pathlib.Path(name), n, *how) for n in counts])
    page.show(options, text, MARK)


if __name__ == "__main__":
    main()
