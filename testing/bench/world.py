"""The servers behind every tunnel, and the steps that all scenarios are made of."""
import os
import random
import re
import signal
import socket
import subprocess
import time

from subjects import wait_served
from system import HOST, MIB, Meter, NotMeasured, find_program, free_port, read, thread_seconds, wait_for

MB, GB = 1e6, 1e9
SMALL, RANDOM, BULK, SIZED = "/small.bin", "/random.bin", "/bulk.bin", "/sized.bin"
PACED, SLOW = "/paced" + BULK, "/slow" + SIZED  # 25 MB/s for ever; about a second
BULK_BYTES, SIZED_BYTES = 256 * MIB, 64 * MIB
WARM = 0.5

NGINX = """
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 16384; multi_accept on; }}
http {{
    access_log off;
    client_body_temp_path {directory}/temp; proxy_temp_path {directory}/temp;
    fastcgi_temp_path {directory}/temp; uwsgi_temp_path {directory}/temp; scgi_temp_path {directory}/temp;
    sendfile on; tcp_nopush on; tcp_nodelay on;
    open_file_cache max=16 inactive=1h;
    keepalive_requests 2000000000; keepalive_time 24h; keepalive_timeout 1h;
    client_header_timeout 1h; send_timeout 1h;
    server {{
        listen {listen} backlog=4096;
        root {directory}/files;
        location /paced/ {{ alias {directory}/files/; limit_rate 25000000; }}
        location /slow/ {{ alias {directory}/files/; limit_rate 64m; }}
    }}
}}
"""


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode()


def read_all(s, wanted=None):
    parts, size = [], 0
    while wanted is None or size < wanted:
        part = s.recv(MIB)
        if not part:
            break
        parts.append(part)
        size += len(part)
    return b"".join(parts)


class World:
    """nginx and `origin` for all samples. `seconds` is the length of a measuring window."""

    def __init__(self, stage, seconds):
        self.stage, self.seconds = stage, seconds
        self.content = random.Random(1).randbytes(4 * MIB)
        files = stage.path("files")
        os.mkdir(files)
        for name, content in ((SMALL, self.content[:1024]), (RANDOM, self.content)):
            with open(files + name, "wb") as file:
                file.write(content)
        for name, size in ((BULK, BULK_BYTES), (SIZED, SIZED_BYTES)):
            with open(files + name, "w+b", buffering=0) as file:
                file.truncate(size)
                while file.read(MIB):  # into the page cache
                    pass
        self.web = free_port()
        self.start_nginx(stage, f"{HOST}:{self.web}")
        self.echo = free_port()
        self.echo_server = stage.tool("origin", HOST, self.echo)

    def start_nginx(self, stage, listen, space=None):
        """Another nginx for the same files, perhaps in another namespace."""
        directory = self.stage.directory
        os.makedirs(stage.path("temp"), exist_ok=True)
        text = NGINX.format(directory=directory, listen=listen)
        path = stage.write("nginx.conf", text.replace("/nginx.pid", f"/nginx.{os.urandom(4).hex()}.pid"))
        port = int(listen.rpartition(":")[2])
        return stage.run("nginx", [find_program("nginx"), "-c", path, "-p", directory], [port], space)

    # -------------------------------------------------------------------------- starting a tunnel

    def tunnel(self, stage, subject, check=True, **keys):
        """A tunnel to nginx that serves and, unless told otherwise, has shown that it changes nothing."""
        t = subject.tunnel(stage, self.web, **keys)
        self.wait_served(t.port)
        if check:
            self.check_download(t.port)
        return t

    def echo_tunnel(self, stage, subject, check=True):
        t = subject.tunnel(stage, self.echo)
        wait_served(t.port, b"E?", b"E?")
        if check:
            self.check_echo(t.port)
        return t

    def wait_served(self, port):
        wait_served(port, get(SMALL), b"HTTP/1.1 200")

    def check_download(self, port):
        with socket.create_connection((HOST, port), 10) as s:
            s.sendall(get(RANDOM))
            if read_all(s).partition(b"\r\n\r\n")[2] != self.content:
                raise NotMeasured("the downloaded content is not that of the file")

    def check_echo(self, port):
        with socket.create_connection((HOST, port), 10) as s:
            content = b"E" + self.content[:MIB]
            for at in range(0, len(content), 65536):
                part = content[at : at + 65536]
                s.sendall(part)
                if read_all(s, len(part)) != part:
                    raise NotMeasured("what came back is not what was sent")

    # ----------------------------------------------------------------------------------- measuring

    def window(self, stage, processes, counter, seconds=None):
        """(bytes, seconds, CPU seconds) of a load that runs; `counter` counts the bytes."""
        time.sleep(WARM)
        meter = Meter(stage, processes)
        counter.mark()
        time.sleep(seconds or self.seconds)
        moved = counter.report()["bytes"]
        took, cpu = meter.stop()
        return moved, took, cpu

    def flow(self, stage, processes, counter, load):
        """What a bulk load reaches."""
        moved, seconds, cpu = self.window(stage, processes, counter)
        if not moved:
            raise NotMeasured("nothing was carried")
        metrics = {"mb_s": moved / seconds / MB, "errors": failures(load.report())}
        if processes:
            metrics["cpu_s_gb"] = cpu / (moved / GB)
        return metrics

    def rate(self, load):
        load.mark()
        begin = time.monotonic()
        time.sleep(self.seconds)
        return load.report()["bytes"] / (time.monotonic() - begin) / MB


