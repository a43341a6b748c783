"""All scenarios: what they measure, for whom, and the goals."""
from dataclasses import dataclass

import faults
import speed
from world import BULK, PACED


@dataclass(frozen=True)
class Metric:
    label: str
    better: str | None  # "high", "low" or None: it has no direction
    digits: int = 0


METRICS = {
    "mb_s": Metric("MB/s", "high"),
    "cpu_s_gb": Metric("CPU s/GB", "low", 2),
    "req_s": Metric("req/s", "high"),
    "p50_ms": Metric("p50 ms", "low", 2),
    "p99_ms": Metric("p99 ms", "low", 2),
    "cpu_us_req": Metric("CPU µs/req", "low", 1),
    "bulk_mb_s": Metric("bulk MB/s", "high"),
    "errors": Metric("errors", "low"),
    "rss_portal_mib": Metric("RSS portal MiB", "low", 1),
    "rss_bridge_mib": Metric("RSS bridge MiB", "low", 1),
    "portal_bytes_1k": Metric("portal bytes/visitor at 1,000", "low"),
    "bridge_bytes_1k": Metric("bridge bytes/visitor at 1,000", "low"),
    "portal_bytes_5k": Metric("portal bytes/visitor at 5,000", "low"),
    "bridge_bytes_5k": Metric("bridge bytes/visitor at 5,000", "low"),
    "back_ms": Metric("first answer ms", "low"),
    "kept_pct": Metric("others' throughput kept %", "high"),
    "served_pct": Metric("new visitors served %", "high"),
    "rss_growth_mib": Metric("RSS growth MiB", "low", 1),
    "socket_growth_mib": Metric("socket memory growth MiB", "low", 1),
    "per_mb": Metric("system calls/MB", "low", 1),
    "per_req": Metric("system calls/req", "low", 1),
    "exchanges": Metric("exchanges", None),
    "exchange_p99_ms": Metric("exchange p99 ms", "low", 2),
    "max_ms": Metric("max ms", "low", 1),
    "served_ms": Metric("longest wait ms", "low"),
    "asked": Metric("visitors", None),
    "redial_s": Metric("redial s", "low", 1),
    "other_failed": Metric("failed on the other portal", "low"),
    "drain_failed": Metric("failed in drain", "low"),
    "drain_s": Metric("drain s", None, 2),
    "refused": Metric("refused meanwhile", None),
    "other_req_s": Metric("req/s on the other", None),
    "gain": Metric("gain req/s", "high", 2),
    "gain_mb_s": Metric("gain MB/s", "high", 2),
    "gain_cpu": Metric("gain req/s by CPU time", "high", 2),
    "gain_cpu_mb": Metric("gain MB/s by CPU time", "high", 2),
    "req_s_1": Metric("req/s, 1 worker", "high"),
    "req_s_2": Metric("req/s, 2 workers", "high"),
    "cpu_us_req_1": Metric("portal CPU µs/req, 1", "low", 1),
    "cpu_us_req_2": Metric("portal CPU µs/req, 2", "low", 1),
    "mb_s_1": Metric("MB/s, 1 worker", "high"),
    "mb_s_2": Metric("MB/s, 2 workers", "high"),
    "cpu_s_gb_1": Metric("portal CPU s/GB, 1", "low", 2),
    "cpu_s_gb_2": Metric("portal CPU s/GB, 2", "low", 2),
}


@dataclass(frozen=True)
class Scenario:
    title: str
    measure: callable
    role: str = "tunnel"  # what a subject must be able to be: see subjects.py
    slow: tuple = ()  # (subject, why it is measured with --slow only)
    rounds: int = 99  # never more than this many


V2RAY_RESTART = (("v2ray", "28 s until the bridge is back"),)
V2RAY_CUT = (("v2ray", "650 s until it notices"),)
V2RAY_MINUTE = (("v2ray", "another 70 s"),)

