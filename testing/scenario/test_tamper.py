"""Someone on the path, without a key, flips bits of a length: one link ends, nothing else."""
import pytest

import peer
from rig import Relay, first_good, http_get, wait_for

ANSWER_HEADER = 18 + 20


class LengthFlipper:
    """Edits one link: the first suitable chunk of one direction announces fewer bytes than its padding.

    It holds the user's key only to hit for certain. Who has no key knows the length from the size of
    the segment, and so can set the masked field to any value; the padding is then a guess.
    """

    def __init__(self, user_id, way):
        self.user_id, self.way = user_id, way
        self.armed = self.done = False
        self.held = {"up": bytearray(), "down": bytearray()}
        self.framing = {}
        self.skip = {"up": 0, "down": ANSWER_HEADER}

    def link(self):
        """A fresh editor for each link, which reports to this object."""
        one = LengthFlipper(self.user_id, self.way)
        one.report = self
        return one.edit

    def edit(self, way, data):
        held = self.held[way]
        held += data
        if way == "up" and not self.framing and not self._read_header(held):
            return b""
        out = bytearray()
        while held and way in self.framing:
            if self.skip[way]:
                part = min(self.skip[way], len(held))
                out += held[:part]
                del held[:part]
                self.skip[way] -= part
                continue
            size = self.framing[way].field_size()
            if len(held) < size:
                break
            out += self._field(way, bytes(held[:size]))
            del held[:size]
        return bytes(out)

    def _read_header(self, held):
        at = 0

        def read(count):
            nonlocal at
            if at + count > len(held):
                raise EOFError
            at += count
            return bytes(held[at - count : at])

        try:
            request, size = peer.open_header(self.user_id, read)
        except EOFError:
            return False
        self.framing = {"up": peer.Framing(request), "down": peer.Framing(request, answer=True)}
        self.skip["up"] = size
        return True

    def _field(self, way, field):
        framing = self.framing[way]
        size, padding = framing.length(field)
        framing.count += 1
        self.skip[way] = size
        if way != self.way or not self.report.armed or self.report.done:
            return field
        if framing.length_cipher:
            self.report.done = True
            return bytes([field[0] ^ 0x40]) + field[1:]
        if padding < 20:
            return field
        self.report.done = True
        wanted = size ^ 1  # the field is masked: what is XORed in, comes out
        return bytes([field[0] ^ wanted >> 8, field[1] ^ wanted & 0xFF])


@pytest.fixture
def tampered(own_tunnel):
    """A tunnel whose link has been tampered with in one direction."""

    def make(pairing, way):
        flipper = None

        def prepare(tunnel):
            nonlocal flipper
            flipper = LengthFlipper(tunnel.user_id, way)
            tunnel.relay.edit = flipper.link

        tunnel = own_tunnel(pairing, prepare, via=Relay)
        assert http_get(tunnel.web, "/5.bin").status == 200
        flipper.armed = True

        def hit():
            try:
                http_get(tunnel.web, "/5.bin", timeout=3)
            except (OSError, EOFError):
                pass
            return flipper.done

        wait_for(hit, 10, "a chunk to tamper with")
        return tunnel

    return make


@pytest.mark.quick
@pytest.mark.pairings(("v2c", "v2c"), ("v2c", "v2ray"))
def test_portal_survives(tampered, pairing):
    t = tampered(pairing, "up")
    links = t.relay.count
    first_good(t.web, seconds=6)
    assert t.portal.alive()
    assert t.relay.count >= links
    assert http_get(t.web, "/6.bin").status == 200


@pytest.mark.quick
@pytest.mark.pairings(("v2c", "v2c"))
def test_bridge_survives(tampered, pairing):
    t = tampered(pairing, "down")
    first_good(t.web, seconds=6)
    assert t.bridge.alive()
    assert http_get(t.web, "/6.bin").status == 200


@pytest.mark.quick
@pytest.mark.pairings(("v2ray", "v2c"), ("v2ray", "v2ray"))
def test_control_old_portal_dies(tampered, pairing):
    t = tampered(pairing, "up")
    wait_for(lambda: not t.portal.alive(), 5, "the portal to die")
    assert "slice bounds out of range" in t.portal.log()


@pytest.mark.quick
@pytest.mark.pairings(("v2ray", "v2ray"))
def test_control_old_bridge_dies(tampered, pairing):
    t = tampered(pairing, "down")
    wait_for(lambda: not t.bridge.alive(), 5, "the bridge to die")