def failures(counts):
    return counts["refused"] + counts["failed"] + counts["late"]


def milliseconds(us):
    return us / 1000


# ---------------------------------------------------------------------------------------------- wrk

WRK_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


def parse_wrk(text):
    """The figures in what `wrk --latency` prints; latencies in ms."""

    def latency(share):
        found = re.search(rf"^\s+{share}%\s+([\d.]+)(us|ms|s|m)$", text, re.M)
        return float(found[1]) * WRK_UNITS[found[2]]

    found = re.search(r"^\s*(\d+) requests in ([\d.]+)(us|ms|s|m),", text, re.M)
    if not found:
        raise NotMeasured("wrk failed: " + " ".join(text.split())[-300:])
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    requests = int(found[1])
    return {
        "requests": requests,
        "seconds": float(found[2]) * WRK_UNITS[found[3]] / 1000,
        "p50_ms": latency(50) if requests else None,
        "p99_ms": latency(99) if requests else None,
        "errors": (sum(map(int, errors.groups())) if errors else 0) + (int(wrong[1]) if wrong else 0),
    }


def wrk_command(port, connections, seconds, close=False):
    header = ["-H", "Connection: close"] if close else []
    return [find_program("wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "5s", "--latency",
            *header, f"http://{HOST}:{port}{SMALL}"]  # fmt: skip


def wrk(port, connections, seconds, close=False):
    done = subprocess.run(
        wrk_command(port, connections, seconds, close),
        capture_output=True, text=True, timeout=seconds + 30, check=False,
    )  # fmt: skip
    return parse_wrk(done.stdout + done.stderr)


# ------------------------------------------------------------------------------------------- strace


def traced(stage, processes, action):
    """System calls of the processes, all threads, while action() runs."""
    output = stage.path("strace.txt")
    attach = [word for child in processes for word in ("-p", str(child.pid))]
    tracer = subprocess.Popen(
        [find_program("strace"), "-f", "-q", "-c", "-U", "calls,name", "-o", output, *attach],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_traced(processes)
        action()
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(20)
    with open(output, encoding="ascii") as file:
        lines = [line.split() for line in file]
    return sum(int(w[0]) for w in lines if len(w) == 2 and w[0].isdigit() and w[1] != "total")


def wait_traced(processes):
    threads = [(c.pid, t) for c in processes for t in thread_seconds(c.pid)]
    wait_for(
        lambda: all("TracerPid:\t0\n" not in read(f"/proc/{p}/task/{t}/status") for p, t in threads),
        10, "strace to attach",
    )  # fmt: skip