SCENARIOS = {
    "download-1": Scenario("Download, 1 stream", speed.download(1)),
    "download-8": Scenario("Download, 8 streams", speed.download(8)),
    "upload-1": Scenario("Upload, 1 stream", speed.upload),
    "keep-alive-64": Scenario("Keep-alive requests of 1 KiB, 64 connections", speed.requests(64)),
    "keep-alive-1": Scenario("Keep-alive requests of 1 KiB, 1 connection", speed.requests(1)),
    "connect-64": Scenario("New connection per request, 64 at once", speed.requests(64, True)),
    "travel-1": Scenario("Download, 1 stream", speed.download(1), "travels"),
    "travel-8": Scenario("Download, 8 streams", speed.download(8), "travels"),
    "travel-requests": Scenario("Keep-alive requests, 64 connections", speed.requests(64), "travels"),
    "entry-requests": Scenario("Keep-alive requests, 64 connections", speed.requests(64), "entry"),
    "entry-connect": Scenario("New connection per request, 64 at once", speed.requests(64, True), "entry"),
    "entry-download": Scenario("Download, 1 stream", speed.download(1), "entry"),
    "latency-bulk": Scenario(
        "Small requests beside 4 unlimited downloads", speed.latency_beside(BULK)
    ),
    "latency-paced": Scenario(
        "Small requests beside 4 downloads of 25 MB/s", speed.latency_beside(PACED)
    ),
    "idle": Scenario("Memory of idle visitors", faults.idle, "service", rounds=2),
    "restart-portal": Scenario("kill -9 of the portal", faults.restart("portal"), "service"),
    "restart-bridge": Scenario(
        "kill -9 of the bridge", faults.restart("bridge"), "service", V2RAY_RESTART
    ),
    "stalled-1": Scenario("One stalled visitor", faults.stalled(1), "service"),
    "stalled-32": Scenario("32 stalled visitors", faults.stalled(32), "service"),
    "syscalls": Scenario("System calls", speed.syscalls, rounds=1),
    "hop-download": Scenario(
        "One plain hop: download", speed.hop(speed.hop_download), "hop", rounds=2
    ),
    "hop-keep-alive": Scenario(
        "One plain hop: keep-alive, 64", speed.hop(speed.hop_requests(False)), "hop", rounds=2
    ),
    "hop-connect": Scenario(
        "One plain hop: new connection per request",
        speed.hop(speed.hop_requests(True)), "hop", rounds=2,
    ),
    "workers": Scenario("Workers 1 → 2 on the portal", speed.workers, "workers"),
    "freeze": Scenario("Bridge frozen, a second one alive", faults.freeze, "portal", rounds=1),
    "rolling": Scenario(
        "SIGTERM and restart of one of two portals", faults.rolling, "portal", rounds=1
    ),
    "cut-waiting": Scenario(
        "Link cut, visitors waiting", faults.cut_waiting, "portal", V2RAY_CUT, rounds=1
    ),
    "cut-idle": Scenario("Link cut, idle", faults.cut_idle, "portal", V2RAY_CUT, rounds=1),
    "far": Scenario("Round trip of 200 ms: download", faults.round_trip(0), "far", rounds=1),
    "far-100": Scenario(
        "Round trip of 200 ms, 100 Mbit/s: download", faults.round_trip(100000), "far", rounds=1
    ),
    "streams": Scenario(
        "10,000 streams for 60 s", faults.streams, "portal", V2RAY_MINUTE, rounds=1
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Goal:
    """What v2c should reach: as good as `factor` times another subject, or a value.
    Good means more where more is better, and less where less is."""

    text: str
    subject: str = ""
    factor: float = 0
    value: float = 0


def of(subject, factor, text):
    return Goal(text, subject=subject, factor=factor)


def bound(value, text):
    return Goal(text, value=value)


NINETY = of("limit-mux", 0.9, "0.9 × limit-mux")
CONNECT = of("limit-mux", 0.85, "0.85 × limit-mux")
CLOSE = of("limit-mux", 1 / 1.15, "1.15 × limit-mux's")
PLAIN = of("haproxy", 1, "HAProxy's")
NO_ERROR = bound(0, "0")
SHOWN = Goal("")

# By how the link travels, what it keeps of the same program's plain link.
TRAVEL = ("travel-1", "travel-8", "travel-requests")
TRAVEL_GOALS = {"v2c-tls": 0.85, "v2c-tls-none": 0.85, "v2c-ws": 0.75}

# Requests routed one by one at an ingress, beside the same tunnel without, and beside plain reverse proxies.
ENTRY = ("entry-requests", "entry-connect", "entry-download")
ENTRY_GOALS = {("entry-requests", "req_s"): 0.85, ("entry-requests", "cpu_us_req"): 0.85}

# (scenario, metric, goal), in the order of the report
GOALS = [
    ("download-1", "mb_s", NINETY),
    ("download-1", "cpu_s_gb", NINETY),
    ("download-8", "mb_s", NINETY),
    ("download-8", "cpu_s_gb", NINETY),
    ("upload-1", "mb_s", NINETY),
    ("upload-1", "cpu_s_gb", NINETY),
    ("keep-alive-64", "req_s", NINETY),
    ("keep-alive-64", "cpu_us_req", NINETY),
    ("keep-alive-1", "p50_ms", CLOSE),
    ("keep-alive-1", "p99_ms", CLOSE),
    ("connect-64", "req_s", CONNECT),
    ("connect-64", "cpu_us_req", CONNECT),
    ("latency-bulk", "p99_ms", of("limit-mux", 1, "limit-mux's")),
    ("latency-paced", "p99_ms", of("limit-mux", 1 / 1.1, "1.1 × limit-mux's")),
    ("idle", "rss_portal_mib", bound(7, "7")),
    ("idle", "rss_bridge_mib", bound(7, "7")),
    ("idle", "portal_bytes_1k", bound(3400, "3,400")),
    ("idle", "bridge_bytes_1k", bound(3400, "3,400")),
    ("idle", "portal_bytes_5k", bound(3400, "3,400")),
    ("idle", "bridge_bytes_5k", bound(3400, "3,400")),
    ("restart-portal", "back_ms", bound(150, "150")),
    ("restart-bridge", "back_ms", bound(150, "150")),
    ("stalled-1", "kept_pct", bound(97, "97")),
    ("stalled-1", "served_pct", bound(100, "100")),
    ("stalled-32", "kept_pct", SHOWN),
    ("stalled-32", "served_pct", SHOWN),
    ("stalled-32", "rss_growth_mib", bound(8, "8")),
    ("stalled-32", "socket_growth_mib", bound(100, "100")),
    ("syscalls", "per_mb", bound(25, "25")),
    ("syscalls", "per_req", bound(6, "6")),
    ("streams", "errors", NO_ERROR),
    ("streams", "p99_ms", bound(5, "5")),
    ("far", "mb_s", of("direct", 0.9, "0.9 × plain TCP")),
    ("far-100", "mb_s", of("direct", 0.9, "0.9 × plain TCP")),
    ("freeze", "served_ms", bound(3000, "3,000")),
    ("freeze", "errors", NO_ERROR),
    ("cut-idle", "redial_s", bound(10, "10")),
    ("cut-idle", "errors", NO_ERROR),
    ("cut-waiting", "served_ms", bound(3000, "3,000")),
    ("cut-waiting", "errors", NO_ERROR),
    ("rolling", "other_failed", NO_ERROR),
    ("rolling", "drain_failed", NO_ERROR),
    ("workers", "gain", SHOWN),
    ("workers", "gain_mb_s", SHOWN),
    ("workers", "gain_cpu", bound(1.6, "1.6")),
    ("workers", "gain_cpu_mb", bound(1.6, "1.6")),
    ("hop-download", "mb_s", PLAIN),
    ("hop-download", "cpu_s_gb", PLAIN),
    ("hop-keep-alive", "req_s", PLAIN),
    ("hop-keep-alive", "cpu_us_req", PLAIN),
    ("hop-connect", "req_s", PLAIN),
    ("hop-connect", "cpu_us_req", PLAIN),
]
