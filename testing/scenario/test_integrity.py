"""Every byte at its place while everything fails: the short versions. The long one is `make soak`.

Gates of each test: no wrong byte, no byte of another stream, nothing cut off that looks complete (see
testing/integrity/README.md).
"""
import contextlib
import os
import pathlib
import signal
import socket
import sys
import threading
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integrity"))

import harness
from certs import Cert
from harness import AFTER, HALF, FaultyRelay, Link, Load, Origin, Shim, check, check_all_good, restart, storm
from rig import HOST, SANITIZED, SLOWER, Relay, counters, reset, wait_for

pytestmark = [
    pytest.mark.v2c,
    pytest.mark.skipif(bool(harness.ready()), reason=str(harness.ready())),
]


long = pytest.mark.skipif(
    not os.environ.get("INTEGRITY_LONG"), reason="long; part of make soak, or with INTEGRITY_LONG=1"
)
unsanitized = pytest.mark.skipif(SANITIZED, reason="the sanitizer has its own memory")

STREAMS = 48
MEDIUM = 1 << 20


@pytest.fixture
def seed():
    return harness.seed_of_run()


@pytest.fixture
def link(tmp_path):
    """Makes Links that end with the test; the gates hold for what the origin saw, too."""
    made = []

    def make(**options):
        made.append(Link(tmp_path, **options))
        return made[-1].start()

    yield make
    for one in made:
        check(one.stop())


def seconds(count):
    """The pace of faults under load."""
    threading.Event().wait(count)


# --------------------------------------------------------------------------- the harness itself bites


class Tamper:
    """An editor for Relay that does one thing wrong, once in each link, behind the first 200 kB downwards."""

    def __init__(self, what, others):
        self.what, self.others, self.seen, self.done = what, others, 0, False

    def __call__(self, direction, data):
        self.seen += len(data) if direction == "down" else 0
        if direction == "up" or self.done or self.seen < 200_000 or len(data) < 200:
            self.others.setdefault(id(self), bytes(data[:100]))
            return data
        self.done = True
        return self.what(self, bytes(data))

    def flip(self, data):
        return data[:99] + bytes([data[99] ^ 1]) + data[100:]

    def drop(self, data):
        return data[:50] + data[51:]

    def twice(self, data):
        return data[:60] + data

    def end(self, data):
        raise EOFError

    def cross(self, data):
        own = id(self)
        foreign = [piece for key, piece in self.others.items() if key != own]
        return foreign[0] + data[100:] if foreign else data


class EndingRelay(Relay):
    """Ends both ways cleanly when its editor says EOFError."""

    @staticmethod
    def _copy(source, sink, way, editor):
        try:
            Relay._copy(source, sink, way, editor)
        except EOFError:
            sink.shutdown(socket.SHUT_WR)


@pytest.mark.quick
@pytest.mark.parametrize(
    "what, outcome",
    [
        (Tamper.flip, "corrupt"),
        (Tamper.drop, "corrupt"),
        (Tamper.twice, "corrupt"),
        (Tamper.cross, "crosstalk"),
        (Tamper.end, "truncated"),
    ],
)
def test_control_the_harness_sees_what_is_wrong(tmp_path, seed, what, outcome):
    """Without a tunnel: a relay that damages its streams is found out."""
    origin, others = Origin(tmp_path), {}
    relay = EndingRelay(origin.tcp, lambda: Tamper(what, others))
    try:
        load = Load(
            tmp_path, relay.port, seed, streams=8, total=32, min=300_000, max=400_000, patience=3, shapes=4
        )
        result = load.wait()
        assert getattr(result, outcome) > 0, vars(result)
        with pytest.raises(AssertionError):
            check(result)
    finally:
        relay.close()
        origin.stop()


# ------------------------------------------------------------------------------------------ no fault


