"""Real processes on loopback: ports, programs, waiting for events, visitors.

Nothing here sleeps for a guessed time. Everything waits for an event (a port that listens, a log line,
an answer, an exit) with a deadline; wait_for() is the only place that polls.
"""
import collections
import ctypes
import json
import os
import pathlib
import random
import re
import signal
import socket
import struct
import subprocess
import threading
import time

HOST = "127.0.0.1"
V2RAY = os.environ.get("V2RAY", "/usr/bin/v2ray")
V2C = os.environ.get("V2C", "")
WORKERS = int(os.environ.get("V2C_WORKERS", "0"))  # of every v2c whose config does not say it
NGINX = os.environ.get("NGINX", "/usr/sbin/nginx")
KINDS = ["v2c", "v2ray"] if V2C else ["v2ray"]  # of programs that tests run with
SANITIZER_WORDS = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:")
LOG_TAIL = 12_000


def _has_sanitizer(path):
    program = pathlib.Path(path).read_bytes() if path else b""
    return b"__asan_init" in program or b"__tsan_init" in program


# A sanitizer build is several times slower; only deadlines of speed are stretched by it.
SANITIZED = _has_sanitizer(V2C)
SLOWER = 4 if SANITIZED else 1


def wait_for(check, seconds, what):
    """The first true answer of check(), asked every 10 ms."""
    end = time.monotonic() + seconds
    while True:
        answer = check()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        time.sleep(0.01)


# ----------------------------------------------------------------------------------------------- ports


_given_ports = collections.deque(maxlen=4096)
_held_ports = collections.deque()


def _hold(s):
    """Keeps a port from being chosen for somebody's outgoing connection until its program has bound it. A
    listener with SO_REUSEADDR, as all of ours are, may bind beside a socket that does not listen."""
    _held_ports.append(s)
    if len(_held_ports) > 256:
        _held_ports.popleft().close()


def free_ports(count, udp=False):
    """Ports the kernel chose, none of which was given before: who asked may not have bound it yet. One for datagrams
    cannot be held until then, so it is a free one below those that the kernel gives to others meanwhile."""
    ports, closing = [], []
    while len(ports) < count:
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0 if udp else 1)
        try:
            s.bind(("", random.randrange(16000, 32000)) if udp else (HOST, 0))
        except OSError:
            s.close()
            continue
        port = s.getsockname()[1]
        fresh = port not in _given_ports
        if fresh:
            ports.append(port)
            _given_ports.append(port)
        if fresh and not udp:
            _hold(s)
        else:
            closing.append(s)  # stays bound until all are known
    for s in closing:
        s.close()
    return ports


def free_port(udp=False):
    return free_ports(1, udp)[0]


def _socket_lines(table):
    try:
        with open(f"/proc/net/{table}") as f:
            next(f)
            return [line.split() for line in f]
    except OSError:
        return []


