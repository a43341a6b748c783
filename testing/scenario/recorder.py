"""A relay between bridge and portal that keeps what passes, and reads it with the user's key."""
import threading

from cryptography.exceptions import InvalidTag

import peer
from rig import Relay


class Bytes:
    """What has been recorded, read from its start; EOFError at its end."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def read(self, count):
        if self.at + count > len(self.data):
            raise EOFError
        self.at += count
        return self.data[self.at - count : self.at]


def _frames(chunk):
    """All whole frames in the chunks that chunk() gives."""
    rest = b""

    def read(count):
        nonlocal rest
        while len(rest) < count:
            data = chunk()
            if not data:
                raise EOFError
            rest += data
        data, rest = rest[:count], rest[count:]
        return data

    found = []
    try:
        while True:
            found.append(peer.read_frame(read))
    except (EOFError, InvalidTag):
        return found


class Recording:
    """Of one link."""

    def __init__(self):
        self.lock = threading.Lock()
        self.bytes = {"up": bytearray(), "down": bytearray()}

    def __call__(self, way, data):
        with self.lock:
            self.bytes[way] += data
        return data

    def frames(self, user_id):
        """What the bridge has written so far, and what the portal has."""
        with self.lock:
            up, down = Bytes(bytes(self.bytes["up"])), Bytes(bytes(self.bytes["down"]))
        try:
            request, _ = peer.open_header(user_id, up.read)
        except EOFError:
            return [], []
        framing = peer.Framing(request)
        said = _frames(lambda: framing.open(up.read))
        try:
            peer.open_answer(request, down.read)
        except EOFError:
            return said, []
        answer = peer.Framing(request, answer=True)
        return said, _frames(lambda: answer.open(down.read))


class Recorder(Relay):
    def __init__(self, target_port):
        self.recordings = []
        super().__init__(target_port, self._record)

    def _record(self):
        self.recordings.append(Recording())
        return self.recordings[-1]
