"""Scenarios of memory and of trouble: idle and stalled visitors, restarts, frozen and cut links, drains."""
import os
import signal
import subprocess
import time

from subjects import Tunnel
from system import (ESTABLISHED, HOST, MIB, NotMeasured, free_port, raise_descriptor_limit, rss,
    socket_memory, tcp_states, wait_for, wake_ups)  # fmt: skip
from world import BULK, MB, SLOW, SMALL, failures, milliseconds, parse_wrk, wrk_command

SETTLE = 1.0
STALLED_PATIENCE = 3000  # ms, for visitors beside a stalled one
NEAR, FAR = "127.77.0.1", "127.77.0.2"
LONG = 700  # s: V2Ray needs up to 650 to notice a dead link


# ------------------------------------------------------------------------------------------- memory


def idle(world, stage, subject):
    """RSS after the first visitor, and what each of 1,000 and 5,000 silent visitors adds."""
    t = world.echo_tunnel(stage, subject, check=False)
    time.sleep(SETTLE)
    start = {"portal": rss(t.portal.pid), "bridge": rss(t.bridge.pid)}
    metrics = {f"rss_{role}_mib": start[role] / MIB for role in start}
    held = 0
    for more, name in ((1000, "1k"), (4000, "5k")):
        load = stage.tool("visitors", "hold", t.address, more, 0)
        held += more
        wait_for(lambda: load.report()["answered"] == more, 60, f"{held} visitors to be served")
        time.sleep(SETTLE)
        for role, child in (("portal", t.portal), ("bridge", t.bridge)):
            metrics[f"{role}_bytes_{name}"] = (rss(child.pid) - start[role]) / held
    return metrics