def _tcp_listening(port):
    """With SO_REUSEADDR only a socket that listens is in the way. /proc/net/tcp would tell, too, but
    reading it takes seconds once some 10,000 connections have ended."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((HOST, port))
        except OSError:
            return True
    return False


def listening(port, udp=False):
    """True when somebody listens there. Asks the kernel: a probing connection would be a visitor."""
    if not udp:
        return _tcp_listening(port)
    return any(
        int(fields[1].rsplit(":", 1)[1], 16) == port and fields[3] == "07"
        for table in ("udp", "udp6")
        for fields in _socket_lines(table)
    )


# -------------------------------------------------------------------------------------------- programs

used = []  # the programs that the running test has touched; conftest shows their logs when it fails


class Program:
    """One v2c or v2ray process. `config` is a dict, or the text of a file."""

    def __init__(self, kind, config, directory, name):
        self.kind, self.name = kind, name
        if WORKERS and kind == "v2c" and isinstance(config, dict):
            config.setdefault("workers", WORKERS)
        self.path = pathlib.Path(directory) / f"{name}.json"
        self.log_path = pathlib.Path(directory) / f"{name}.log"
        self.path.write_text(config if isinstance(config, str) else json.dumps(config, indent=1))
        self.path.chmod(0o600)
        inbounds = config.get("inbounds", []) if isinstance(config, dict) else []
        self.ports = [
            (i["port"], i.get("settings", {}).get("network") == "udp")
            for i in inbounds
            if "port" in i and i.get("streamSettings", {}).get("network") != "domainsocket"
        ]
        self.process = None
        self.born = None

    def command(self):
        if self.kind == "v2ray":
            return [V2RAY, "-config", str(self.path)]
        return [V2C, "run", "-c", str(self.path)]

    def start(self, ports=None):
        """Runs it and returns when it serves its ports; `ports` replaces those of the config."""
        if self not in used:
            used.append(self)
        said = len(self.log())
        with open(self.log_path, "ab") as log:
            self.born = time.monotonic()
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        waiting = self.ports if ports is None else [(p, False) for p in ports]
        wait_for(
            lambda: (all(listening(p, udp) for p, udp in waiting) and self.has_begun(said)) or not self.alive(),
            15 * SLOWER,
            f"{self.name} to listen on {waiting}",
        )
        assert self.alive(), f"{self.name} ended at its start:\n{self.log()[-LOG_TAIL:]}"
        return self

    def has_begun(self, said):
        """V2Ray listens before its portals are there, and then says that it has begun; of many lines it drops some."""
        return self.kind != "v2ray" or '"reverse"' not in self.path.read_text() or " started" in self.log()[said:]

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def wait_log(self, pattern, seconds=10):
        return wait_for(
            lambda: re.search(pattern, self.log()), seconds, f"{pattern!r} in the log of {self.name}"
        )

    def kill(self):
        """What a power cut does."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Asks it to end at once. v2c must then do so, with 0, and without a sanitizer's word."""
        if self.process is None:
            return
        died = self.process.poll()
        if died is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(10 * SLOWER)
            except subprocess.TimeoutExpired:
                self.kill()
                died = "did not end after SIGINT"
        if self.kind == "v2c":
            self.check_health()
            if died not in (None, -signal.SIGKILL):
                raise AssertionError(f"{self.name} ended early: {died}\n{self.log()[-LOG_TAIL:]}")
            code = self.process.returncode
            assert code in (0, -signal.SIGKILL), f"{self.name}: SIGINT gave exit code {code}"

    def check_health(self):
        log = self.log()
        for word in SANITIZER_WORDS:
            at = log.find(word)
            assert at < 0, f"{self.name}:\n{log[max(0, at - 2000): at + 6000]}"

    def rss(self):
        """Resident memory in bytes."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) * 1024

    def open_files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


class Nginx:
    """One nginx that serves a directory, without a log of requests; `more` goes into its server, `http` before it."""

    def __init__(self, directory, files, more="", http=""):
        self.port = free_port()
        self.directory = pathlib.Path(directory)
        conf = self.directory / "nginx.conf"
        conf.write_text(
            f"""
            daemon off; worker_processes 1; master_process off; pid {directory}/nginx.pid;
            error_log {directory}/nginx-error.log;
            events {{ worker_connections 2048; }}
            http {{
                access_log off; sendfile on; keepalive_requests 100000; default_type text/plain;
                client_body_temp_path {directory}/t1; proxy_temp_path {directory}/t2;
                fastcgi_temp_path {directory}/t3; uwsgi_temp_path {directory}/t4;
                scgi_temp_path {directory}/t5; {http}
                server {{ listen {HOST}:{self.port} backlog=1024; root {files}; {more} }}
            }}"""
        )
        self.process = subprocess.Popen(
            [NGINX, "-c", str(conf), "-p", str(directory), "-e", f"{directory}/nginx-error.log"],
            stdin=subprocess.DEVNULL,
        )
        wait_for(lambda: listening(self.port), 10, "nginx to listen")

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


# -------------------------------------------------------------------------------------------- visitors


def connect(port, timeout=10):
    s = socket.create_connection((HOST, port), timeout)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def reset(s):
    """Closes with RST."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


Ending = collections.namedtuple("Ending", "data how")  # how: "fin", "rst" or "open"


def read_to_end(s, timeout=10, keep=True):
    """All bytes until the peer ends, and how it ended. Without `keep`, data is their number."""
    end = time.monotonic() + timeout
    data, count = bytearray(), 0
    while True:
        try:
            s.settimeout(max(0.001, end - time.monotonic()))
            piece = s.recv(1 << 18)
        except (TimeoutError, BlockingIOError):
            how = "open"
            break
        except ConnectionError:
            how = "rst"
            break
        if not piece:
            how = "fin"
            break
        count += len(piece)
        if keep:
            data += piece
    return Ending(bytes(data) if keep else count, how)


def visit_whole(port, words=b"", timeout=10):
    """What a visitor hears who says that, and how it ends. Who is reset may hear of it while he still connects or speaks."""
    try:
        with connect(port) as s:
            s.sendall(words)
            return read_to_end(s, timeout)
    except ConnectionError:
        return Ending(b"", "rst")


def visit_end(port):
    """How a visitor who says nothing ends."""
    return visit_whole(port).how


def read_exactly(s, count):
    data = bytearray()
    while len(data) < count:
        piece = s.recv(min(1 << 18, count - len(data)))
        if not piece:
            raise EOFError(f"end after {len(data)} of {count} bytes")
        data += piece
    return bytes(data)


