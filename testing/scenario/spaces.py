"""Network namespaces that are one small network, in which the way from one to another can be cut without a word.

Needs root and a kernel that lets it; refused() says why not. Nothing of the machine's own network is touched.
"""
import ctypes
import functools
import itertools
import os
import subprocess
import threading

CLONE_NEWNET = 0x40000000
NETWORK = "10.213.77"
NOWHERE = "02:00:00:00:de:ad"  # nobody's: what is sent there is lost
_numbers = itertools.count()


def _ip(*words):
    done = subprocess.run(["ip", *map(str, words)], capture_output=True, text=True, timeout=10, check=False)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(map(str, words))}: {done.stderr.strip()}")


@functools.cache
def refused():
    """Why there can be no namespaces here, or None."""
    try:
        Spaces(1).close()
    except OSError as error:
        return str(error)
    return None


class Spaces:
    """A hub, where everybody else is, and `count` spaces with an address each."""

    def __init__(self, count):
        prefix = f"v2c{os.getpid()}x{next(_numbers)}"
        self.hub, self.names = prefix + "h", [f"{prefix}n{i}" for i in range(count)]
        self.addresses = [f"{NETWORK}.{10 + i}" for i in range(count)]
        self.made = []
        try:
            self._build()
        except OSError:
            self.close()
            raise

    def _build(self):
        for name in [self.hub, *self.names]:
            _ip("netns", "add", name)
            self.made.append(name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", self.hub, "link", "add", "hub", "type", "bridge")
        _ip("-n", self.hub, "link", "set", "hub", "up")
        for i, name in enumerate(self.names):
            _ip("link", "add", f"to{i}", "netns", self.hub, "type", "veth", "peer", "name", "net", "netns", name)
            _ip("-n", self.hub, "link", "set", f"to{i}", "master", "hub", "up")
            _ip("-n", name, "address", "add", f"{self.addresses[i]}/24", "dev", "net")
            _ip("-n", name, "link", "set", "net", "up")

    def add_hub_address(self, number):
        address = f"{NETWORK}.{number}"
        _ip("-n", self.hub, "address", "add", f"{address}/24", "dev", "hub")
        return address

    def lose(self, i, address):
        """What space i sends to the address is lost."""
        _ip("-n", self.names[i], "neighbour", "replace", address, "lladdr", NOWHERE, "dev", "net", "nud", "permanent")

    def find(self, i, address):
        _ip("-n", self.names[i], "neighbour", "delete", address, "dev", "net")

    def part(self, i, j):
        """Two spaces do not reach each other any more."""
        self.lose(i, self.addresses[j])
        self.lose(j, self.addresses[i])

    def join(self, i, j):
        self.find(i, self.addresses[j])
        self.find(j, self.addresses[i])

    def close(self):
        """Programs in it have ended before."""
        for name in self.made:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, timeout=10, check=False)
        self.made = []


def inside(space, job):
    """What job() returns in the space; sockets that it makes stay there. None: here."""
    if space is None:
        return job()
    answer = []

    def run():
        try:
            with open(f"/run/netns/{space}", "rb") as f:
                if ctypes.CDLL(None, use_errno=True).setns(f.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            answer.append((job(), None))
        except BaseException as error:  # to be raised by who asked
            answer.append((None, error))

    thread = threading.Thread(target=run)  # only this thread moves, and it ends
    thread.start()
    thread.join()
    value, error = answer[0]
    if error:
        raise error
    return value


def prefix(space):
    """What stands before a command that shall run there."""
    return ["ip", "netns", "exec", space] if space else []
