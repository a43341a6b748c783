#!/usr/bin/python3
"""A cluster under load while something fails every 20 s: three portals, a Redis, nginx in front, two bridges.

Visitors ask at each portal and at nginx all the time, and streams check their bytes. A request may fail only at a portal
that was killed, while it is away, or if it was under way at the moment of a kill. Prints `name value unit limit
PASS|FAIL` for each figure and ends with 1 when one failed.
"""
import argparse
import collections
import random
import signal
import threading
import time

import harness
from harness import GATES, VISIBLE, HOST, SLOWER, wait_for
from soak import Figures, run_soak

import cluster
from cluster import Cluster, Front, Redis, Visits, visit
from origins import labelled

TUNNEL, NAME = "web", "web" + cluster.HOSTS
BACK, REGISTERED = 3 * SLOWER, 30 * SLOWER  # seconds
LATE = 0.005 * SLOWER  # that a hundredth of the visitors may wait longer while Redis fails
CARRIERS = 4

Fault = collections.namedtuple("Fault", "name began ended portal")  # portal: that was away, or None


class Town:
    """What fails, and who notices."""

    def __init__(self, directory, seed):
        self.web = labelled("small\n")
        self.origin = harness.Origin(directory)
        self.redis = Redis(directory)
        self.cluster = Cluster(
            directory, redis=self.redis, doors={"door": ("streams", 80)}, links=2, spread=2, drain=8,
        )  # fmt: skip
        self.front, self.seed, self.directory = Front(directory, self.cluster), seed, directory
        self.moments = []  # of kills: what was under way then may fail

    def start(self):
        self.cluster.start()
        for name, tunnel, port in (
            ("web-1", TUNNEL, self.web.port), ("web-2", TUNNEL, self.web.port),
            ("streams-1", "streams", self.origin.tcp), ("streams-2", "streams", self.origin.tcp),
        ):  # fmt: skip
            hosts = [NAME] if tunnel == TUNNEL else []
            self.cluster.bridge(tunnel, port, [], name=name, front=self.front.port, hosts=hosts, connections=2)
        self.settle(REGISTERED)

    def settle(self, seconds):
        """All links are there, and everybody serves."""
        for tunnel in (TUNNEL, "streams"):
            self.cluster.wait_carriers(tunnel, CARRIERS, seconds)
        for port in self.cluster.entries():
            wait_for(lambda: visit((HOST, port), NAME) is None, seconds, f"the host at port {port}")

    def load(self, seconds):
        ports = [p["door"] for p in self.cluster.ports]
        return harness.Load(
            self.directory, ports, self.seed, streams=12, seconds=seconds, grace=60, slow=5, cut=3, abort=3,
            patience=40, retry=0.2, max=1 << 20,
        )  # fmt: skip

    def stop(self):
        try:
            self.cluster.stop()
            return self.origin.stop()
        finally:
            self.end_now()

    def end_now(self):
        for program in [*self.cluster.bridges, *self.cluster.nodes]:
            if program.alive():
                program.kill()
        self.front.stop()
        self.redis.stop()
        self.web.close()
        if self.origin.process.poll() is None:
            self.origin.stop()


class Faults:
    """Each method is a fault; it returns the portal that was away meanwhile, or None, when the fault is over."""

    def __init__(self, town, dice):
        self.town, self.dice = town, dice
        self.redis_may_fail = True

    def names(self):
        found = [name[3:] for name in dir(self) if name.startswith("do_")]
        return [n for n in found if self.redis_may_fail or not n.startswith("redis_")]

    def pause(self, low, high):
        threading.Event().wait(self.dice.uniform(low, high))

    def _portal(self):
        return self.dice.randrange(len(self.town.cluster.nodes))

    def _away(self, i):
        """It comes back after a while, and is ready."""
        self.pause(0, 5)
        self.town.cluster.nodes[i].start()
        wait_for(lambda: self.town.cluster.page(i, "/ready")[0] == 200, 15 * SLOWER, "it to be ready")
        port = self.town.cluster.entries(i)[0]
        wait_for(lambda: visit((HOST, port), NAME) is None, 10 * SLOWER, "it to serve")
        return i

    def do_portal_killed(self):
        i = self._portal()
        self.town.moments.append(time.monotonic())
        self.town.cluster.nodes[i].kill()
        return self._away(i)

    def do_portal_updated(self):
        i = self._portal()
        self.town.cluster.nodes[i].drain(30 * SLOWER)
        return self._away(i)

    def do_portal_frozen(self):
        i = self._portal()
        self.town.moments.append(time.monotonic())
        self.town.cluster.nodes[i].freeze()
        self.pause(0.5, 5)
        self.town.cluster.nodes[i].thaw()
        self.pause(1, 2)  # what waited at it is done
        return i

    def do_portal_reloaded(self):
        self.town.cluster.nodes[self._portal()].process.send_signal(signal.SIGHUP)

    def do_bridge_killed(self):
        bridge = self.dice.choice(self.town.cluster.bridges)
        self.town.moments.append(time.monotonic())
        bridge.kill()
        self.pause(0, 3)
        bridge.start()

    def do_bridge_updated(self):
        bridge = self.dice.choice(self.town.cluster.bridges)
        bridge.drain(30 * SLOWER)
        bridge.start()

    def do_bridge_frozen(self):
        bridge = self.dice.choice(self.town.cluster.bridges)
        self.town.moments.append(time.monotonic())
        bridge.freeze()
        self.pause(0.5, 4)
        bridge.thaw()

    def do_redis_killed(self):
        self.town.redis.kill()
        self.pause(0, 15)
        self.town.redis.start()

    def do_redis_frozen(self):
        self.town.redis.freeze()
        self.pause(1, 15)
        self.town.redis.thaw()

    def do_redis_flushed(self):
        self.town.redis.ask("FLUSHALL")

    def do_redis_full(self):
        self.town.redis.ask("CONFIG", "SET", "maxmemory", "1")
        self.pause(1, 10)
        self.town.redis.ask("CONFIG", "SET", "maxmemory", "0")

    def do_redis_cut(self):
        for _ in range(10):
            self.town.redis.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            self.pause(0, 0.3)


