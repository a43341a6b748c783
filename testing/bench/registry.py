#!/usr/bin/env python3
"""What a cluster's registry costs Redis: a core's share while nothing changes, and the writing of it all.

    testing/bench/registry.py --tools build/testing/bench [--tunnels 100000] [--hosts 0] [--seconds 60]

Each tunnel has links on two of three nodes (registry.c). Redis' own idle work is measured first, and is in both rows.
"""
import argparse
import pathlib
import subprocess
import tempfile

from system import free_port

SWEEP = 600  # seconds, as portals have it unless told otherwise


def measure(program, tunnels, hosts, seconds):
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        command = ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        redis = subprocess.Popen([str(w) for w in command], stdout=subprocess.DEVNULL)
        try:
            words = [program, port, tunnels, hosts, SWEEP, seconds]
            done = subprocess.run([str(w) for w in words], stdout=subprocess.PIPE, check=True, timeout=600 + seconds)
            return [float(word) for word in done.stdout.split()]
        finally:
            redis.kill()
            redis.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tools", type=pathlib.Path, required=True)
    parser.add_argument("--tunnels", type=int, default=100_000)
    parser.add_argument("--hosts", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--quick", action="store_true", help="only that it works")
    given = parser.parse_args()
    if given.quick:
        given.tunnels, given.seconds = 100, 1
    print("| tunnels | hostnames | all written after | while nothing changes | of a core | memory |")
    print("| --- | --- | --- | --- | --- | --- |")
    for tunnels, hosts in ((1, 0), (given.tunnels, given.hosts)):
        written, _, _, rate, share, memory = measure(given.tools / "registry", tunnels, hosts, given.seconds)
        print(
            f"| {tunnels:,} | {hosts:,} | {written:.1f} s | {rate:.0f} commands a second | {share:.2f} % "
            f"| {memory / 1e6:.0f} MB |",
            flush=True,
        )


main()