@pytest.mark.quick
def test_all_manners_of_streams(link, seed):
    """Sizes from nothing to 8 MB, every order of ends, slow readers, resets at both ends, datagrams."""
    t = link(bridges=2)
    load = t.load(
        seed, streams=64, seconds=1.5, udp=True, slow=8, stall=0.5, cut=5, abort=5, silent=1,
        patience=3 * SLOWER,
    )
    result = load.wait()
    check_all_good(result)
    assert result.ok > 100 / SLOWER and result.bytes > 20e6 / SLOWER
    sent, got = result.datagrams["sent"], result.datagrams["got"]
    assert result.datagrams["doubled"] == 0 and got >= 0.9 * sent > 0


def test_readers_that_stop_hold_up_nobody(link, seed):
    """Eight of ten visitors stop once for a second, on one link; nobody waits for them to open a stream."""
    t = link()
    slow = t.load(seed, streams=40, seconds=2, slow=80, stall=2, min=MEDIUM, patience=20)
    quick = t.load(seed + 1, streams=4, seconds=2.5, max=1000)
    result = quick.wait()
    check_all_good(slow.wait(), result)
    assert result.opening_ms["max"] <= 1000 * SLOWER


@pytest.mark.parametrize(
    "streams, lasts, ramp, interval",
    [(2_000, 5, 0.8, 2), pytest.param(10_000, 45, 6, 10, marks=long)],
)
def test_many_streams_at_once(link, seed, streams, lasts, ramp, interval):
    """Each is held, and exchanges something now and then."""
    t = link()
    result = t.load(
        seed, streams=streams, seconds=lasts, ramp=ramp, interval=interval, patience=10 * SLOWER
    ).wait()
    check_all_good(result)
    rounds = (lasts - ramp) // interval  # for those opened last
    assert result.ok == streams
    assert result.exchange_ms["count"] >= 0.95 * rounds * streams
    assert result.exchange_ms["p99"] <= 250 * SLOWER


@unsanitized
def test_a_hundred_thousand_streams(link, seed):
    """On one link, which is replaced in passing; then memory and descriptors are as before."""
    t = link(prepare=one_connection)
    check_all_good(t.load(seed, streams=64, total=20_000, max=64, seconds=50).wait())
    wait_for(t.settled, 10, "all flows to end")
    before, live, ports = t.measure(), t.live(), t.link_ports()
    result = t.load(seed + 1, streams=64, total=100_000, max=64, seconds=50).wait()
    check_all_good(result)
    assert result.ok == 100_000
    wait_for(t.settled, 10, "all flows to end")
    wait_for(lambda: no_more_files(t, before), 10, "no more descriptors than before")
    wait_for(lambda: no_more_flows(t, live), 10, "no more flows than before")
    for name, now in t.measure().items():
        assert now.rss - before[name].rss <= 1 << 20, name  # ten bytes a stream
    assert not ports & t.link_ports(), "the link was not replaced before its ids or nonces ran out"


def one_connection(_, config):
    for bridge in config["reverse"].get("bridges", []):
        bridge["connections"] = 1


def no_more_files(t, before):
    """Fewer may be open: a link that was replaced before may still have been taking its last bytes then."""
    now = t.measure()
    return all(now[name].files <= before[name].files for name in now)


def no_more_flows(t, before):
    now = t.live()
    return all(now[name] <= before[name] for name in now)


@pytest.mark.quick
def test_visitors_reset(link, seed):
    """The origin sees a reset, too, in whatever moment it comes."""
    t, total = link(), 10_000 // SLOWER**2
    for turn in range(3):
        result = t.load(
            seed + turn, streams=32, total=total, max=2000, abort=100, seconds=30
        ).wait()
        check_all_good(result)
        assert result.expected == total


# ----------------------------------------------------------------------------- processes that go away


def in_flight(stream, moments, slack):
    """The stream was open at one of the moments, or was opened just behind it."""
    return any(stream.opened <= at + slack and stream.ended >= at for at in moments)


