"""Scenarios of speed: bulk, requests, latency beside bulk, system calls, workers, plain hops."""
import time

from system import Meter, NotMeasured, thread_seconds
from world import BULK, GB, MB, SIZED, SIZED_BYTES, SMALL, WARM, failures, milliseconds, traced, wrk

PROBE_RATE = 200
PATIENCE = 3000  # ms
WARM_REQUESTS = 1  # s


def download(streams):
    def measure(world, stage, subject):
        t = world.tunnel(stage, subject)
        load = stage.tool("visitors", "download", t.address, BULK, streams)
        return world.flow(stage, t.processes, load, load)

    return measure


def upload(world, stage, subject):
    t = world.echo_tunnel(stage, subject)
    load = stage.tool("visitors", "upload", t.address, 1)
    return world.flow(stage, t.processes, world.echo_server, load)


def measured_wrk(world, stage, t, connections, close):
    wrk(t.port, connections, WARM_REQUESTS, close)
    meter = Meter(stage, t.processes)
    got = wrk(t.port, connections, max(1, round(world.seconds)), close)
    _, cpu = meter.stop()
    if not got["requests"]:
        raise NotMeasured("no request was answered")
    metrics = {name: got[name] for name in ("p50_ms", "p99_ms", "errors")}
    metrics["req_s"] = got["requests"] / got["seconds"]
    if t.processes:
        metrics["cpu_us_req"] = cpu / got["requests"] * 1e6
    return metrics


def requests(connections, close=False):
    def measure(world, stage, subject):
        return measured_wrk(world, stage, world.tunnel(stage, subject), connections, close)

    return measure


def latency_beside(path):
    """Small requests 200 times a second, beside four downloads."""

    def measure(world, stage, subject):
        t = world.tunnel(stage, subject)
        bulk = stage.tool("visitors", "download", t.address, path, 4)
        probe = stage.tool("visitors", "ask", t.address, SMALL, PROBE_RATE, "keep", PATIENCE)
        time.sleep(0.7)
        meter = Meter(stage, t.processes)
        bulk.mark(), probe.mark()
        time.sleep(2 * world.seconds)
        moved = bulk.report()["bytes"]
        seconds, _ = meter.stop()
        counts = probe.finish(PATIENCE / 1000)
        return {
            "p50_ms": milliseconds(counts["p50"]),
            "p99_ms": milliseconds(counts["p99"]),
            "bulk_mb_s": moved / seconds / MB,
            "errors": failures(counts),
        }

    return measure


def syscalls(world, stage, subject):
    """strace slows what it counts: less is batched than otherwise, so the counts are rather high."""
    t = world.tunnel(stage, subject)
    if not t.processes:
        raise NotMeasured("there is no process to trace")

    def one_file():
        load = stage.tool("visitors", "download", t.address, SIZED, 1)
        end = time.monotonic() + 30
        while load.report()["bytes"] == 0 and time.monotonic() < end:
            time.sleep(0.005)
        if load.finish(30)["answered"] != 1:
            raise NotMeasured("the file did not arrive under strace")

    answered = []
    per_file = traced(stage, t.processes, one_file)
    per_requests = traced(stage, t.processes, lambda: answered.append(wrk(t.port, 16, 1)["requests"]))
    return {"per_mb": per_file / (SIZED_BYTES / MB), "per_req": per_requests / max(1, answered[0])}


def hop(measure):
    """One plain hop, without tunnel or encryption."""

    def hop_measure(world, stage, subject):
        t = subject.hop(stage, world.web)
        world.wait_served(t.port)
        world.check_download(t.port)
        return measure(world, stage, t)

    return hop_measure


def hop_download(world, stage, t):
    load = stage.tool("visitors", "download", t.address, BULK, 1)
    return world.flow(stage, t.processes, load, load)


def hop_requests(close):
    return lambda world, stage, t: measured_wrk(world, stage, t, 64, close)


def busiest_share(before, after):
    """The share that the busiest thread has in the CPU time of all."""
    spent = [after[thread] - before.get(thread, 0) for thread in after]
    return max(spent) / sum(spent) if sum(spent) > 0 else 1.0


def portal_cost(world, stage, portal, action):
    """(units a second, CPU seconds a unit of the busiest thread, of all); action() gives (units, seconds)."""
    before, meter = thread_seconds(portal.pid), Meter(stage, [portal])
    units, seconds = action()
    _, cpu = meter.stop()
    share = busiest_share(before, thread_seconds(portal.pid))
    return units / seconds, share * cpu / max(1, units), cpu / max(1, units)


def workers(world, stage, subject):
    """One worker on the portal, then two; the bridge has two each time. On a machine whose cores the load
    generator needs, too, the measured gain is small; the gain by CPU time says how much more the portal
    could carry, had it two cores: the cost of a unit with one worker, over that on the busiest of two."""
    rate, flow = {}, {}

    def ask():
        got = wrk(t.port, 64, max(1, round(world.seconds)))
        return got["requests"], got["seconds"]

    def move():
        load.mark()
        time.sleep(world.seconds)
        return load.report()["bytes"], world.seconds

    for count in (1, 2):
        keys = {"portal_keys": {"workers": count, "name": f"portal{count}"},
                "bridge_keys": {"workers": 2, "name": f"bridge{count}"}}  # fmt: skip
        t = world.tunnel(stage, subject, **keys)
        wrk(t.port, 64, WARM_REQUESTS)
        rate[count] = portal_cost(world, stage, t.portal, ask)
        load = stage.tool("visitors", "download", t.address, BULK, 8)
        time.sleep(WARM)
        flow[count] = portal_cost(world, stage, t.portal, move)
        for child in (load, *t.processes):
            child.kill()
    metrics = {
        "gain": rate[2][0] / rate[1][0],
        "gain_mb_s": flow[2][0] / flow[1][0],
        "gain_cpu": rate[1][1] / rate[2][1],
        "gain_cpu_mb": flow[1][1] / flow[2][1],
    }
    for count in (1, 2):
        metrics[f"req_s_{count}"], metrics[f"cpu_us_req_{count}"] = rate[count][0], rate[count][2] * 1e6
        metrics[f"mb_s_{count}"], metrics[f"cpu_s_gb_{count}"] = flow[count][0] / MB, flow[count][2] * GB
    return metrics
