"""Processes, ports and what /proc says about them."""
import ctypes
import json
import os
import platform
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

HOST = "127.0.0.1"
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
MIB = 1 << 20
PR_SET_PDEATHSIG = 1
OTHERS = (("v2ray", "-version"), ("/usr/sbin/haproxy", "-v"), ("wrk", "-v"), ("openssl", "version"))
LISTEN, ESTABLISHED = "0A", "01"


class NotMeasured(Exception):
    """This cannot be measured here; the text says why and stands in the report."""


# --------------------------------------------------------------------------------------------- /proc


def read(path):
    """A file of /proc; empty when the process is gone."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def stat_seconds(path):
    """User and system time in a stat file of a process or thread."""
    fields = read(path).rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS if fields else 0.0


def wake_ups(pid):
    """How often the threads of a process have waited for something."""
    found = 0
    for thread in thread_seconds(pid):
        for line in read(f"/proc/{pid}/task/{thread}/status").splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                found += int(line.split()[1])
    return found


def cpu_seconds(pid):
    return stat_seconds(f"/proc/{pid}/stat")


def thread_seconds(pid):
    """CPU seconds of each thread, by its number."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return {}
    return {thread: stat_seconds(f"/proc/{pid}/task/{thread}/stat") for thread in threads}


def rss(pid):
    """Resident bytes."""
    fields = read(f"/proc/{pid}/statm").split()
    return int(fields[1]) * PAGE if fields else 0


def socket_memory():
    """Bytes that the kernel holds for all TCP sockets."""
    for line in read("/proc/net/sockstat").splitlines():
        words = line.split()
        if words[0] == "TCP:":
            return int(words[words.index("mem") + 1]) * PAGE
    return 0


def machine_seconds():
    """CPU seconds since boot of the whole machine: busy ones, and those the hypervisor took."""
    user, nice, system, _, _, irq, softirq, steal = (
        int(word) / TICKS for word in read("/proc/stat").split("\n", 1)[0].split()[1:9]
    )
    return user + nice + system + irq + softirq, steal


def tcp_states(port, pid="self"):
    """The states of all TCP sockets whose own port this is, in the namespace of a process."""
    found = []
    for table in ("tcp", "tcp6"):
        for line in read(f"/proc/{pid}/net/{table}").splitlines()[1:]:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port:
                found.append(fields[3])
    return found


def wait_for(check, seconds, what):
    """The first true answer of check()."""
    end = time.monotonic() + seconds
    while not (answer := check()):
        if time.monotonic() > end:
            raise NotMeasured(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.003)
    return answer


def find_program(name):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise NotMeasured(f"{name} is not installed")
    return path


