"""Relays on the path that hold bytes back, without anybody being told."""
import threading
import time

from rig import Relay


class Gate:
    """Of one link: while it is shut nothing passes, in neither direction."""

    def __init__(self):
        self.open = threading.Event()
        self.open.set()

    def __call__(self, _, data):
        self.open.wait()
        return data


class GateRelay(Relay):
    def __init__(self, target_port):
        self.gates = []
        super().__init__(target_port, self._gate)

    def _gate(self):
        self.gates.append(Gate())
        return self.gates[-1]

    def shut(self, gates):
        for g in gates:
            g.open.clear()

    def close(self):
        for g in self.gates:
            g.open.set()
        super().close()


class SlowRelay(Relay):
    """Every byte arrives, `seconds` to twice as many late."""

    def __init__(self, target_port, seconds):
        self.seconds = 0  # from start() on

        def late(_, data):
            time.sleep(self.seconds)
            return data

        super().__init__(target_port, lambda: late)
        self.late = seconds

    def start(self):
        self.seconds = self.late
