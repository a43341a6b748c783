"""A visitor that has sent all it has (FIN) still gets the whole answer."""
import socket
import subprocess

import pytest

from origins import MB, known_bytes
from rig import HOST, http_get, http_request, in_parallel, read_exactly, read_to_end

NEW = ("v2c", "v2c")
NEW_PORTAL = (NEW, ("v2c", "v2ray"))
OLD_PORTAL = (("v2ray", "v2c"), ("v2ray", "v2ray"))


def netcat(port, text):
    """What `printf ... | nc -N` prints: -N sends FIN at the end of its input."""
    return subprocess.run(
        ["nc", "-N", "-w", "8", HOST, str(port)], input=text, capture_output=True, timeout=15
    ).stdout


@pytest.mark.quick
@pytest.mark.pairings(*NEW_PORTAL)
def test_answer_after_the_visitors_fin(tunnels, pairing):
    """The server does not wait for the FIN: this works with an old bridge too."""
    t = tunnels.get(pairing)
    for _ in range(5):
        assert netcat(t.origin, b"late the whole answer\n") == b"the whole answer"


@pytest.mark.quick
@pytest.mark.pairings(*NEW_PORTAL)
def test_http_through_netcat(tunnels, pairing):
    t = tunnels.get(pairing)
    answer = netcat(t.web, http_request("/9.bin"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200") and len(body) == 109_000


@pytest.mark.quick
@pytest.mark.pairings(NEW)
def test_server_that_waits_for_the_end(tunnels, pairing):
    t = tunnels.get(pairing)
    for _ in range(5):
        assert netcat(t.origin, b"eof\nquestion") == b"got question"


@pytest.mark.pairings(NEW)
def test_fin_behind_much_data(tunnels, pairing):
    """The FIN does not overtake what was sent before it, nor cut what is on its way back."""
    t = tunnels.get(pairing)
    body = known_bytes(8 * MB)
    with t.ask("echo", 30) as s:

        def send():
            s.sendall(body)
            s.shutdown(socket.SHUT_WR)

        (got, how), _ = in_parallel([lambda: read_to_end(s, 30), send])
    assert how == "fin" and got == body


@pytest.mark.pairings(NEW)
def test_server_ends_first(tunnels, pairing):
    """The origin's FIN reaches the visitor, whose way to the origin stays as it is."""
    t = tunnels.get(pairing)
    with t.ask("bytes 100000") as s:
        end = read_to_end(s)
    assert end.how == "fin" and end.data == known_bytes(100_000)


@pytest.mark.pairings(*NEW_PORTAL)
def test_long_answer_after_the_fin(tunnels, pairing):
    t = tunnels.get(pairing)
    with t.ask(f"bytes {5 * MB}", 30) as s:
        s.shutdown(socket.SHUT_WR)
        end = read_to_end(s, 30)
    assert end.how == "fin" and end.data == known_bytes(5 * MB)


@pytest.mark.quick
@pytest.mark.pairings(*OLD_PORTAL)
def test_control_old_portal_loses_the_answer(tunnels, pairing):
    """It ends the session in both directions; its peer cannot help that, but the tunnel lives on."""
    t = tunnels.get(pairing)
    assert netcat(t.origin, b"late the whole answer\n") == b""
    assert http_get(t.web, "/small.txt").body == b"small\n"


def test_no_fin_at_all(tunnels, pairing):
    """The control of the control: the same question without a FIN is answered everywhere."""
    t = tunnels.get(pairing)
    with t.ask("late the whole answer") as s:
        assert read_exactly(s, 16) == b"the whole answer"
