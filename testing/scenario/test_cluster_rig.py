"""What the tests of clusters stand on: a Redis that fails on order, networks that are cut, visitors who notice."""
import socket

import pytest

import spaces
from cluster import Redis, Visits
from origins import labelled
from rig import HOST

no_spaces = pytest.mark.skipif(bool(spaces.refused()), reason=f"no network namespaces: {spaces.refused()}")


@pytest.fixture
def redis(tmp_path):
    made = Redis(tmp_path)
    yield made
    made.stop()


def test_redis_forgets_when_it_is_killed_and_waits_when_it_is_frozen(redis):
    assert redis.ask("SET", "a", "x y\r\nz") == "OK"
    assert redis.ask("GET", "a") == "x y\r\nz" and redis.keys() == ["a"]
    with pytest.raises(RuntimeError, match="WRONGTYPE"):
        redis.ask("HGETALL", "a")
    redis.freeze()
    with redis.connection() as s:
        s.settimeout(0.1)
        s.sendall(b"PING\r\n")
        with pytest.raises(TimeoutError):
            s.recv(7)
        redis.thaw()
        s.settimeout(10)
        assert s.recv(7) == b"+PONG\r\n"
    redis.kill()
    with pytest.raises(OSError):
        redis.ask("PING")
    redis.start()
    assert redis.ask("GET", "a") is None


def test_visitors_notice_what_fails():
    good, bad = labelled("small\n"), labelled("other")
    try:
        with Visits([good.port], "web.test", threads=1, pause=0) as visits:
            visits.go_on(0)
        assert not visits.failed() and visits.percentile(0.5) < 1
        with Visits([good.port, bad.port], "web.test", threads=1, pause=0) as visits:
            visits.go_on(0)
        assert {v.at for v in visits.failed()} == {(HOST, bad.port)}
    finally:
        good.close()
        bad.close()


@no_spaces
def test_a_way_between_two_spaces_is_cut_and_healed():
    net = spaces.Spaces(2)
    try:
        there, here = net.addresses[1], net.names[0]
        listener = spaces.inside(net.names[1], lambda: socket.create_server((there, 0)))
        port = listener.getsockname()[1]

        def reach(timeout):
            spaces.inside(here, lambda: socket.create_connection((there, port), timeout)).close()

        reach(5)
        net.part(0, 1)
        with pytest.raises(TimeoutError):
            reach(0.2)
        net.join(0, 1)
        reach(5)
        listener.close()
    finally:
        net.close()