@pytest.mark.quick
def test_one_of_two_bridges_killed(link, seed):
    """Only streams of the killed one end, and visibly."""
    t = link(bridges=2)
    load, kills = t.load(seed, streams=STREAMS, seconds=2.6, max=MEDIUM), []
    for _ in range(4):
        seconds(0.45)
        kills.append(restart(t.bridges[0]))
    result = load.wait()
    check(result)
    failed = [s for s in load.trace() if s.outcome in harness.VISIBLE]
    late = [s for s in failed if not in_flight(s, kills, 0.1 * SLOWER)]
    assert not late, (kills, late[:5])
    assert result.ok > 50


def test_the_only_bridge_killed(link, seed):
    """The portal keeps its visitors until the bridge is back."""
    t = link()
    load = t.load(seed, streams=STREAMS, seconds=3, max=MEDIUM, patience=10)
    kills = []
    for _ in range(3):
        seconds(0.7)
        kills.append(restart(t.bridges[0]))
    result = load.wait()
    check(result)
    assert result.timeout == 0
    good = [s for s in load.trace() if s.outcome == "ok"]
    for at in kills:
        first = min((s.ended for s in good if s.opened > at), default=at + 60)
        assert first - at <= 2.5 * SLOWER


@pytest.mark.quick
def test_visitors_have_ended_before_the_bridge_is_there(link, seed):
    """What they said, and that it was all, reaches the origin when the bridge comes."""
    t = link()
    for turn in range(8):
        t.bridges[0].kill()
        wait_for(lambda: t.carriers() == 0, 5 * SLOWER, "the portal to notice")
        load = t.load(
            seed + turn, streams=64, total=64, max=3000, shapes=HALF | AFTER, patience=5 * SLOWER
        )
        wait_for(lambda: counters(t.status["portal"])["flows_live"] > 64, 2 * SLOWER, "visitors")
        t.bridges[0].start()
        check_all_good(load.wait())


@pytest.mark.quick
def test_portal_killed(link, seed):
    t = link(bridges=2)
    load = t.load(seed, streams=STREAMS, seconds=3, max=MEDIUM)
    for _ in range(3):
        seconds(0.5)
        at = restart(t.portal)
        t.wait_links(3 * SLOWER)
        assert time.monotonic() - at <= 3 * SLOWER
    result = load.wait()
    check(result)
    assert result.ok > 50


@contextlib.contextmanager
def frozen(program):
    program.freeze()
    try:
        yield
    finally:
        program.thaw()


def test_portal_and_only_bridge_frozen(link, seed):
    """It only takes longer."""
    t = link()
    load = t.load(seed, streams=STREAMS, seconds=2.8, max=MEDIUM)
    for program in t.programs():
        seconds(0.4)
        with frozen(program):
            seconds(0.9)
    check_all_good(load.wait())


def test_one_of_two_bridges_frozen(link, seed):
    """New visitors reach the other bridge within 3 s, and none of them sees an error."""
    t = link(bridges=2)
    load = t.load(seed, streams=STREAMS, seconds=5, max=MEDIUM, patience=25)
    seconds(0.4)
    at = time.monotonic()
    with frozen(t.bridges[0]):
        seconds(4)
        till = time.monotonic()
    check(load.wait())
    served_soon(load, at, till)


def served_soon(load, since, till):
    """Whoever came in that time got an answer within 3 s, and no error. Those whose target had answered the bridge
    just before it stopped must wait for it."""
    new = [s for s in load.trace() if since + 0.1 < s.opened < till]
    bad = [s for s in new if s.outcome != "ok" or s.first - s.opened > 3 * SLOWER]
    assert new and not bad, bad[:5]


# --------------------------------------------------------------------------------------------- drain