class Soak:
    def __init__(self, directory, options):
        self.options, self.dice, self.figures = options, random.Random(options.seed), Figures()
        self.town = Town(directory, options.seed)
        self.faults, self.done = Faults(self.town, self.dice), []
        self.healing = collections.defaultdict(list)

    def end_now(self):
        self.town.end_now()

    def one(self, name):
        began = time.monotonic()
        print(f"# {began - self.begun:.1f} s: {name}", flush=True)
        portal = getattr(self.faults, "do_" + name)()
        ended = time.monotonic()
        self.done.append(Fault(name, began, ended, portal))
        try:
            self.town.settle(REGISTERED)
            self.healing[name].append(time.monotonic() - ended)
        except AssertionError as error:
            self.figures.add(f"healed_after_{name}", str(error).replace(" ", "_"), "s", REGISTERED, False)
        for program in [*self.town.cluster.nodes, *self.town.cluster.bridges]:
            if not program.alive():
                self.figures.add(f"died_{program.name}", program.process.returncode, "code", 0, False)
                program.start()

    def until(self, end):
        """A fault every `lull` seconds."""
        due = time.monotonic()
        while True:
            due = max(due + self.options.lull, time.monotonic())
            if due > end:
                break
            threading.Event().wait(due - time.monotonic())
            self.one(self.dice.choice([n for n in self.faults.names() if n not in self.options.without]))
        threading.Event().wait(max(0, end - time.monotonic()))

    def redis_is_away(self, seconds):
        """For minutes, and other things fail meanwhile."""
        self.town.redis.kill()
        self.faults.redis_may_fail = False
        began = time.monotonic()
        self.until(began + seconds)
        self.faults.redis_may_fail = True
        self.town.redis.start()
        self.done.append(Fault("redis_away", began, time.monotonic(), None))

    def run(self):
        self.town.start()
        self.begun = time.monotonic()
        end = self.begun + self.options.seconds
        load = self.town.load(self.options.seconds)
        places = [*((HOST, p) for p in self.town.cluster.entries()), (HOST, self.town.front.port)]
        visits = [Visits([p], NAME, threads=1, pause=0.03) for p in places]
        threading.Event().wait(min(20, self.options.seconds / 10))  # how it is when nothing fails
        self.calm = time.monotonic()
        self.redis_is_away(min(600, self.options.seconds / 3))
        self.until(end)
        load.enough()
        self.town.settle(REGISTERED)
        for v in visits:
            v.stop()
        result, last = load.wait(), self.town.stop()
        self.report(visits, [result, last])

    def excused(self, v, i):
        """Its portal was away, or a kill came while it was under way."""
        over = v.began + v.took
        if any(v.began <= at <= over for at in self.town.moments):
            return True
        return any(f.portal == i and f.began <= over and v.began <= f.ended for f in self.done)

    def report(self, visits, results):
        for i, v in enumerate(visits):
            name = "abc"[i] if i < 3 else "front"
            wrong = [bad for bad in v.failed() if not self.excused(bad, i)]
            self.figures.add(f"failed_{name}", len(wrong), f"of_{len(v.done)}", 0, not wrong)
            for bad in wrong[:5]:
                print(f"#   {bad.began - self.begun:.2f} s, after {bad.took:.2f} s: {bad.error}")
        self.latency(visits[:3])
        for name, took in sorted(self.healing.items()):
            limit = REGISTERED if name == "redis_flushed" else 2 * BACK
            self.figures.add(f"healed_{name}", f"{max(took):.2f}", "s", limit, max(took) <= limit)
        for gate in GATES:
            found = sum(getattr(r, gate) for r in results)
            self.figures.add(gate, found, "streams", 0, found == 0)
        for r in results:
            print(f"# {r.role}: {r.ok} ok, {sum(getattr(r, name) for name in VISIBLE)} visible errors")
        print(f"# faults: {collections.Counter(f.name for f in self.done)}")

    def latency(self, visits):
        """Of visitors whom only Redis troubled."""
        others = [f for f in self.done if not f.name.startswith("redis_")]

        def percentile(share, windows):
            took = sorted(
                v.took for vs in visits for v in vs.done
                if any(a <= v.began <= b for a, b in windows)
                and not any(f.began - 1 <= v.began <= f.ended + 5 for f in others)
            )  # fmt: skip
            return took[int(len(took) * share)] if took else 0

        calm = percentile(0.99, [(self.begun, self.calm)])
        late = percentile(0.99, [(f.began, f.ended) for f in self.done if f.name.startswith("redis_")])
        self.figures.add("p99_while_redis_fails", f"{late * 1000:.1f}", "ms", f"{(calm + LATE) * 1000:.1f}", late <= calm + LATE)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--seed", default="")
    parser.add_argument("--lull", type=float, default=20, help="seconds between faults")
    parser.add_argument("--without", nargs="*", default=[], help="faults to leave out, such as portal_frozen")
    run_soak(parser, "v2c-cluster-soak-", Soak)


if __name__ == "__main__":
    main()