class HttpAnswer(collections.namedtuple("HttpAnswer", "status body")):
    @property
    def text(self):
        return self.body.decode(errors="replace")


def read_answer(s, sink=None):
    """One HTTP/1.1 answer with a Content-Length from a kept connection."""
    head = bytearray()
    while b"\r\n\r\n" not in head:
        piece = s.recv(65536)
        if not piece:
            raise EOFError(f"end inside the head: {bytes(head)!r}")
        head += piece
    head, rest = bytes(head).split(b"\r\n\r\n", 1)
    status = int(head.split(b" ", 2)[1])
    found = re.search(rb"(?im)^content-length: *(\d+)", head)
    if not found:
        return HttpAnswer(status, rest + read_to_end(s, 10).data)
    length = int(found.group(1))
    if sink is None:
        return HttpAnswer(status, rest + read_exactly(s, length - len(rest)))
    sink(rest)
    left = length - len(rest)
    while left:
        piece = s.recv(min(left, 1 << 18))
        if not piece:
            raise EOFError(f"{left} bytes are missing")
        sink(piece)
        left -= len(piece)
    return HttpAnswer(status, b"")


def http_request(path, keep=False, extra=""):
    end = "keep-alive" if keep else "close"
    return f"GET {path} HTTP/1.1\r\nHost: web.test\r\nConnection: {end}\r\n{extra}\r\n".encode()


def http_get(port, path="/", timeout=10, extra=""):
    with connect(port, timeout) as s:
        s.sendall(http_request(path, extra=extra))
        return read_answer(s)


def first_good(port, path="/small.txt", seconds=10, since=None):
    """Asks again and again until an answer is right; seconds from `since` to the end of it."""
    since = time.monotonic() if since is None else since
    end = time.monotonic() + seconds

    def good():
        try:
            left = max(0.2, end - time.monotonic())
            return http_get(port, path, timeout=left).status == 200
        except (OSError, EOFError):
            return False

    wait_for(good, seconds, f"a good answer on port {port}")
    return time.monotonic() - since


def counters(port):
    """The numbers of /stats, by name."""
    found = {}
    for line in http_get(port, "/stats").text.splitlines():
        name, colon, value = line.rpartition(":")
        if colon and value.strip().lstrip("-").isdigit():
            found[name.strip()] = int(value)
    return found


def in_parallel(jobs, timeout=60):
    """Runs the jobs at once, each in a thread; their results in order. The first error is raised."""
    results, errors = [None] * len(jobs), []

    def run(index, job):
        try:
            results[index] = job()
        except BaseException as error:  # to be raised in the test's own thread
            errors.append(error)

    threads = [
        threading.Thread(target=run, args=(i, job), daemon=True) for i, job in enumerate(jobs)
    ]
    for t in threads:
        t.start()
    end = time.monotonic() + timeout
    for t in threads:
        t.join(max(0, end - time.monotonic()))
        assert not t.is_alive(), f"a job did not end within {timeout} s"
    if errors:
        raise errors[0]
    return results


# ----------------------------------------------------------------------------------------------- relay


class Relay:
    """Stands on the path between bridge and portal: counts links, cuts them, edits their bytes.

    `edit` is None or makes one editor per link: editor(direction, data) -> data, with direction "up"
    for bytes from the one who dialled. An editor may hold bytes back by answering b"".
    """

    def __init__(self, target_port, edit=None):
        self.target_port, self.edit = target_port, edit
        self.links = []
        self.count = 0
        self.lock = threading.Lock()
        self.listener = socket.create_server((HOST, 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                far = connect(self.target_port)
            except OSError:
                reset(near)
                continue
            near.settimeout(None)
            far.settimeout(None)
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            editor = self.edit() if self.edit else lambda direction, data: data
            with self.lock:
                self.links.append((near, far))
                self.count += 1
            for source, sink, way in ((near, far, "up"), (far, near, "down")):
                threading.Thread(
                    target=self._copy, args=(source, sink, way, editor), daemon=True
                ).start()

    @staticmethod
    def _copy(source, sink, way, editor):
        try:
            while data := source.recv(65536):
                sink.sendall(editor(way, data))
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            for s in (source, sink):
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def cut(self):
        """RST on every link, in both directions."""
        with self.lock:
            links, self.links = self.links, []
        for pair in links:
            for s in pair:
                _abort(s)

    def refuse(self):
        """No new links."""
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.thread.join(5)

    def close(self):
        self.refuse()
        self.cut()


def _abort(s):
    """Sends RST at once, though another thread may sit in recv(): connecting to AF_UNSPEC aborts."""
    address = struct.pack("H14x", socket.AF_UNSPEC)
    ctypes.CDLL(None, use_errno=True).connect(s.fileno(), address, len(address))
