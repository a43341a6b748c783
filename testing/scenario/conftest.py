"""Fixtures: the origins, the tunnels that tests share, and the logs of what failed."""
import contextlib
import signal

import pytest

import rig
from configs import Tunnel
from lines import Line
from origins import start_all
from town import town_in

TEST_DEADLINE = 60 * rig.SLOWER
PAIRINGS = [(portal, bridge) for portal in rig.KINDS for bridge in rig.KINDS]
if rig.WORKERS:  # how many they are matters to v2c only
    PAIRINGS = [pair for pair in PAIRINGS if "v2c" in pair]


def pairing_id(pair):
    return f"portal={pair[0]},bridge={pair[1]}"


def pytest_configure(config):
    config.addinivalue_line("markers", "quick: part of the short run, also with sanitizers")
    config.addinivalue_line("markers", "workers: part of the run with V2C_WORKERS=4")
    config.addinivalue_line("markers", "slow_control: shows a slow weakness of V2Ray; not run by default")
    config.addinivalue_line("markers", "slow: takes half a minute; not run by default")
    config.addinivalue_line("markers", "v2c: needs the program under test (environment V2C)")
    config.addinivalue_line("markers", "pairings(*pairs): run with these (portal, bridge) pairs only")


def pytest_generate_tests(metafunc):
    """A test that takes `pairing` runs once for each (portal, bridge), as far as V2C is given."""
    if "pairing" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("pairings")
        pairs = [p for p in (marker.args if marker else PAIRINGS) if p in PAIRINGS]
        skip = pytest.mark.skip(reason="V2C is not set, or not in this pair")
        pairs = pairs or [pytest.param(marker.args[0], marks=skip)]
        metafunc.parametrize(
            "pairing", pairs, ids=lambda p: pairing_id(p), scope="session"
        )


def pytest_collection_modifyitems(config, items):
    wanted = config.getoption("markexpr")
    for item in items:
        if item.get_closest_marker("slow_control") and "slow_control" not in wanted:
            item.add_marker(pytest.mark.skip(reason="slow; run with -m slow_control"))
        if item.get_closest_marker("slow") and "slow" not in wanted.split():
            item.add_marker(pytest.mark.skip(reason="slow; run with -m slow"))
        if item.get_closest_marker("v2c") and not rig.V2C:
            item.add_marker(pytest.mark.skip(reason="V2C is not set"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for program in rig.used:
            log = program.log()[-rig.LOG_TAIL :]
            report.sections.append((f"log of {program.name} ({program.kind})", log))


@pytest.fixture(autouse=True)
def _forget_programs():
    rig.used.clear()
    yield


def _too_long(*_):
    raise AssertionError(f"the test took more than {TEST_DEADLINE} s")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call():
    """Whatever hangs, hangs for a bounded time."""
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(TEST_DEADLINE)
    try:
        yield
    finally:
        signal.alarm(0)


@pytest.fixture(scope="session")
def origins(tmp_path_factory):
    running = start_all(tmp_path_factory.mktemp("origins"))
    yield running
    running.close()


class SharedTunnels:
    """Long-lived tunnels by (portal, bridge, security); one that died is replaced by a new one."""

    def __init__(self, origins, directories):
        self.origins, self.directories, self.running = origins, directories, {}

    def get(self, pairing, security="auto"):
        key = (*pairing, security)
        tunnel = self.running.get(key)
        if tunnel is None or not tunnel.alive():
            if tunnel:
                tunnel.end_now()
            directory = self.directories.mktemp("-".join(key))
            tunnel = Tunnel(directory, self.origins, *pairing, security=security)
            self.running[key] = tunnel
            tunnel.start()
        for program in (tunnel.portal, tunnel.bridge):
            if program not in rig.used:
                rig.used.append(program)
        return tunnel

    def stop(self):
        first = None
        for tunnel in self.running.values():
            try:
                tunnel.stop()
            except AssertionError as error:
                first = first or error
        if first:
            raise first


@pytest.fixture(scope="session")
def tunnels(origins, tmp_path_factory):
    shared = SharedTunnels(origins, tmp_path_factory)
    yield shared
    shared.stop()


def stop_all(programs):
    first = None
    for program in reversed(programs):
        try:
            program.stop()
        except AssertionError as error:
            first = first or error
    if first:
        raise first


@pytest.fixture
def run(tmp_path):
    """Starts programs and tunnels that end with the test."""
    running = []

    def start(kind, config, name="program", **options):
        program = rig.Program(kind, config, tmp_path, name)
        running.append(program)
        return program.start(**options)

    yield start
    stop_all(running)


@pytest.fixture
def line(tmp_path):
    """Starts programs that their command lines configure, and that end with the test."""
    running = []

    def start(*words, name, ports=()):
        running.append(Line(words, tmp_path, name, ports))
        return running[-1].start()

    yield start
    stop_all(running)


@pytest.fixture
def own_tunnel(origins, tmp_path):
    """A tunnel of the test's own, which it may break; `prepare` may change the configs first."""
    made = []

    def make(pairing, prepare=None, **options):
        tunnel = Tunnel(tmp_path, origins, *pairing, **options)
        made.append(tunnel)
        if prepare:
            prepare(tunnel)
        return tunnel.start()

    yield make
    for tunnel in made:
        tunnel.stop()


@pytest.fixture
def own_town(tmp_path):
    """A cluster of the test's own, which it may break."""
    with contextlib.ExitStack() as towns:
        yield lambda **more: towns.enter_context(town_in(tmp_path, **more))
