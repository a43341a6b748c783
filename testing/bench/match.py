#!/usr/bin/env python3
"""The cost of rules: decisions over 10,000 of them, beside V2Ray, and large sets of domains and networks.

    testing/bench/match.py --tools build/testing/bench [--into docs/BENCHMARKS.md] [--v2ray /usr/bin/v2ray]

v2c's decisions are timed inside one process (match.c) with the configuration that V2Ray gets. V2Ray's cannot be:
they are the CPU time that a visitor costs it with the rules, less what one costs without them. Visitors come through
dokodemo-door inbounds and end in a blackhole, so that there is little else.
"""
import argparse
import ipaddress
import json
import os
import pathlib
import random
import socket
import subprocess
import sys
import tempfile
import time

import page
from system import free_port

RULES = 10_000
SECONDS = "1"
POINTS = 16  # visitors' targets, spread over the rules
MARK = "<!-- matchers -->"


def rule(i, **conditions):
    return {"type": "field", "outboundTag": f"o{i % 4}", **conditions}


def mix_domains(i):
    return rule(i, domain=[f"{'full' if i % 2 else 'domain'}:host-{i}.example"]), f"host-{i}.example"


def mix_keywords(i):
    return rule(i, domain=[f"keyword:word{i}x"]), f"www.word{i}x.example"


def mix_networks(i):
    network = ipaddress.ip_network((0x0A000000 + i * 256, 24))
    return rule(i, ip=[str(network)]), str(network[7])


def mix_lists(i):
    """Each with 8 names."""
    names = [f"domain:site-{i}-{n}.example" for n in range(8)]
    return rule(i, domain=names), f"www.site-{i}-7.example"


def mix_all(i):
    if i % 100 == 99:
        return rule(i, domain=[f"regexp:^host-{i}\\.[a-z]+$"]), f"host-{i}.example"
    made, target = (mix_domains, mix_keywords, mix_networks, mix_lists)[i % 4](i)
    if i % 3 == 0:
        made["network"] = "tcp"
    if i % 5 == 0:
        made["port"] = "1-1023"
    return made, target


def mix_inbounds(i):
    """All rules are of one inbound, and only the domain tells them apart."""
    made, target = mix_domains(i)
    made["inboundTag"] = [f"in{n}" for n in range(POINTS)]
    return made, target


MIXES = {
    "one name each": mix_domains,
    "8 names each": mix_lists,
    "one keyword each": mix_keywords,
    "one network each": mix_networks,
    "inbounds and a name": mix_inbounds,
    "all kinds, 1 % regexp": mix_all,
}


def config_of(rules, targets, ports):
    inbounds = [
        {"tag": f"in{i}", "listen": "127.0.0.1", "port": port, "protocol": "dokodemo-door",
         "settings": {"address": target, "port": 80, "network": "tcp"}}
        for i, (target, port) in enumerate(zip(targets, ports))
    ]
    outbounds = [{"tag": tag, "protocol": "blackhole"} for tag in ("none", "o0", "o1", "o2", "o3")]
    return {"log": {"loglevel": "none"}, "inbounds": inbounds, "outbounds": outbounds,
            "routing": {"rules": rules}}


def run_match(tools, directory, config, queries):
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "queries").write_text("".join(f"{' '.join(q)}\n" for q in queries))
    out = subprocess.run([tools / "match", directory / "config.json", directory / "queries", SECONDS],
                         stdout=subprocess.PIPE, text=True, check=True,
                         env={**os.environ, "V2RAY_LOCATION_ASSET": str(directory)}).stdout
    return {name: float(value) for name, value in (line.split() for line in out.splitlines())}


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def visit(port):
    with socket.create_connection(("127.0.0.1", port), 10) as s:
        s.settimeout(10)
        try:
            s.recv(1)
        except ConnectionError:
            pass


