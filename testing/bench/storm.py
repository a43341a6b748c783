"""Thousands of links at once: how long until all are back after a portal died, and after all of them did.

Three portals with a Redis; bridges of some v2c processes with a link each to every portal. Each link is its bridge's
own, with its own handshake, tunnel and entry in the registry, as if it came from a machine of its own.
"""
import argparse
import json
import os
import pathlib
import re
import sys
import tempfile
import time

import page
from system import raise_descriptor_limit

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "scenario"))

MARK = "<!-- storm -->"
GOAL = 30  # seconds
PORTALS = 3
EACH = 2000  # tunnels of a bridge process: that many times PORTALS links


def cpu_seconds(program):
    fields = pathlib.Path(f"/proc/{program.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Storm:
    def __init__(self, directory, links):
        from cluster import Cluster, Redis

        self.redis = Redis(directory)
        self.town = Cluster(directory, redis=self.redis, links=PORTALS)
        self.each = links // PORTALS  # links of each portal
        for node in self.town.nodes:
            config = json.loads(node.path.read_text())
            config["log"] = {"loglevel": "none"}
            node.path.write_text(json.dumps(config))
        self.bridges = [
            self.town.many_bridges(self.names(first), f"bridges-{first}", range(PORTALS))
            for first in range(0, self.each, EACH)
        ]

    def names(self, first):
        return [f"t{n}" for n in range(first, min(first + EACH, self.each))]

    def carriers(self, i):
        found = re.search(r"(?m)^portal>>>portal>>>carriers: (\d+)$", self.town.page(i, "/stats")[1])
        return int(found.group(1)) if found else 0

    def all_there(self, since, which=range(PORTALS)):
        """Seconds until these portals have all their links."""
        end = since + 300
        while any(self.carriers(i) < self.each for i in which):
            if time.monotonic() > end:
                sys.exit(f"after 300 s there are {[self.carriers(i) for i in which]} of {self.each} links each")
            time.sleep(0.1)
        return time.monotonic() - since

    def run(self):
        """Rows: what was done, links that had to come back, seconds, CPU seconds of the portals."""
        from rig import wait_for

        self.town.start()
        began = time.monotonic()
        for bridge in self.bridges:
            bridge.start()
        yield "first start of all bridges", self.each * PORTALS, self.all_there(began), self.cpu(0)
        wait_for(lambda: len(self.redis.keys("*t:*")) >= self.each, 120, "all tunnels in the registry")
        for what, which in (("one portal killed and started", [0]), ("all portals killed and started", range(PORTALS))):
            for i in which:
                self.town.nodes[i].kill()
            began, before = time.monotonic(), self.cpu(0, which)
            for i in which:
                self.town.nodes[i].start()
            yield what, self.each * len(which), self.all_there(began, which), self.cpu(before, which)

    def cpu(self, before, which=range(PORTALS)):
        """Of those that live; a new one begins with none."""
        return sum(cpu_seconds(self.town.nodes[i]) for i in which if self.town.nodes[i].alive()) - before

    def stop(self):
        self.town.end_now()


def report(rows):
    lines = ["| storm | links | seconds | CPU seconds of portals | goal | reached |", "| --- | --- | --- | --- | --- | --- |"]
    for what, links, seconds, cpu in rows:
        reached = "yes" if seconds <= GOAL else "**no**"
        lines.append(f"| {what} | {links:,} | **{seconds:.1f}** | {cpu:.1f} | {GOAL} s | {reached} |")
    return "\n".join(lines) + "\n"


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--links", type=int, default=20_000)
    page.add_into(arguments)
    options = arguments.parse_args()
    raise_descriptor_limit()
    with tempfile.TemporaryDirectory() as name:
        storm = Storm(pathlib.Path(name), options.links)
        try:
            text = report(list(storm.run()))
        finally:
            storm.stop()
    page.show(options, text, MARK)


if __name__ == "__main__":
    main()