def streams(world, stage, subject):
    """10,000 visitors with one exchange each 10 s, for 60 s. The lag of the loops is not asked for: 100 small
    exchanges a second by other visitors wait for the loops of both sides, and their latency is shown."""
    count, period, seconds = 10000, 10000, 60
    if raise_descriptor_limit() < count + 1000:
        raise NotMeasured(f"the limit of descriptors is below {count + 1000}")
    t = world.echo_tunnel(stage, subject, check=False)
    probe = stage.tool("visitors", "hold", t.address, 100, 1000)
    loads = [stage.tool("visitors", "hold", t.address, count // 2, period) for _ in range(2)]
    for load in loads:
        wait_for(lambda: load.report()["answered"] >= count // 2, 60, f"{count} visitors to be served")
    counts = [load.mark() for load in loads]
    lost = sum(map(failures, counts))
    probe.mark()
    time.sleep(seconds)
    counts, probed = [load.report() for load in loads], probe.report()
    return {
        "errors": lost + sum(map(failures, counts)) + failures(probed),
        "exchanges": sum(c["answered"] for c in counts),
        "exchange_p99_ms": milliseconds(max(c["p99"] for c in counts)),
        "p99_ms": milliseconds(probed["p99"]),
        "max_ms": milliseconds(probed["max"]),
        "rss_portal_mib": rss(t.portal.pid) / MIB,
        "rss_bridge_mib": rss(t.bridge.pid) / MIB,
    }


def stalled(count):
    """A download goes on and new visitors come while others have asked for much and read nothing."""

    def measure(world, stage, subject):
        t = world.tunnel(stage, subject)
        load = stage.tool("visitors", "download", t.address, BULK, 1)
        time.sleep(0.5)
        alone = world.rate(load)
        memory, sockets = sum(rss(c.pid) for c in t.processes), socket_memory()
        stage.tool("visitors", "stall", t.address, BULK, count)
        time.sleep(1.5)
        beside = world.rate(load)
        others = stage.tool("visitors", "ask", t.address, SMALL, 20, "new", STALLED_PATIENCE)
        time.sleep(1)
        counts = others.finish(STALLED_PATIENCE / 1000 + 1)
        return {
            "kept_pct": 100 * beside / alone if alone else None,
            "served_pct": 100 * counts["answered"] / max(1, counts["asked"]),
            "rss_growth_mib": (sum(rss(c.pid) for c in t.processes) - memory) / MIB,
            "socket_growth_mib": (socket_memory() - sockets) / MIB,
        }

    return measure


# ------------------------------------------------------------------------------------------ restarts


def restart(role):
    """kill -9, start again at once: ms from the start to the first answer a visitor gets."""

    def measure(world, stage, subject):
        t = world.tunnel(stage, subject)
        child = getattr(t, role)
        load = stage.tool("visitors", "ask", t.address, SMALL, 200, "new", 2000)
        wait_for(lambda: load.report()["answered"] > 0, 10, "a visitor to be served")
        child.kill()
        load.finish(5)
        begin = time.monotonic()
        stage.restart(child)
        load = stage.tool("visitors", "ask", t.address, SMALL, 200, "new", 2000)
        first = wait_for(lambda: load.report()["first"], 60, "a visitor to be served again")
        return {"back_ms": (first / 1e6 - begin) * 1000}

    return measure


def waits(counts):
    return {
        "served_ms": milliseconds(counts["max"]),
        "errors": failures(counts),
        "asked": counts["asked"],
    }


def links_of(port):
    return tcp_states(port).count(ESTABLISHED)


def freeze(world, stage, subject):
    """Two bridges; the one that works more is stopped while visitors come 100 times a second: the longest that
    one of them waits, and how many are not served at all."""
    patience = 6000
    visitors, link = free_port(), free_port()
    t = Tunnel(visitors)
    t.portal = subject.portal(stage, visitors, link)
    bridges = [subject.bridge(stage, [link], world.web, name="bridge-a")]
    world.wait_served(visitors)
    before = links_of(link)
    bridges.append(subject.bridge(stage, [link], world.web, name="bridge-b"))
    wait_for(lambda: links_of(link) > before, 10, "the second bridge")
    time.sleep(SETTLE)
    load = stage.tool("visitors", "ask", t.address, SMALL, 100, "new", patience)
    rested = [wake_ups(bridge.pid) for bridge in bridges]
    time.sleep(0.5)
    worked = [wake_ups(bridge.pid) - before for bridge, before in zip(bridges, rested)]
    victim = bridges[worked.index(max(worked))]
    load.mark()
    victim.signal(signal.SIGSTOP)
    time.sleep(4)
    counts = load.finish(patience / 1000 + 1)
    return waits(counts)


def rolling(world, stage, subject):
    """Two portals, one bridge on both. One portal gets SIGTERM and is started again, under load."""
    ports, links = [free_port(), free_port()], [free_port(), free_port()]
    portals = [subject.portal(stage, ports[i], links[i], name=f"portal-{i}", drain=10) for i in range(2)]
    subject.bridge(stage, links, world.web)
    for port in ports:
        world.wait_served(port)
    address = f"{HOST}:{ports[0]}"
    other = subprocess.Popen(wrk_command(ports[1], 32, 6), stdout=subprocess.PIPE, text=True)
    try:
        small = stage.tool("visitors", "ask", address, SMALL, 300, "new", 5000)
        slow = stage.tool("visitors", "download", address, SLOW, 8)
        time.sleep(1)
        wait_for(lambda: slow.report()["bytes"] > 0, 10, "slow answers")
        small.mark(), slow.mark()
        slow.tell("stop")
        begin = time.monotonic()
        portals[0].signal(signal.SIGTERM)
        wait_for(lambda: portals[0].process.poll() is not None, 30, "the end of the portal")
        drained = time.monotonic() - begin
        counts, slow_counts = small.finish(6), slow.report()
        begin = time.monotonic()
        stage.restart(portals[0])
        small = stage.tool("visitors", "ask", address, SMALL, 200, "new", 2000)
        first = wait_for(lambda: small.report()["first"], 60, "a visitor to be served again")
        beside = parse_wrk(other.communicate(timeout=30)[0])
    finally:
        other.kill()
        other.wait()
    return {
        "other_failed": beside["errors"],
        "drain_failed": counts["failed"] + counts["late"] + slow_counts["failed"],
        "drain_s": drained,
        "refused": counts["refused"],
        "other_req_s": beside["requests"] / beside["seconds"],
        "back_ms": (first / 1e6 - begin) * 1000,
    }


# -------------------------------------------------------------------------------------- far links


def link(stage, delay_ms, rate_kbit=0):
    """(linkemu, its two namespaces)"""
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        raise NotMeasured("network namespaces with /dev/net/tun need root")
    emulator = stage.tool("linkemu", NEAR, FAR)
    spaces = emulator.line().split()[1:]
    emulator.tell(f"delay {delay_ms}")
    emulator.tell(f"rate {rate_kbit}")
    return emulator, spaces


def far_tunnel(world, stage, subject, spaces):
    """A tunnel through the link, with an nginx of its own behind it."""
    web = free_port()
    world.start_nginx(stage, f"0.0.0.0:{web}", spaces[1])
    return subject.far_tunnel(stage, web, NEAR, FAR, spaces)


def served_far(stage, t, space, seconds=30):
    load = stage.tool("visitors", "ask", t.address, SMALL, 20, "new", 5000, space=space)
    wait_for(lambda: load.report()["answered"] > 0, seconds, "a visitor to be served")
    load.kill()


def round_trip(rate_kbit):
    """One download through 200 ms of round trip; 5 s for windows to open, then 5 s are measured."""

    def measure(world, stage, subject):
        _, spaces = link(stage, 100, rate_kbit)
        t = far_tunnel(world, stage, subject, spaces)
        served_far(stage, t, spaces[0])
        load = stage.tool("visitors", "download", t.address, BULK, 1, space=spaces[0])
        time.sleep(5)
        load.mark()
        begin = time.monotonic()
        time.sleep(5)
        moved = load.report()["bytes"]
        return {"mb_s": moved / (time.monotonic() - begin) / MB, "errors": failures(load.report())}

    return measure


def cut_waiting(world, stage, subject):
    """A router forgets the tunnel's connections while visitors come 20 times a second."""
    slow = subject.name == "v2ray"
    emulator, spaces = link(stage, 5)
    t = far_tunnel(world, stage, subject, spaces)
    served_far(stage, t, spaces[0])
    time.sleep(SETTLE)
    patience = LONG if slow else 30
    load = stage.tool("visitors", "ask", t.address, SMALL, 20, "new", patience * 1000, space=spaces[0])
    time.sleep(0.5)
    load.mark()
    emulator.tell("cut")
    time.sleep(5)
    counts = load.finish(patience + 1)
    return waits(counts)


def cut_idle(world, stage, subject):
    """The same while nobody comes: seconds until the bridge dials again; then ten visitors in a second."""
    emulator, spaces = link(stage, 5)
    t = far_tunnel(world, stage, subject, spaces)
    served_far(stage, t, spaces[0])
    time.sleep(SETTLE)
    begin = time.monotonic()
    emulator.tell("cut")
    redial = emulator_redial(emulator, LONG if subject.name == "v2ray" else 45)
    time.sleep(0.5)
    load = stage.tool("visitors", "ask", t.address, SMALL, 10, "new", 30000, space=spaces[0])
    time.sleep(1)
    counts = load.finish(31)
    return {"redial_s": redial - begin if redial else None, **waits(counts)}


def emulator_redial(emulator, seconds):
    """When the first connection after the cut was begun, or None if none was in time."""
    output = emulator.process.stdout
    os.set_blocking(output.fileno(), False)
    try:
        line = wait_for(output.readline, seconds, "a new connection")
    except NotMeasured:
        return None
    return int(line.split()[1]) / 1e6