def raise_descriptor_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def first_line(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return "not installed"
    return (done.stdout + done.stderr).strip().split("\n", 1)[0]


def describe_machine():
    """What a reader must know to place the figures."""
    cpu = [l.partition(":")[2].strip() for l in read("/proc/cpuinfo").splitlines() if "model name" in l]
    memory = read("/proc/meminfo").split()
    return {
        "CPU": cpu[0] if cpu else "unknown",
        "cores": os.cpu_count(),
        "memory": f"{int(memory[1]) / MIB:.1f} GiB" if memory else "unknown",
        "kernel": platform.release(),
        "congestion control": read("/proc/sys/net/ipv4/tcp_congestion_control").strip(),
        "origin": first_line("/usr/sbin/nginx", "-v").rpartition(" ")[2],
        "others": ", ".join(" ".join(first_line(*command).split()[:3]) for command in OTHERS),
    }


# --------------------------------------------------------------------------------------------- ports

_held = []


def free_port():
    """A port that the kernel chose. It stays bound here, without listening: nobody's outgoing connection
    gets it, while a listener with SO_REUSEADDR may bind beside us."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((HOST, 0))
    _held.append(s)
    if len(_held) > 200:
        _held.pop(0).close()
    return s.getsockname()[1]


# ----------------------------------------------------------------------------------------- processes


def _die_with_us():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Child:
    """A process whose output goes to a log. `space` is the path of a network namespace."""

    def __init__(self, command, log, listens=(), space=None, stdin=subprocess.DEVNULL):
        self.command, self.log, self.listens, self.space = command, log, listens, space
        prefix = [find_program("nsenter"), f"--net={space}"] if space else []
        with open(log, "ab") as file:
            self.process = subprocess.Popen(
                prefix + command,
                stdin=stdin,
                stdout=subprocess.PIPE if stdin == subprocess.PIPE else file,
                stderr=file,
                preexec_fn=_die_with_us,
                text=True,
            )
        self.pid = self.process.pid

    def wait_listening(self, seconds=10):
        def ready():
            if self.process.poll() is not None:
                raise NotMeasured(f"{self.command[0]} ended: {self.log_end()}")
            return all(LISTEN in tcp_states(port, self.pid) for port in self.listens)

        wait_for(ready, seconds, f"{self.command[0]} to listen on {self.listens}; {self.log_end()}")
        return self

    def again(self):
        """The same program once more, after this one has ended."""
        return Child(self.command, self.log, self.listens, self.space)

    def signal(self, number):
        if self.process.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()

    def log_end(self):
        with open(self.log, "rb") as file:
            return " ".join(file.read()[-600:].decode(errors="replace").split())


class Tool(Child):
    """One of our C programs: a command is a line on its standard input, an answer one on its output."""

    def __init__(self, command, log, space=None):
        super().__init__(command, log, space=space, stdin=subprocess.PIPE)

    def tell(self, line):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise NotMeasured(f"{self.command[0]} ended: {self.log_end()}") from error

    def line(self):
        text = self.process.stdout.readline()
        if not text:
            raise NotMeasured(f"{self.command[0]} ended: {self.log_end()}")
        return text

    def report(self, command="report"):
        self.tell(command)
        return json.loads(self.line())

    def mark(self):
        return self.report("mark")

    def finish(self, seconds):
        """Lets nothing new begin, waits for what is under way, and gives the counts."""
        self.tell("stop")
        end = time.monotonic() + seconds
        while (counts := self.report())["waiting"] > 0 and time.monotonic() < end:
            time.sleep(0.02)
        return counts


class Stage:
    """What one sample needs: a directory and processes, all gone at its end. `around` is the stage of those
    that stay, such as the servers behind all tunnels."""

    def __init__(self, tools, around=None):
        self.tools, self.around = tools, around
        self.directory = tempfile.mkdtemp(prefix="v2c-bench-")
        os.chmod(self.directory, 0o755)
        self.children = []
        self.others = 0.0  # largest share of the machine that others had in a window

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for child in reversed(self.children):
            child.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def write(self, name, text):
        path = os.path.join(self.directory, name)
        with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        return path

    def path(self, name):
        return os.path.join(self.directory, name)

    def run(self, name, command, listens=(), space=None):
        child = Child(command, self.path(name + ".log"), listens, space)
        self.children.append(child)
        return child.wait_listening()

    def restart(self, child):
        self.children.append(child.again())
        return self.children[-1]

    def tool(self, *command, space=None):
        program = os.path.join(self.tools, command[0])
        if not os.access(program, os.X_OK):
            raise NotMeasured(f"{program} is missing: make bench builds it")
        tool = Tool([program, *map(str, command[1:])], self.path(command[0] + ".log"), space)
        self.children.append(tool)
        return tool

    def our_seconds(self):
        """CPU seconds of this program and all that it started."""
        times = os.times()
        children = self.children + (self.around.children if self.around else [])
        alive = sum(cpu_seconds(c.pid) for c in children if c.process.poll() is None)
        return times.user + times.system + times.children_user + times.children_system + alive


class Meter:
    """CPU seconds of processes between its making and stop(), and what others took meanwhile."""

    def __init__(self, stage, children):
        self.stage, self.children = stage, children
        self.before = self._now()

    def _now(self):
        busy, steal = machine_seconds()
        cpu = sum(cpu_seconds(child.pid) for child in self.children)
        return time.monotonic(), cpu, busy - self.stage.our_seconds(), steal

    def stop(self):
        """(seconds, CPU seconds)"""
        seconds, cpu, foreign, steal = (b - a for a, b in zip(self.before, self._now()))
        others = (max(0.0, foreign) + steal) / (seconds * os.cpu_count())
        self.stage.others = max(self.stage.others, others)
        return seconds, cpu
