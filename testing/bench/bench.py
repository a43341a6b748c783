#!/usr/bin/python3
"""Measures v2c beside V2Ray, HAProxy and a bare multiplexer.

    bench.py run --v2c build/v2c --tools build/testing/bench [--bench NAMES] [--rounds N]
    bench.py report results.json [--full] [--into docs/BENCHMARKS.md]
    bench.py list

docs/BENCHMARKS.md says what the figures mean. `make bench` calls `run`.
"""
import argparse
import json
import os
import signal
import sys
import time

import page
import report
from scenarios import SCENARIOS
from subjects import all_subjects
from system import (Meter, NotMeasured, Stage, describe_machine, first_line, machine_seconds,
    raise_descriptor_limit)  # fmt: skip
from world import World

QUIET_SECONDS = 0.1
QUIET_TRIES = 20
LONGEST_SAMPLE = 900


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="measure; print Markdown, write results.json and report.md")
    run.add_argument("--v2c", required=True, help="the program")
    run.add_argument("--tools", required=True, help="folder of the C programs")
    run.add_argument("--other", action="append", default=[], metavar="NAME=PATH",
                     help="another v2c beside it")  # fmt: skip
    run.add_argument("--bench", default="", help="scenarios, with commas; default: all")
    run.add_argument("--subjects", default="", help="subjects, with commas; default: all")
    run.add_argument("--rounds", type=int, default=3)
    run.add_argument("--seconds", type=float, default=1.5, help="length of a measuring window")
    run.add_argument("--retries", type=int, default=1, help="how often a noisy sample is taken again")
    run.add_argument("--slow", action="store_true", help="with what takes V2Ray minutes")
    run.add_argument("--out", default="bench-results")
    show = commands.add_parser("report", help="print Markdown from results.json, to be pasted")
    show.add_argument("results")
    show.add_argument("--full", action="store_true", help="with every figure and its range")
    page.add_into(show)
    commands.add_parser("list", help="print the scenarios")
    return parser.parse_args()


def chosen(text, known):
    names = [name for name in text.replace(",", " ").split() if name != "all"] or list(known)
    wrong = [name for name in names if name not in known]
    if wrong:
        sys.exit(f"bench: {', '.join(wrong)}: not one of {', '.join(known)}")
    return names


def wait_quiet():
    """Waits, not for long, for a moment in which others rest."""
    for _ in range(QUIET_TRIES):
        before = machine_seconds()[0]
        time.sleep(QUIET_SECONDS)
        if (machine_seconds()[0] - before) / (QUIET_SECONDS * os.cpu_count()) <= report.NOISY:
            return


def too_long(*_):
    raise NotMeasured(f"it took more than {LONGEST_SAMPLE} s")


class Run:
    """One run of the benchmark: takes samples, and remembers what could not be taken."""

    def __init__(self, options):
        self.options = options
        self.subjects = all_subjects(os.path.abspath(options.v2c), options.other)
        self.names = chosen(options.subjects, self.subjects)
        self.scenarios = chosen(options.bench, SCENARIOS)
        self.tools = os.path.abspath(options.tools)
        self.samples, self.missing = [], []
        self.machine, self.version = describe_machine(), first_line(os.path.abspath(options.v2c), "version")
        self.begin = time.monotonic()

    def miss(self, scenario, subject, why):
        line = f"{scenario}, {subject}: {why}"
        if line not in self.missing:
            self.missing.append(line)
            print(f"not measured: {line}", file=sys.stderr, flush=True)

    def runs(self, scenario, subject, number):
        """Whether this scenario says something about this subject in this round."""
        s = SCENARIOS[scenario]
        if number >= s.rounds or s.role not in self.subjects[subject].roles:
            return False
        why = dict(s.slow).get(subject)
        if why and not self.options.slow:
            self.miss(scenario, subject, f"only with SLOW=1: {why}")
        return not why or self.options.slow

    def all(self, world):
        """Every second round goes through the subjects the other way round. What is known after each scenario
        is written, so that an interrupted run is not lost."""
        for number in range(self.options.rounds):
            order = self.names if number % 2 == 0 else self.names[::-1]
            for scenario in self.scenarios:
                for subject in order:
                    if self.runs(scenario, subject, number):
                        self.one(world, scenario, subject, number)
                self.write()

    def one(self, world, scenario, subject, number):
        """The quietest of a few tries; what is measured once takes long, and is tried once."""
        best, begin = None, time.monotonic()
        tries = 1 if SCENARIOS[scenario].rounds == 1 else 1 + self.options.retries
        for _ in range(tries):
            wait_quiet()
            try:
                sample = self.sample(world, scenario, subject, number)
            except NotMeasured as error:
                self.miss(scenario, subject, str(error))
                return
            except Exception as error:  # one sample that fails must not cost the others
                self.miss(scenario, subject, f"failed: {error!r}")
                return
            if best is None or sample["others"] < best["others"]:
                best = sample
            if best["others"] <= report.NOISY:
                break
        self.samples.append(best)
        shown = ", ".join(f"{m} {v:,.4g}" for m, v in best["metrics"].items() if v is not None)
        noise = f"others {best['others']:.0%}, {time.monotonic() - begin:.1f} s"
        print(f"{number + 1} {scenario:15} {subject:10} {shown}; {noise}", file=sys.stderr, flush=True)

    def sample(self, world, scenario, subject, number):
        signal.alarm(LONGEST_SAMPLE)
        try:
            with Stage(self.tools, around=world.stage) as stage:
                whole = Meter(stage, [])
                metrics = SCENARIOS[scenario].measure(world, stage, self.subjects[subject])
                whole.stop()
                return {"round": number, "scenario": scenario, "subject": subject, "metrics": metrics,
                        "others": stage.others}  # fmt: skip
        finally:
            signal.alarm(0)

    def document(self):
        o = self.options
        names = " BENCH=" + ",".join(self.scenarios) if o.bench else ""
        return {
            "version": self.version,
            "date": time.strftime("%Y-%m-%d"),
            "machine": self.machine,
            "command": f"make bench{names} ROUNDS={o.rounds}" + (" SLOW=1" if o.slow else ""),
            "rounds": o.rounds,
            "seconds": o.seconds,
            "took": time.monotonic() - self.begin,
            "scenarios": self.scenarios,
            "samples": self.samples,
            "missing": self.missing,
            "summary": report.summarise(self.samples),
            "ratios_to_v2ray": report.ratios(self.samples, "v2ray"),
            "goals": report.judge(self.samples),
        }

    def write(self):
        document = self.document()
        os.makedirs(self.options.out, exist_ok=True)
        for name, text in (("results.json", json.dumps(document, indent=1)),
                           ("report.md", report.markdown(document, full=True))):  # fmt: skip
            with open(os.path.join(self.options.out, name), "w", encoding="utf-8") as file:
                file.write(text)


def run(options):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGALRM, too_long)
    raise_descriptor_limit()
    r = Run(options)
    with Stage(r.tools) as stage:
        r.all(World(stage, options.seconds))
    print(report.markdown(r.document()))
    return 0 if r.samples else 1


def main():
    options = arguments()
    if options.command == "list":
        for name, scenario in SCENARIOS.items():
            print(f"{name:15} {scenario.title}")
        return 0
    if options.command == "report":
        with open(options.results, encoding="utf-8") as file:
            text = report.markdown(json.load(file), options.full)
        if options.into:
            page.put_into(options.into, text, report.BEGIN, report.END)
        else:
            print(text)
        return 0
    try:
        return run(options)
    except NotMeasured as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
