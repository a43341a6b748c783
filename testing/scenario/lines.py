"""v2c as its command line configures it: `v2c portal ...`, `v2c bridge ...`."""
import subprocess

import rig
from rig import Program


class Line(Program):
    def __init__(self, words, directory, name, ports=()):
        super().__init__("v2c", "{}", directory, name)
        self.words = [str(w) for w in words]
        self.ports = [(p, False) for p in ports]

    def command(self):
        return [rig.V2C, *self.words]


def v2c(*words):
    """Exit code, and all that was said."""
    done = subprocess.run(
        [rig.V2C, *map(str, words)], capture_output=True, text=True, timeout=20, check=False
    )
    return done.returncode, done.stdout + done.stderr
