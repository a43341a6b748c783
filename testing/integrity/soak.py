#!/usr/bin/python3
"""Everything at once, for as long as one likes: a portal, two bridges, mixed load, and a fault every few seconds.

Prints `name value unit limit PASS|FAIL` for each figure and ends with 1 when one failed. Memory, descriptors
and flows must be back at the end; memory must not have grown in between.
"""
import argparse
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import threading
import time

from harness import (
    GATES, SLOWER, VISIBLE, FaultyRelay, Link, Shim, counters, ready, restart, storm, wait_for,
)

SLOPE = 0.02  # of its size that a process may grow in an hour, after the warm-up
GROWTH = (16 << 20) * SLOWER  # a sanitizer keeps notes of its own
LINGER = 15  # seconds
MB = 1 << 20


class Figures:
    def __init__(self):
        self.failed = 0

    def add(self, name, value, unit, limit, good):
        self.failed += not good
        print(f"{name} {value} {unit} {limit} {'PASS' if good else 'FAIL'}", flush=True)


class Memory:
    """What processes take over time; a process that was started again begins anew."""

    def __init__(self, link):
        self.link, self.samples = link, {}

    def look(self):
        for p in self.link.programs():
            if p.alive():
                key = (p.name, p.process.pid)
                self.samples.setdefault(key, []).append((time.monotonic(), p.rss()))

    def slopes(self):
        """Bytes an hour, and growth, of processes that lived long enough for a line to mean something."""
        for (name, _), all_samples in self.samples.items():
            first = all_samples[0][0]
            samples = [s for s in all_samples if s[0] - first > 60]
            if len(samples) < 60:
                continue
            times, sizes = zip(*samples)
            middle, mean = sum(times) / len(times), sum(sizes) / len(sizes)
            spread = sum((t - middle) ** 2 for t in times)
            slope = sum((t - middle) * (s - mean) for t, s in samples) / spread * 3600
            yield name, slope / mean, max(sizes[-10:]) - min(sizes[:10])


class Faults:
    """Each method is a fault; it returns when the fault is over. `memory` needs v2c without a sanitizer."""

    def __init__(self, link, pages, dice, kill):
        self.link, self.pages, self.dice, self.kill = link, pages, dice, kill

    def names(self):
        found = [name for name in dir(self) if name.startswith("do_")]
        return [n for n in found if self.kill or n not in ("do_kill_bridge", "do_kill_portal", "do_term")]

    def pause(self, low, high):
        threading.Event().wait(self.dice.uniform(low, high))

    def bridge(self):
        return self.dice.choice(self.link.bridges)

    def program(self):
        return self.dice.choice(self.link.programs())

    def do_kill_bridge(self):
        restart(self.bridge())

    def do_kill_portal(self):
        restart(self.link.portal)

    def do_term(self):
        program = self.program()
        program.drain(60)
        program.start()

    def do_freeze(self):
        program = self.program()
        program.freeze()
        self.pause(0.1, 5)
        program.thaw()

    def do_cut(self):
        self.dice.choice(self.link.relays).cut()

    def do_stall(self):
        relay = self.dice.choice(self.link.relays)
        relay.stop()
        self.pause(*self.dice.choice([(0.2, 1), (1, 2), (12, 13)]))
        relay.go()

    def do_split(self):
        relay = self.dice.choice(self.link.relays)
        relay.split = True
        self.pause(0.5, 2)
        relay.split = False

    def do_origin_killed(self):
        self.link.origin.kill()
        self.pause(0, 1)
        self.link.origin.start()

    def do_origin_frozen(self):
        self.link.origin.process.send_signal(signal.SIGSTOP)
        self.pause(0.1, 3)
        self.link.origin.process.send_signal(signal.SIGCONT)

    def do_signals(self):
        storm(self.program(), signal.SIGUSR1, 1)

    def do_calls(self):
        page = self.dice.choice(self.pages)
        page.fail(one_byte=3000, again=1000, interrupted=1000, aborted=2000, no_files=100)
        self.pause(0.5, 2)
        page.heal()

    def do_memory(self):
        page = self.dice.choice(self.pages)
        page.fail(no_memory=100)
        self.pause(0.5, 2)
        page.heal()

    def do_clock(self):
        page = self.dice.choice(self.pages)
        page.wall(self.dice.choice([3600, -3600, 86400, -86400, -time.time() + 1]))
        self.pause(0.5, 3)
        page.heal()