def test_bridges_restarted_in_turn(link, seed):
    """SIGTERM, then start again, one after the other: nobody notices."""
    t = link(bridges=2)
    load = t.load(seed, streams=STREAMS, seconds=3.5, max=MEDIUM, slow=5)
    for bridge in t.bridges:
        seconds(0.3)
        bridge.drain()
        bridge.start()
        t.wait_links(5 * SLOWER)
    check_all_good(load.wait())


def test_portal_asked_to_end(link, seed):
    """The streams that are open finish; then it ends with 0."""
    t = link()
    load = t.load(seed, streams=STREAMS, seconds=1.5, max=8 * MEDIUM, slow=20, stall=1)
    seconds(1)
    at = time.monotonic()
    t.portal.drain()
    load.enough()
    check(load.wait())
    broken = [
        s for s in load.trace() if s.outcome in harness.VISIBLE and s.opened < at - 0.05 and s.outcome != "refused"
    ]
    assert not broken, broken[:5]
    t.portal.start()


# -------------------------------------------------------------------------------------------- the link


@pytest.mark.quick
def test_links_reset(link, seed):
    t = link(bridges=2, via=FaultyRelay)
    load, cuts = t.load(seed, streams=STREAMS, seconds=2.5, max=MEDIUM), []
    for i in range(5):
        seconds(0.35)
        cuts.append(time.monotonic())
        t.relays[i % 2].cut()
        t.wait_links(3 * SLOWER)
    result = load.wait()
    check(result)
    failed = [s for s in load.trace() if s.outcome in harness.VISIBLE]
    assert not [s for s in failed if not in_flight(s, cuts, 0.1 * SLOWER)]


def test_link_stops_for_a_second_and_brings_bytes_one_by_one(link, seed):
    t = link(via=FaultyRelay)
    relay = t.relays[0]
    load = t.load(seed, streams=STREAMS, seconds=2.6, max=MEDIUM)
    seconds(0.4)
    relay.stop()
    seconds(1)
    relay.go()
    relay.split = True
    seconds(0.8)
    relay.split = False
    check_all_good(load.wait())


@long
def test_dead_link_beside_a_good_one(link, seed):
    """A link that passes nothing for 12 s is left within 3 s by new visitors, and then replaced."""
    t = link(bridges=2, via=FaultyRelay)
    load = t.load(seed, streams=8, seconds=14, max=100_000, patience=20)
    seconds(0.5)
    at = time.monotonic()
    t.relays[0].stop()
    seconds(12)
    till = time.monotonic()
    t.relays[0].go()
    check(load.wait())
    served_soon(load, at, till)
    t.wait_links(5)


# -------------------------------------------------------------------------------------------- origins


def test_origin_killed_frozen_and_absent(link, seed):
    """Its streams end visibly; the link and the others live on."""
    t = link()
    ports = t.link_ports()
    load = t.load(seed, streams=STREAMS, seconds=2.6, max=MEDIUM)
    for _ in range(2):
        seconds(0.4)
        t.origin.kill()
        seconds(0.3)
        t.origin.start()
    seconds(0.2)
    t.origin.process.send_signal(signal.SIGSTOP)
    seconds(0.5)
    t.origin.process.send_signal(signal.SIGCONT)
    check(load.wait())
    nobody = t.load(seed, port=t.refused, streams=8, total=40).wait()
    check(nobody)
    assert nobody.ok == 0 and nobody.reset == 40
    assert nobody.opening_ms["count"] == 0
    check_all_good(t.load(seed, streams=8, total=50, max=1000).wait())
    assert t.link_ports() >= ports


# ------------------------------------------------------------------------- descriptors, calls, memory


def crowd(port, count):
    found = []
    for _ in range(count):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex((HOST, port))
        found.append(s)
    return found


