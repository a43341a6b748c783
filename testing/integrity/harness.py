"""A tunnel between the two ends of itest, and what can go wrong with it.

Every byte of every stream is checked by itest at both ends. check() holds a run to the gates: nothing corrupt,
nothing of another stream, nothing cut off that looks complete.
"""
import ctypes
import json
import mmap
import os
import pathlib
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import types
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "scenario"))

import rig
from configs import add_status, bridge_config, dokodemo, portal_config, rule
from rig import HOST, SLOWER, Program, Relay, counters, free_port, free_ports, wait_for

TOOLS = pathlib.Path(rig.V2C or ".").resolve().parent / "testing" / "integrity"
ITEST, SHIM = TOOLS / "itest", TOOLS / "shim.so"
HALF, ORIGIN_FIRST, CLIENT_CLOSES, AFTER = 1, 2, 4, 8  # of --shapes
CONNECTIONS = 2  # that a bridge keeps, unless told otherwise
GATES = ("truncated", "corrupt", "crosstalk")
VISIBLE = ("reset", "timeout", "refused", "unfinished")


def ready():
    """Why the tests cannot run, or None."""
    if not rig.V2C:
        return "V2C is not set"
    return None if ITEST.exists() and SHIM.exists() else f"make check has not built {ITEST}"


def seed_of_run():
    """From $SEED, else random; printed, so that a run can be had again."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1, 1 << 32))
    print(f"seed {seed}")
    return seed


# ----------------------------------------------------------------------------------------------- itest


def summary(text):
    return types.SimpleNamespace(**json.loads(text))


def steady_port(kind):
    """One that the kernel gives to nobody who connects: else, while the origin is away, a connection to its
    port may get that very port, and is then connected to itself."""
    first = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(first // 2, first)
        with socket.socket(socket.AF_INET, kind) as s:
            try:
                s.bind((HOST, port))
                return port
            except OSError:
                pass


class Origin:
    """itest's origin; it keeps its ports when it is started again."""

    def __init__(self, directory, patience=60):
        self.directory, self.patience = pathlib.Path(directory), patience
        self.tcp, self.udp = steady_port(socket.SOCK_STREAM), steady_port(socket.SOCK_DGRAM)
        self.process, self.summaries = None, []
        self.start()

    def start(self):
        ports = ["--port", str(self.tcp), "--udp", str(self.udp)]
        self.process = subprocess.Popen(
            [ITEST, "origin", *ports, "--patience", str(self.patience)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        )
        assert self.process.stdout.readline(), "the origin does not start"

    def kill(self):
        self.process.kill()
        self.process.communicate()

    def stop(self):
        """Its tally; the streams that are still open count as unfinished."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            out, _ = self.process.communicate(timeout=20)
            self.summaries.append(summary(out))
        return self.summaries[-1]


class Load:
    """itest's client at work. Options are those of the program, `--seconds 3` as seconds=3."""

    def __init__(self, directory, ports, seed, **options):
        self.seed, self.trace_path = seed, pathlib.Path(directory) / f"trace-{time.monotonic_ns()}"
        ports = [ports] if isinstance(ports, int) else ports
        options = {"seed": seed, "trace": self.trace_path, **options}
        command = [ITEST, "client", "--ports", ",".join(map(str, ports))]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        self.begun = time.monotonic()
        self.deadline = options.get("seconds", 10) + options.get("grace", 30) + 20
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )

    def done(self):
        return self.process.poll() is not None

    def wait(self):
        left = self.begun + self.deadline - time.monotonic()
        out, _ = self.process.communicate(timeout=max(1, left))
        result = summary(out)
        result.visible = sum(getattr(result, name) for name in VISIBLE)
        return result

    def enough(self):
        """No more streams are opened."""
        if not self.done():
            self.process.terminate()

    def kill(self):
        if not self.done():
            self.process.kill()
            self.process.communicate()

    def trace(self):
        """One namespace for each ended stream."""
        found = []
        for line in self.trace_path.read_text().splitlines():
            stream, opened, first, ended, outcome, at, total, shape = line.split()
            found.append(
                types.SimpleNamespace(
                    stream=int(stream), opened=float(opened), first=float(first), ended=float(ended),
                    outcome=outcome, at=int(at), total=int(total), shape=int(shape),
                )
            )
        return found