class Soak:
    def __init__(self, directory, options):
        self.options, self.dice, self.figures = options, random.Random(options.seed), Figures()
        self.pages = [Shim(directory / f"{n}.page") for n in ("portal", "bridge0", "bridge1")]
        names = ("portal", "bridge0", "bridge1")
        environments = {
            name: {"environment": page.environment()} for name, page in zip(names, self.pages)
        }
        self.link = Link(
            directory, bridges=2, via=FaultyRelay, options=environments, prepare=self.workers
        )
        self.memory = Memory(self.link)
        self.counts = {}

    def end_now(self):
        self.link.end_now()

    def workers(self, name, config):
        portal, bridge = self.options.workers
        config["workers"] = portal if name == "portal" else bridge

    def settle(self):
        """All links, and no stream."""
        self.link.wait_links(60)
        wait_for(self.link.settled, 150, "all flows to end")

    def measured(self):
        """Memory and descriptors, and flows, by process, at a moment in which no link came or went."""

        def look():
            before, now = self.link.live(), self.link.measure()
            return (now, before) if self.link.live() == before else None

        return wait_for(look, 60, "links that stay")

    def surplus(self, files, flows):
        """What measured() says now, and how many more descriptors each has than links explain; a link has one
        of each. For some seconds a socket outlives its flow: its peer takes the last bytes."""
        end = time.monotonic() + LINGER
        while True:
            now, live = self.measured()
            more = {n: now[n].files - live[n] - (files[n] - flows[n]) for n in now}
            if not any(more.values()) or time.monotonic() > end:
                return now, live, more
            threading.Event().wait(0.5)

    def loads(self):
        """Ordinary streams; some that live long; very short ones."""
        seconds, seed = self.options.seconds, self.options.seed
        mixed = self.link.load(
            seed, streams=64, seconds=seconds, grace=60, slow=5, cut=3, abort=3, silent=1, udp=True,
            stall=3, patience=40, retry=0.1,
        )
        held = self.link.load(
            seed + 1, streams=self.options.held, seconds=seconds, interval=10, ramp=10, grace=60,
            patience=40,
        )
        tiny = self.link.load(
            seed + 2, streams=4, seconds=seconds, max=200, grace=60, patience=40, retry=0.1
        )
        return [mixed, held, tiny]

    def faults(self, end):
        faults = Faults(self.link, self.pages, self.dice, not self.options.gentle)
        names = [n for n in faults.names() if n[3:] not in self.options.without]
        while True:
            lull = self.dice.uniform(*self.options.lull)
            wait_end = min(end, time.monotonic() + lull)
            while time.monotonic() < wait_end:
                threading.Event().wait(1)
                self.memory.look()
            if time.monotonic() > end - 15:
                return
            name = self.dice.choice(names)
            print(f"# {time.monotonic() - self.begun:.1f} s: {name[3:]}", flush=True)
            getattr(faults, name)()
            self.counts[name[3:]] = self.counts.get(name[3:], 0) + 1
            for p in self.link.programs():
                if not p.alive():
                    self.figures.add(f"died_{p.name}", p.process.returncode, "code", 0, False)
                    p.start()

    def run(self):
        self.link.start()
        warm = self.link.load(self.options.seed, streams=64, total=3000, max=4 * MB, seconds=60).wait()
        self.settle()
        before, flows = self.measured()
        born = {p.name: p.process.pid for p in self.link.programs()}
        self.begun = time.monotonic()
        loads = self.loads()
        self.faults(self.begun + self.options.seconds)
        for load in loads:
            load.enough()
        results = [warm, *(load.wait() for load in loads)]
        self.settle()
        after, live, more = self.surplus({n: m.files for n, m in before.items()}, flows)
        for name, now in after.items():
            then = before[name]
            print(f"# {name}: {flows[name]} flows at first, {live[name]} now")
            self.figures.add(f"files_{name}", more[name], "more", 0, more[name] == 0)
            if {p.name: p.process.pid for p in self.link.programs()}[name] == born[name]:
                grown = now.rss - then.rss
                self.figures.add(f"rss_{name}", grown // 1024, "KiB", GROWTH // 1024, grown <= GROWTH)
        for name, slope, grown in self.memory.slopes():
            self.figures.add(
                f"slope_{name}", f"{slope:.4f}", "1/h", SLOPE, slope <= SLOPE or grown < 2 * MB
            )
        for name, port in self.link.status.items():
            errors = counters(port)["mux_errors"]
            print(f"# {name}: mux_errors {errors}")
        self.report([*results, self.link.stop()], self.link.origin.summaries)

    def report(self, results, origins):
        for gate in GATES:
            found = sum(getattr(r, gate) for r in [*results, *origins[:-1]])
            self.figures.add(gate, found, "streams", 0, found == 0)
        for r in results:
            visible = sum(getattr(r, name) for name in VISIBLE)
            print(f"# {r.role}: {r.ok} ok, {visible} visible errors, {r.bytes / 1e9:.1f} GB, "
                  f"opening {r.opening_ms}, exchange {r.exchange_ms}")
            for error in r.errors:
                if error["outcome"] in GATES:
                    print(f"#   {error}")
        self.figures.add("streams_ok", sum(r.ok for r in results), "streams", "> 0", results[1].ok > 0)
        print(f"# faults: {self.counts}")


def run_soak(parser, prefix, make):
    """make(directory, options) has run(), figures and end_now(). Its logs stay when a figure failed."""
    options = parser.parse_args()
    if ready():
        sys.exit(ready())
    options.seed = int(options.seed or random.SystemRandom().randrange(1, 1 << 32))
    print(f"seed {options.seed}, {options.seconds} s", flush=True)
    directory = pathlib.Path(tempfile.mkdtemp(prefix=prefix))
    soak = make(directory, options)
    try:
        soak.run()
    finally:
        soak.end_now()
    print(f"{'FAILED' if soak.figures.failed else 'passed'}; logs in {directory}")
    if not soak.figures.failed:
        shutil.rmtree(directory)
    sys.exit(1 if soak.figures.failed else 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", default="")
    parser.add_argument("--held", type=int, default=1000, help="streams that live as long as it lasts")
    parser.add_argument("--lull", nargs=2, type=float, default=(5, 30), help="seconds between faults")
    parser.add_argument("--workers", nargs=2, type=int, default=(1, 1), help="of portal and bridges")
    parser.add_argument("--gentle", action="store_true", help="nobody is killed or asked to end")
    parser.add_argument("--without", nargs="*", default=[], help="faults to leave out, such as memory")
    run_soak(parser, "v2c-soak-", Soak)


if __name__ == "__main__":
    main()