@pytest.mark.parametrize("who", ["portal", "bridge0"])
def test_descriptors_run_out(link, seed, who):
    """A thousand visitors and 256 descriptors: who is in stays in, the process rests, and later all is well."""
    t = link(options={who: {"files": 256}})
    program = t.portal if who == "portal" else t.bridges[0]
    load = t.load(seed, streams=8, seconds=3, interval=0.5, ramp=0.2)
    seconds(0.3)
    visitors = crowd(t.idle, 1000)
    wait_for(lambda: program.open_files() >= 150, 5 * SLOWER, "descriptors to run short")
    seconds(0.3)
    before, switches = program.cpu_seconds(), program.switches()
    seconds(1)
    if who == "portal":
        assert program.switches() - switches <= 120  # 20, and a few for each of 16 exchanges
    assert program.cpu_seconds() - before <= 0.1 * SLOWER
    for s in visitors:
        reset(s)
    at = time.monotonic()
    after = t.load(seed + 1, streams=4, seconds=1, max=100, retry=0.05)
    check(after.wait())
    first = min(s.ended for s in after.trace() if s.outcome == "ok")
    assert first - at <= 0.6 * SLOWER
    check_all_good(load.wait())
    wait_for(t.settled, 10 * SLOWER, "the crowd to be gone")


def shims(tmp_path):
    """One for each side, and the options that preload it."""
    made = {name: Shim(tmp_path / f"{name}.page") for name in ("portal", "bridge0")}
    return made, {name: {"environment": shim.environment()} for name, shim in made.items()}


def test_calls_that_fail_or_do_little(link, seed, tmp_path):
    """A third of reads and writes move one byte, a tenth are interrupted, a tenth would block; accept fails."""
    pages, options = shims(tmp_path)
    t = link(options=options)
    for page in pages.values():
        page.fail(one_byte=3000, again=1000, interrupted=1000, aborted=2000, no_files=20)
    check_all_good(t.load(seed, streams=24, seconds=1.2, max=200_000).wait())
    for page in pages.values():
        assert page.done("one_byte") > 100 and page.done("interrupted") > 50
        page.fail(one_byte=10_000, again=0, interrupted=0, aborted=0, no_files=0)
    check_all_good(t.load(seed, streams=4, seconds=0.6, max=3000).wait())
    assert pages["portal"].done("aborted") > 0


CARRIED = {
    "tls": {},
    "ws": {"network": "ws", "wsSettings": {"path": "/link?ed=2048"}},
    "ws in tls": {"network": "ws", "wsSettings": {"path": "/link"}},
    "httpupgrade in tls": {"network": "httpupgrade", "httpupgradeSettings": {"path": "/link"}},
    "forged in tls": {"network": "tcp", "tcpSettings": {"header": {"type": "http"}}},
    "chained": {},
}


def carried(directory, how):
    """Changes the configs of a Link: how its links travel."""
    cert = Cert(names=[HOST])
    own = {"certificates": [cert.files(directory, "link")]}
    known = {"certificates": [cert.trusted(directory, "link")], "disableSystemRoot": True}

    def prepare(name, config):
        for end in config["inbounds"] if name == "portal" else config["outbounds"]:
            if end["protocol"] != "vmess":
                continue
            end["streamSettings"] = {**CARRIED[how]}
            if "tls" in how:
                end["streamSettings"].update(security="tls", tlsSettings=own if name == "portal" else known)
            if how == "chained":
                end["proxySettings"] = {"tag": "through"}
        if how == "chained" and name != "portal":
            config["outbounds"].append({"tag": "through", "protocol": "freedom"})

    return prepare


@pytest.mark.quick
@pytest.mark.parametrize("how", CARRIED)
def test_layers_below_which_calls_do_little(link, seed, tmp_path, how):
    """As above, with the link on layers that keep what did not go."""
    pages, options = shims(tmp_path)
    t = link(options=options, prepare=carried(tmp_path, how))
    for page in pages.values():
        page.fail(one_byte=3000, again=1000, interrupted=1000)
    check_all_good(t.load(seed, streams=16, seconds=0.5, max=100_000).wait())
    for page in pages.values():
        page.fail(one_byte=10_000, again=0, interrupted=0)
    check_all_good(t.load(seed, streams=4, seconds=0.2, max=3000).wait())