def check(*results):
    """The gates."""
    for result in results:
        bad = {name: getattr(result, name) for name in GATES if getattr(result, name)}
        errors = [e for e in result.errors if e["outcome"] in GATES][:5]
        assert not bad, f"{result.role}, seed {result.seed}: {bad}\n" + "\n".join(map(str, errors))


def check_all_good(*results):
    check(*results)
    for result in results:
        bad = {name: getattr(result, name) for name in VISIBLE if getattr(result, name)}
        assert not bad, f"{result.role}, seed {result.seed}: {bad}\n" + "\n".join(
            map(str, result.errors[:5])
        )


# ------------------------------------------------------------------------------------- faults by order


class Shim:
    """The control page of shim.c. Shares are per 10,000 calls."""

    FAULTS = ("one_byte", "again", "interrupted", "aborted", "no_files", "no_memory")
    EVERY = 10_000

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.path.write_bytes(bytes(4096))
        with open(self.path, "r+b") as f:
            self.page = mmap.mmap(f.fileno(), 4096)

    def environment(self):
        return {"LD_PRELOAD": str(SHIM), "V2C_SHIM": str(self.path)}

    def wall(self, seconds):
        """The wall clock is that far from the real one."""
        struct.pack_into("q", self.page, 0, int(seconds))

    def fail(self, **shares):
        for name, share in shares.items():
            struct.pack_into("Q", self.page, 8 + 8 * self.FAULTS.index(name), share)

    def heal(self):
        self.fail(**dict.fromkeys(self.FAULTS, 0))
        self.wall(0)

    def done(self, name):
        at = 8 + 8 * (len(self.FAULTS) + self.FAULTS.index(name))
        return struct.unpack_from("Q", self.page, at)[0]


