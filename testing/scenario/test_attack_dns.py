"""Answers that mean no good: about names that nobody asked for, and without end."""
import socket

import pytest

from nameserver import A, CNAME, read_question, record, reply, wire_name
from rig import in_parallel
from test_dns import ONE, THREE, TWO, Doors, plain, posts, server  # noqa: F401

pytestmark = [pytest.mark.v2c, pytest.mark.quick]
VICTIM = wire_name("victim.example")


def at(address):
    return socket.inet_aton(address)


def about_others(zone, message, how):
    """Records of another name as answer, as authority, and an alias of that name."""
    kind = read_question(message)[1]
    false = [record(VICTIM, A, 3600, at(THREE)), record(VICTIM, CNAME, 3600, wire_name("evil.example"))]
    own = [record(b"\xc0\x0c", A, 60, at(TWO))] if kind == A else []
    return [reply(message, false + own, authority=false)]


def only_about_others(zone, message, how):
    return [reply(message, [record(VICTIM, A, 3600, at(THREE))])]


def test_no_answer_is_about_another_name(run, posts, server):  # noqa: F811
    names = server({"evil.example": about_others, "worse.example": only_about_others, "victim.example": [ONE]})
    doors = Doors(posts, ["evil.example", "worse.example", "victim.example"], {"servers": [plain(names)]})
    run("v2c", doors.config)
    assert doors.where("evil.example") == TWO
    assert doors.where("worse.example") is None
    assert doors.where("victim.example") == ONE
    assert names.zone.count("victim.example") == 1


def cut(zone, message, how):
    """Each prefix of an answer, and rubbish behind its head, before the right one."""
    good = zone.usual(message, [TWO])[0]
    false = zone.usual(message, [THREE])[0]
    pointers = false[:12] + false[12:-16] + b"\xc0" + bytes([len(false) - 16]) + false[-14:]
    return [false[:n] for n in range(0, 12)] + [good] + [pointers, false[:3] + b"\xff" * 1200]


def test_answers_that_are_cut_harm_nobody(run, posts, server):  # noqa: F811
    names = server({f"n{i}.example": cut for i in range(20)})
    doors = Doors(posts, [f"n{i}.example" for i in range(20)], {"servers": [plain(names)]})
    v2c = run("v2c", doors.config)
    found = in_parallel([lambda n=n: doors.where(n) for n in doors.ports])
    assert set(found) <= {TWO, None} and v2c.alive()
    assert v2c.open_files() < 200