@pytest.mark.quick
def test_storm_of_signals(link, seed, tmp_path):
    """SIGUSR1, a thousand times a second, to both; and the log is opened again each time."""
    t = link(prepare=logging_to(tmp_path))
    load = t.load(seed, streams=STREAMS, seconds=1.5, max=MEDIUM)
    jobs = [
        threading.Thread(target=storm, args=(p, signal.SIGUSR1, 1.2), daemon=True) for p in t.programs()
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(10)
    check_all_good(load.wait())


def logging_to(folder):
    def prepare(name, config):
        files = {log: str(folder / f"{name}-{log}.log") for log in ("error", "access")}
        config["log"] = {"loglevel": "info", **files}

    return prepare


@unsanitized
@pytest.mark.parametrize("who", ["bridge0", pytest.param("portal", marks=long)])
def test_memory_runs_out_now_and_then(link, seed, tmp_path, who):
    """One in a hundred allocations fails: streams end visibly, nobody dies, and later all is well. A portal
    that cannot greet for want of memory says nothing, as to a stranger, and its bridge waits for up to 16 s."""
    pages, options = shims(tmp_path)
    t, page = link(options=options), pages[who]
    load = t.load(seed, streams=STREAMS, seconds=2, max=MEDIUM, patience=5, udp=True)
    seconds(0.3)
    page.fail(no_memory=100)
    result = load.wait()
    assert page.done("no_memory") > 10
    page.heal()
    assert all(p.alive() for p in t.programs())
    check(result)
    wait_for(lambda: t.carriers() >= 1, 25, "a link")
    check_all_good(t.load(seed, streams=8, seconds=0.5, max=1000).wait())


# --------------------------------------------------------------------------------- logs and the clock


@pytest.mark.quick
@pytest.mark.parametrize("target", ["full", "pipe"])
def test_log_that_takes_nothing(link, seed, tmp_path, target):
    """No line waits for a full disk or for a reader who does not read."""
    path, reader = "/dev/full", None
    if target == "pipe":
        path = tmp_path / "pipe"
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def prepare(_, config):
        config["log"] = {"loglevel": "debug", "error": str(path), "access": str(path)}

    try:
        t = link(prepare=prepare)
        check_all_good(t.load(seed, streams=STREAMS, seconds=1, max=10_000).wait())
        assert counters(t.status["portal"])["log_dropped"] > 0
    finally:
        if reader is not None:
            os.close(reader)


@pytest.mark.quick
def test_wall_clock_jumps(link, seed, tmp_path):
    """Whatever the calendar says, no timer fires early or late and links live."""
    pages, options = shims(tmp_path)
    t = link(options=options)
    ports = t.link_ports()
    load = t.load(seed, streams=STREAMS, seconds=2.2, max=MEDIUM, slow=5, stall=0.3)
    for shift in (3600, -3600, 86400, -86400, -time.time() + 1):
        for page in pages.values():
            page.wall(shift)
            seconds(0.2)
    check_all_good(load.wait())
    assert t.link_ports() >= ports


@long
def test_clocks_that_differ_too_much(link, seed, tmp_path):
    """Then VMess refuses the link, and the bridge says why; it works soon after the clock is right."""
    pages, options = shims(tmp_path)
    t = link(options=options)
    pages["bridge0"].wall(3600)
    restart(t.bridges[0])
    t.bridges[0].wait_log("check .* the clock", 15 * SLOWER)
    assert t.carriers() == 0
    pages["bridge0"].wall(0)
    at = time.monotonic()
    wait_for(lambda: t.carriers() >= 1, 5 * SLOWER, "the link")
    check_all_good(t.load(seed, streams=4, total=8, max=1000).wait())
    assert time.monotonic() - at <= 6 * SLOWER