def visitor_cost(program, directory, config, visitors):
    """CPU seconds for each visitor, all ports in turn."""
    (directory / "v2ray.json").write_text(json.dumps(config))
    process = subprocess.Popen([program, "-config", directory / "v2ray.json"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ports = [i["port"] for i in config["inbounds"]]
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                visit(ports[-1])
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit("v2ray did not start")
                time.sleep(0.05)
        for port in ports:
            visit(port)
        before = cpu_seconds(process.pid)
        for i in range(visitors):
            visit(ports[i % len(ports)])
        return (cpu_seconds(process.pid) - before) / visitors
    finally:
        process.terminate()
        process.wait()


def decisions(tools, v2ray, directory, rules_count, visitors):
    rows = []
    for name, mix in MIXES.items():
        made = [mix(i) for i in range(rules_count)]
        rules = [r for r, _ in made]
        # every part of the list alike, from the first to the last rule
        targets = [made[(2 * n + 1) * rules_count // (2 * POINTS)][1] for n in range(POINTS)]
        config = config_of(rules, targets, [free_port() for _ in range(POINTS)])
        ours = run_match(tools, directory, config,
                         [(f"in{i}", t, "80", "-") for i, t in enumerate(targets)])
        if ours["matched"] != POINTS:
            sys.exit(f"{name}: {ours['matched']} of {POINTS} targets matched")
        theirs = None
        if v2ray:
            few = visitor_cost(v2ray, directory, {**config, "routing": {"rules": []}}, visitors)
            theirs = visitor_cost(v2ray, directory, config, visitors) - few
        rows.append((name, ours["decision_ns"] * 1e-9, theirs))
    return rows


def number(n):
    out = bytearray()
    while True:
        out.append(n & 0x7F | (0x80 if n > 0x7F else 0))
        n >>= 7
        if not n:
            return bytes(out)


def field(n, data):
    return number(n << 3 | 2) + number(len(data)) + data


def geosite(names):
    entries = b"".join(field(2, b"\x08" + (b"\x02" if i % 4 else b"\x03") + field(2, n.encode()))
                       for i, n in enumerate(names))
    return field(1, field(1, b"BIG") + entries)


def geoip(networks):
    entries = b"".join(field(2, field(1, n.network_address.packed) + b"\x10" + number(n.prefixlen))
                       for n in networks)
    return field(1, field(1, b"BIG") + entries)


def sets(tools, directory, domain_count, network_count):
    """Large sets, through a configuration: (what, load, memory, hit, miss)."""
    pick = random.Random(1)
    words = ["".join(pick.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=pick.randint(4, 16)))
             for _ in range(domain_count)]
    names = [f"{w}.{pick.choice(('com', 'net', 'org', 'co.uk', 'example'))}" for w in words]
    networks = [ipaddress.ip_network((pick.getrandbits(32) >> 8 << 8, 24)) for _ in range(network_count)]
    (directory / "geosite.dat").write_bytes(geosite(names))
    (directory / "geoip.dat").write_bytes(geoip(networks))
    subdomains = [f"www.cdn.{n}" for n in pick.sample(names, 4000)]
    strangers = [f"www.{n[::-1].replace('.', '-')}.stranger.test" for n in pick.sample(names, 4000)]
    hosts = [str(n[9]) for n in pick.sample(networks, 4000)]
    outside = [f"2001:db8::{n:x}" if n % 2 else f"224.0.{n % 256}.1" for n in range(4000)]
    cases = [
        (f"{domain_count:,} domains, geosite.dat", {"domain": ["geosite:big"]}, subdomains, strangers),
        (f"{network_count:,} networks, geoip.dat", {"ip": ["geoip:big"]}, hosts, outside),
        (f"{network_count:,} networks, a list", {"ip": [str(n) for n in networks]}, hosts, outside),
    ]
    for what, conditions, hits, misses in cases:
        config = config_of([rule(0, **conditions)], ["127.0.0.1"], [free_port()])
        hit = run_match(tools, directory, config, [("in0", h, "80", "-") for h in hits])
        miss = run_match(tools, directory, config, [("in0", m, "80", "-") for m in misses])
        yield (what, hit["load_s"], hit["rss_peak"] - hit["rss_before"],
               hit["rss_after"] - hit["rss_before"], hit["decision_ns"], miss["decision_ns"])


def routed(tools, directory, count):
    """Hostnames of tunnels: (what, load, memory at most, memory, a host, a wildcard, a stranger)."""
    pick = random.Random(2)
    words = ["".join(pick.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=pick.randint(6, 16)))
             for _ in range(count)]
    names = [f"{w}.{pick.choice(('example.com', 'tunnel.example', 'co.uk', 'apps.example.org'))}" for w in words]
    names = list(dict.fromkeys(names))
    ids = ("".join(pick.choices("0123456789abcdef", k=32)) for _ in names)
    with open(directory / "routes", "w", encoding="ascii") as f:
        for i, (name, word) in enumerate(zip(names, ids)):
            f.write(f"{'*.' if i % 10 == 0 else ''}{name} "
                    f"{word[:8]}-{word[8:12]}-{word[12:16]}-{word[16:20]}-{word[20:]}\n")
    exact = pick.sample([n for i, n in enumerate(names) if i % 10], 4000 if count > 40000 else 400)
    below = [f"www.{n}" for n in pick.sample(names[::10], 4000 if count > 40000 else 400)]
    strangers = [f"www.{n[::-1].replace('.', '-')}.stranger.test" for n in exact]
    figures = []
    for hosts, matched in ((exact, len(exact)), (below, len(below)), (strangers, 0)):
        (directory / "hosts").write_text("".join(f"{h}\n" for h in hosts))
        out = subprocess.run([tools / "match", "--routes", directory / "routes", directory / "hosts", SECONDS],
                             stdout=subprocess.PIPE, text=True, check=True).stdout
        got = {name: float(value) for name, value in (line.split() for line in out.splitlines())}
        if got["matched"] != matched:
            sys.exit(f"routes: {got['matched']} of {matched} hosts matched")
        figures.append(got)
    first = figures[0]
    return (f"{len(names):,} hostnames of tunnels, a tenth wildcards", first["load_s"],
            first["rss_peak"] - first["rss_before"], first["rss_after"] - first["rss_before"],
            *(f["decision_ns"] for f in figures))


def report_routes(row):
    what, load, peak, after, *ns = row
    good = after <= 200 and max(ns) < 1000
    return "\n".join([
        "| a file of routes | load: CPU s | load, at most: MiB | afterwards: MiB | a host: ns | below a wildcard: ns | "
        "a stranger: ns | goal | reached |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        f"| {what} | {load:.2f} | {peak:.0f} | {after:.0f} | {ns[0]:.0f} | {ns[1]:.0f} | {ns[2]:.0f} | "
        f"200 MiB, 1,000 ns | {'yes' if good else '**no**'} |"]) + "\n"


def report(rows, big, v2ray):
    lines = [f"| first match over {RULES:,} rules | v2ray: decisions/s | v2c: decisions/s | × v2ray | goal | reached |",
             "| --- | --- | --- | --- | --- | --- |"]
    for name, ours, theirs in rows:
        if theirs is None:
            lines.append(f"| {name} | – | **{1 / ours:,.0f}** | – | 20 | – |")
        else:
            ratio = theirs / ours
            lines.append(f"| {name} | {1 / theirs:,.0f} | **{1 / ours:,.0f}** | {ratio:,.0f} | 20 | "
                         f"{'yes' if ratio >= 20 else '**no**'} |")
    lines += ["", "| a set | load: CPU s | load, at most: MiB | afterwards: MiB | a hit: ns | a miss: ns | goal | reached |",
              "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for what, load, peak, after, hit, miss in big:
        good = load < 1 and peak < 100 and max(hit, miss) < 1000
        lines.append(f"| {what} | {load:.2f} | {peak:.0f} | {after:.0f} | {hit:.0f} | {miss:.0f} | "
                     f"1 s, 100 MiB, 1,000 ns | {'yes' if good else '**no**'} |")
    return "\n".join(lines) + "\n"


def main():
    global SECONDS
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--tools", type=pathlib.Path, required=True)
    arguments.add_argument("--v2ray", default="/usr/bin/v2ray")
    page.add_into(arguments)
    arguments.add_argument("--quick", action="store_true", help="only that it works")
    options = arguments.parse_args()
    if options.quick:
        SECONDS = "0.02"
    v2ray = options.v2ray if os.access(options.v2ray, os.X_OK) and not options.quick else None
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        tools = options.tools.resolve()
        rows = decisions(tools, v2ray, directory, 200 if options.quick else RULES, 1600)
        small = (5000, 5000) if options.quick else (1_000_000, 100_000)
        text = report(rows, list(sets(tools, directory, *small)), v2ray)
        text += "\n" + report_routes(routed(tools, directory, small[0]))
    page.show(options, text, MARK)


if __name__ == "__main__":
    main()
