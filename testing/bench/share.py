"""A portal that is new in a cluster: how many of the links come to it, and when, while visitors never stop asking.

Two portals with all links, and a third; bridges know one address, nginx's, which deals them out to all three.
"""
import argparse
import contextlib
import pathlib
import sys
import tempfile
import time

import page
from system import raise_descriptor_limit

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "scenario"))

MARK = "<!-- share -->"
LOOKS = (30, 60, 120, 300, 600)  # seconds after its start
GOAL = 0.8  # of its share, at the last look


class Newcomer:
    def __init__(self, stack, directory, tunnels):
        from cluster import Cluster, Front, Redis
        from origins import labelled

        self.tunnels = tunnels
        self.town = stack.enter_context(Cluster(directory, redis=Redis(directory)))
        front = Front(directory, self.town)
        stack.callback(front.stop)
        origin = labelled("small\n")
        stack.callback(origin.close)
        self.town.nodes[2].kill()
        self.town.bridge("home", origin.port, [0], hosts=["a.hosts.test"], front=front.port)
        self.town.many_bridges([f"t{n}" for n in range(tunnels)], "crowd", front=front.port).start()

    def links(self):
        from cluster import first_word

        return [n or 0 for n in first_word(self.town, "portal>>>portal>>>carriers")]

    def run(self):
        """Rows: seconds, links of each portal; and the visits, of which some failed."""
        from cluster import visit
        from rig import HOST, wait_for

        all_links = 2 * (self.tunnels + 1)
        wait_for(lambda: sum(self.links()) == all_links, 120, "all links to two portals")
        for port in self.town.entries(0, 1):
            wait_for(lambda: visit((HOST, port), "a.hosts.test") is None, 60, "the hostname at both portals")
        rows = []
        with self.town.visits([0, 1], "a.hosts.test", pause=0.1) as visits:
            self.town.nodes[2].start()
            since = time.monotonic()
            for seconds in LOOKS:
                time.sleep(max(0, since + seconds - time.monotonic()))
                rows.append((seconds, self.links()))
        for bad in visits.failed()[:5]:
            print(f"after {bad.began - since:.2f} s: {bad.error}", file=sys.stderr)
        return rows, len(visits.done), len(visits.failed())


def report(rows, visits, failed):
    lines = ["| seconds | links of the others | links of the new portal | of its share |", "| --- | --- | --- | --- |"]
    for seconds, links in rows:
        share = links[2] / (sum(links) / 3)
        lines.append(f"| {seconds} | {links[0]:,} and {links[1]:,} | {links[2]:,} | **{share:.2f}** |")
    reached = "reached" if share >= GOAL and not failed else "**not reached**"
    return "\n".join(lines) + f"\n\nGoal {GOAL} after ten minutes and no visit failed, {reached}: {failed} of {visits:,} failed.\n"


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--tunnels", type=int, default=1000)
    page.add_into(arguments)
    options = arguments.parse_args()
    raise_descriptor_limit()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        text = report(*Newcomer(stack, pathlib.Path(name), options.tunnels).run())
    page.show(options, text, MARK)


if __name__ == "__main__":
    main()
