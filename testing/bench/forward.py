"""What it costs that a visitor came to another portal than the one that has his tunnel's links.

Three portals; the bridge has links to the first one only. The same requests and the same download are asked of the
first portal, which has them by its own link, and of the third, which has to send them on.
"""
import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import page
from system import find_program
from world import parse_wrk

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "scenario"))

MARK = "<!-- cluster -->"
LOCAL, FAR = 0, 2
SHARE = 0.7  # of the local throughput
FILE = 512 << 20


def wrk(port, host, connections, seconds):
    command = [find_program("wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-H", f"Host: {host}",
               f"http://127.0.0.1:{port}/small.txt"]  # fmt: skip
    found = parse_wrk(subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False).stdout)
    if found["errors"]:
        sys.exit(f"{found['errors']} requests failed at port {port}")
    return found


def download(port, host):
    """MB/s of one connection."""
    command = ["curl", "-sS", "-o", "/dev/null", "-H", f"Host: {host}", "-w", "%{speed_download} %{size_download}",
               f"http://127.0.0.1:{port}/big.bin"]  # fmt: skip
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout.split()
    if int(said[1]) != FILE:
        sys.exit(f"{said[1]} bytes came")
    return float(said[0]) / 1e6


def cpu_seconds(program):
    fields = pathlib.Path(f"/proc/{program.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def busy(town, job):
    """What job() returns, and the CPU seconds that the busiest portal took for a GB."""
    before = [cpu_seconds(node) for node in town.nodes]
    result = job()
    return result, max(cpu_seconds(n) - b for n, b in zip(town.nodes, before)) / (FILE / 1e9)


def measured(directory, rounds, seconds):
    """By what was measured, pairs: local, sent on."""
    from cluster import Cluster, visit
    from rig import HOST, Nginx, wait_for

    files = directory / "files"
    files.mkdir()
    (files / "small.txt").write_text("small\n")
    with open(files / "big.bin", "wb") as f:
        f.truncate(FILE)
    directory.chmod(0o755)
    web, name = Nginx(directory, files), "web.test"
    town = Cluster(directory, routes=[{"host": name, "tunnel": "web"}])
    try:
        town.start()
        town.bridge("web", web.port, [LOCAL])
        ports = [town.ports[i]["entry"] for i in (LOCAL, FAR)]
        for port in ports:
            wait_for(lambda: visit((HOST, port), name) is None, 20, "the host")
        found = {"p50": [], "rate": [], "download": [], "busiest": []}
        for _ in range(rounds):
            found["p50"].append([wrk(p, name, 1, seconds)["p50_ms"] for p in ports])
            many = [wrk(p, name, 64, seconds) for p in ports]
            found["rate"].append([m["requests"] / m["seconds"] for m in many])
            both = [busy(town, lambda p=p: download(p, name)) for p in ports]
            found["download"].append([speed for speed, _ in both])
            found["busiest"].append([cpu for _, cpu in both])
        town.stop()
        return found
    finally:
        for program in [*town.bridges, *town.nodes]:
            if program.alive():
                program.kill()
        web.stop()


def report(found):
    lines = ["| through three portals | local | sent on | share | goal | reached |", "| --- | --- | --- | --- | --- | --- |"]
    for name, what, unit in (
        ("p50", "one visitor, kept connection: p50", "ms"),
        ("rate", "64 visitors, kept connections", "requests/s"),
        ("download", "download, one visitor, all programs on this machine", "MB/s"),
        ("busiest", "... its busiest portal, which is the bound where each has a machine: CPU", "s/GB"),
    ):
        local, far = (statistics.median(pair[i] for pair in found[name]) for i in (0, 1))
        share = local / far if name in ("p50", "busiest") else far / local
        digits = 3 if name in ("p50", "busiest") else 0
        goal = f">= {SHARE:.2f}" if name in ("download", "busiest") else ""
        reached = "" if not goal else "yes" if share >= SHARE else "**no**"
        lines.append(f"| {what} | {local:,.{digits}f} {unit} | {far:,.{digits}f} {unit} | **{share:.2f}** | {goal} | {reached} |")
    return "\n".join(lines) + "\n"


def main():
    arguments = argparse.ArgumentParser()
    page.add_into(arguments)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=int, default=3)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        text = report(measured(pathlib.Path(name), options.rounds, options.seconds))
    page.show(options, text, MARK)


if __name__ == "__main__":
    main()