class Process(Program):
    """v2c with an environment and limits of its own."""

    def __init__(self, config, directory, name, environment=None, files=None):
        super().__init__("v2c", config, directory, name)
        self.environment, self.files = environment or {}, files

    def command(self):
        before = [f"{name}={value}" for name, value in self.environment.items()]
        limit = [f"--nofile={self.files}:{self.files}"] if self.files else []
        # Both replace themselves by what they start: the process is v2c's.
        limits = ["/usr/bin/prlimit", *limit] if limit else []
        return ["/usr/bin/env", *before, *limits, *super().command()]

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        if self.alive():
            self.thaw()
        super().stop()

    def drain(self, seconds=20 * SLOWER):
        """SIGTERM: it lets the open streams finish, and ends with 0."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(seconds) == 0, self.name

    def threads(self):
        return [int(t) for t in os.listdir(f"/proc/{self.process.pid}/task")]

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def switches(self):
        """How often its threads have gone to sleep: a bound for its wake-ups."""
        total = 0
        for thread in self.threads():
            status = pathlib.Path(f"/proc/{self.process.pid}/task/{thread}/status").read_text()
            total += int(re.search(r"\nvoluntary_ctxt_switches:\s+(\d+)", status).group(1))
        return total


class FaultyRelay(Relay):
    """A link that can stop, be cut, or bring its bytes one by one."""

    def __init__(self, target_port):
        self.flowing, self.split = threading.Event(), False
        self.flowing.set()
        super().__init__(target_port, lambda: self._edit)

    def _edit(self, _, data):
        self.flowing.wait()
        return data

    def _copy(self, source, sink, way, editor):
        super()._copy(source, _Splitter(sink, self), way, editor)

    def stop(self):
        self.flowing.clear()

    def go(self):
        self.flowing.set()

    def close(self):
        self.go()
        super().close()


class _Splitter:
    """A socket whose sendall() may write byte by byte."""

    def __init__(self, sink, relay):
        self.sink, self.relay = sink, relay

    def sendall(self, data):
        if self.relay.split:
            for i in range(min(len(data), 600)):
                self.sink.sendall(data[i : i + 1])
            data = data[600:]
        if data:
            self.sink.sendall(data)

    def shutdown(self, how):
        self.sink.shutdown(how)


# ---------------------------------------------------------------------------------------------- tunnel


class Link:
    """A portal, bridges and the origin. `bridges` is their number; `via` makes a relay for each of them;
    `prepare(name, config)` may change a config; `options` are those of Process, by its name."""

    def __init__(self, directory, bridges=1, via=None, prepare=None, options=None, patience=60):
        self.directory = pathlib.Path(directory)
        self.origin = Origin(directory, patience)
        self.user_id = str(uuid.uuid4())
        self.door, self.link, self.refused, self.closed, self.idle = free_ports(5)
        self.parking = socket.create_server((HOST, 0), backlog=4096)  # nobody accepts there
        self.udp = free_port(udp=True)
        self.status = {}
        visitors = [
            dokodemo("door", self.door, self.origin.tcp),
            dokodemo("refused", self.refused, self.closed),
            dokodemo("idle", self.idle, self.parking.getsockname()[1]),
            dokodemo("datagrams", self.udp, self.origin.udp, network="udp", timeout=5),
        ]
        self.relays = [via(self.link) if via else None for _ in range(bridges)]
        configs = {"portal": portal_config(self.link, self.user_id, visitors)}
        for i, relay in enumerate(self.relays):
            configs[f"bridge{i}"] = bridge_config(relay.port if relay else self.link, self.user_id)
        options, programs, self.links = options or {}, {}, 0
        for name, config in configs.items():
            config["log"] = {"loglevel": "warning", "access": "none"}
            self.status[name] = free_port()
            add_status(config, self.status[name])
            if prepare:
                prepare(name, config)
            bridges_there = config["reverse"].get("bridges", [])
            self.links += sum(b.get("connections", CONNECTIONS) for b in bridges_there)
            programs[name] = Process(config, directory, name, **options.get(name, {}))
        self.portal = programs["portal"]
        self.bridges = [programs[f"bridge{i}"] for i in range(bridges)]

    def programs(self):
        return [self.portal, *self.bridges]

    def start(self):
        for program in self.programs():
            program.start()
        self.wait_links(10 * SLOWER)
        return self

    def wait_links(self, seconds):
        wait_for(lambda: self.carriers() >= self.links, seconds, "all links")

    def carriers(self):
        return counters(self.status["portal"])["portal>>>portal>>>carriers"]

    def link_ports(self):
        """What tells the links from each other: the remote ports at the portal."""
        mine, found = f":{self.link:04X}", set()
        for table in ("tcp", "tcp6"):
            for fields in rig._socket_lines(table):
                if fields[1].endswith(mine) and fields[3] == "01":
                    found.add(fields[2].rsplit(":", 1)[1])
        return found

    def live(self):
        """Flows that are open, of all processes, without those that ask."""
        return {name: counters(port)["flows_live"] for name, port in self.status.items()}

    def settled(self):
        """No flow but links, and the requests that ask."""
        live, links = self.live(), self.carriers()
        bridges = sum(live[b.name] for b in self.bridges)
        return live["portal"] <= links + 1 and bridges <= links + len(self.bridges)

    def load(self, seed, port=None, udp=False, **options):
        if udp:
            options["udp"] = self.udp
        return Load(self.directory, port or self.door, seed, **options)

    def measure(self):
        """Memory and descriptors by process."""
        return {
            p.name: types.SimpleNamespace(rss=p.rss(), files=p.open_files()) for p in self.programs()
        }

    def stop(self):
        """Ends all of it, and checks that all were well until then; the origin's tally."""
        try:
            for program in reversed(self.programs()):
                program.stop()
            return self.origin.stop()
        finally:
            self.end_now()

    def end_now(self):
        for program in self.programs():
            if program.alive():
                program.kill()
        for relay in self.relays:
            if relay:
                relay.close()
        self.parking.close()
        if self.origin.process.poll() is None:
            self.origin.stop()


def restart(program):
    """kill -9 and start; the time of the kill."""
    at = time.monotonic()
    program.kill()
    program.start()
    return at


_libc = ctypes.CDLL(None, use_errno=True)


def storm(program, number, seconds, rate=1000):
    """A signal to the process and to each of its threads, at that rate."""
    pid, threads = program.process.pid, program.threads()
    end, due = time.monotonic() + seconds, time.monotonic()
    count = 0
    while due < end:
        os.kill(pid, number)
        for thread in threads:
            _libc.tgkill(pid, thread, number)
        count += 1
        due += 1 / rate
        pause = due - time.monotonic()
        if pause > 0:
            select_nothing(pause)
    return count


def select_nothing(seconds):
    """The pace of a generator of faults; nothing waits for an event here."""
    threading.Event().wait(seconds)
