"""What is kept of a connection to Redis, with real servers that are killed, frozen, full, or of another mind. The program
is testing/redis_talk.c: the connection alone, led by lines."""
import pathlib
import subprocess
import threading

import pytest

import rig
from certs import Cert
from cluster import Redis
from rig import HOST, SLOWER, free_port, wait_for

TALK = pathlib.Path(rig.V2C).parent / "testing/redis_talk"
SENTINEL = "/usr/bin/redis-sentinel"
HEALED = 3 * SLOWER  # seconds after Redis is back: the bound that clusters promise

pytestmark = pytest.mark.skipif(not TALK.exists(), reason="redis_talk is not built: make check")


class Talk:
    """redis_talk at work. `events`: what it said of the server; ask() waits for its answer."""

    def __init__(self, *servers, timeout=5, **options):
        words = [TALK, "-t", timeout, *(w for name, value in options.items() for w in (f"-{name}", value)), *servers]
        self.process = subprocess.Popen(
            [str(w) for w in words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.answers, self.events, self.count = {}, [], 0
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            first, _, rest = line.rstrip("\n").partition(" ")
            if first.isdigit():
                self.answers[int(first)] = rest
            else:
                self.events.append((first, rest))

    def say(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        self.count += 1
        return self.count

    def ask(self, command, seconds=10 * SLOWER):
        number = self.say(command)
        wait_for(lambda: number in self.answers, seconds, f"an answer to {command}")
        return self.answers[number]

    def is_well(self):
        return bool(self.events) and self.events[-1][0] == "well"

    def run_id(self):
        return self.events[-1][1]

    def wait_well(self, seconds=10 * SLOWER):
        wait_for(self.is_well, seconds, "Redis to be well")
        return self

    def wait_away(self, seconds=10 * SLOWER):
        wait_for(lambda: self.events and not self.is_well(), seconds, "Redis to be away")
        return self.events[-1][1]

    def wait_trouble(self, text):
        wait_for(lambda: text in self.ask("GET x"), 10 * SLOWER, f"trouble: {text}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            assert self.process.wait(10 * SLOWER) == 0, self.process.stderr.read()
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process.stderr.close()


@pytest.fixture
def start(tmp_path):
    """Starts a Redis with these options; all end with the test."""
    running = []

    def started(**options):
        running.append(Redis(tmp_path, **{name.replace("_", "-"): value for name, value in options.items()}))
        return running[-1]

    yield started
    for redis in running:
        redis.stop()


def at(redis):
    return f"{redis.address}:{redis.port}"


def test_it_is_back_when_redis_is(start):
    redis = start()
    with Talk(at(redis)) as talk:
        first = talk.wait_well().run_id()
        assert len(first) == 40
        assert talk.ask("SET a 1") == "OK" and talk.ask("GET a") == "1" and talk.ask("GET b") == "nil"
        redis.kill()
        assert "reset" in talk.wait_away() or "refused" in talk.events[-1][1]
        talk.wait_trouble("refused")
        redis.start()
        talk.wait_well(HEALED)
        assert talk.run_id() != first and talk.ask("GET a") == "nil"


def test_a_frozen_redis_is_left_and_found_again(start):
    redis = start()
    with Talk(at(redis), timeout=0.2) as talk:
        run_id = talk.wait_well().run_id()
        redis.freeze()
        number = talk.say("GET a")
        wait_for(lambda: number in talk.answers, 1 * SLOWER, "it to be given up")
        assert talk.answers[number] == "none"
        assert talk.wait_away() == "it does not answer in time"
        assert talk.ask("GET a", 1 * SLOWER).startswith("no ")
        redis.thaw()
        talk.wait_well(HEALED)
        assert talk.run_id() == run_id


def test_a_frozen_redis_is_noticed_though_nobody_asks(start):
    redis = start()
    with Talk(at(redis), timeout=0.2) as talk:
        talk.wait_well()
        redis.freeze()
        talk.wait_away(4 * SLOWER)
        redis.thaw()
        talk.wait_well(HEALED)


def test_a_wrong_password_is_named_and_tried_again(start):
    redis = start(requirepass="right")
    with Talk(at(redis), p="wrong") as talk:
        talk.wait_trouble("it refuses user and password (WRONGPASS)")
        redis.ask("CONFIG", "SET", "requirepass", "wrong")
        redis.options["requirepass"] = "wrong"
        talk.wait_well(HEALED)
        assert talk.ask("SET a 1") == "OK"
    with Talk(at(redis)) as talk:
        talk.wait_trouble("it wants a password (NOAUTH)")


def test_a_user_with_few_rights_is_enough(start):
    redis = start()
    redis.ask("ACL", "SETUSER", "v2c", "on", ">secret", "~v2c:*", "+@read", "+@write", "-@dangerous", "+time", "+ping")
    with Talk(at(redis), u="v2c", p="secret") as talk:
        assert talk.wait_well().run_id() == ""
        assert talk.ask("TIME").startswith("[")
        for command in ("SADD v2c:s a", "SMEMBERS v2c:s", "HSET v2c:h a b", "HGETALL v2c:h", "PEXPIRE v2c:h 9000"):
            assert not talk.ask(command).startswith("NOPERM"), command
        assert talk.ask("SET v2c:a 1") == "OK"
        assert talk.ask("SET a 1").startswith("NOPERM")
        assert talk.is_well()
    redis.ask("ACL", "SETUSER", "v2c", "+role", "+info")  # what docs/CLUSTER.md has besides
    with Talk(at(redis), u="v2c", p="secret") as talk:
        assert len(talk.wait_well().run_id()) == 40


def test_a_full_redis_answers_and_takes_no_write(start):
    redis = start()
    with Talk(at(redis)) as talk:
        assert talk.wait_well().ask("SET a 1") == "OK"
        redis.ask("CONFIG", "SET", "maxmemory", "1")
        assert talk.ask("SET b 1").startswith("OOM") and talk.ask("GET a") == "1"
        redis.ask("CONFIG", "SET", "maxmemory", "0")
        assert talk.ask("SET b 1") == "OK" and talk.events == [("well", talk.run_id())]


def test_another_database_by_a_unix_socket(start, tmp_path):
    path = tmp_path / "redis.sock"
    redis = start(unixsocket=path)
    with Talk(path, d=3) as talk:
        assert talk.wait_well().ask("SET a 1") == "OK"
        assert redis.ask("GET", "a") is None
    with Talk(path, d=99) as talk:
        talk.wait_trouble("it has no such database (SELECT)")


def test_tls_and_whom_it_believes(start, tmp_path):
    authority, stranger = Cert(authority=True), Cert(authority=True)
    files = Cert([HOST], authority).files(tmp_path, "redis")
    trusted = authority.trusted(tmp_path, "authority")["certificateFile"]
    other = stranger.trusted(tmp_path, "stranger")["certificateFile"]
    port = free_port()
    start(tls_port=port, tls_cert_file=files["certificateFile"], tls_key_file=files["keyFile"],
          tls_ca_cert_file=trusted, tls_auth_clients="no")  # fmt: skip
    with Talk(f"{HOST}:{port}", c=trusted) as talk:
        assert talk.wait_well().ask("SET a 1") == "OK"
    with Talk(f"{HOST}:{port}", c=other) as talk:
        talk.wait_trouble("certificate")
        assert not talk.events


def test_a_replica_is_passed_over_and_left_when_it_becomes_one(start):
    master = start()
    replica = start(replicaof=f"{HOST} {master.port}")
    with Talk(at(replica)) as talk:
        talk.wait_trouble("it is a replica")
    with Talk(at(replica), at(master)) as talk:
        first = talk.wait_well().run_id()
        replica.ask("REPLICAOF", "NO", "ONE")
        master.ask("REPLICAOF", replica.address, replica.port)
        assert talk.ask("SET a 1").startswith("READONLY")
        assert talk.wait_well(HEALED).run_id() != first
        assert talk.ask("SET a 1") == "OK"


@pytest.fixture
def sentinel(tmp_path):
    """Starts a Sentinel that watches this master."""
    running = []

    def started(master):
        port, config = free_port(), tmp_path / "sentinel.conf"
        config.write_text(
            f"port {port}\nbind {HOST}\ndir {tmp_path}\nlogfile {tmp_path}/sentinel.log\n"
            f"sentinel monitor mymaster {HOST} {master.port} 1\n"
            "sentinel down-after-milliseconds mymaster 500\nsentinel failover-timeout mymaster 5000\n"
        )
        running.append(subprocess.Popen([SENTINEL, config], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
        wait_for(lambda: rig.listening(port), 10 * SLOWER, "Sentinel to listen")
        return f"{HOST}:{port}"

    yield started
    for process in running:
        process.kill()
        process.wait()


def test_sentinel_leads_to_the_next_master(start, sentinel):
    master = start(repl_diskless_sync_delay=0)
    replica = start(replicaof=f"{HOST} {master.port}")
    synced = "slave0:ip=127.0.0.1,port=%d,state=online" % replica.port
    wait_for(lambda: synced in master.ask("INFO", "replication"), 10 * SLOWER, "the replica to follow")
    watcher = sentinel(master)
    with Talk(f"{HOST}:{free_port()}", watcher, m="mymaster") as talk:
        first = talk.wait_well().run_id()
        assert talk.ask("SET a 1") == "OK"
        wait_for(lambda: replica.ask("GET", "a") == "1", 10 * SLOWER, "the replica to have it")
        known = "num-slaves\n1\n"
        wait_for(lambda: known in _cli(watcher, "sentinel", "master", "mymaster"), 25 * SLOWER, "Sentinel to know it")
        master.kill()
        wait_for(lambda: talk.is_well() and talk.run_id() != first, 30 * SLOWER, "the next master")
        assert talk.ask("GET a") == "1" and talk.ask("SET a 2") == "OK"
    with Talk(watcher, m="nobody") as talk:
        talk.wait_trouble("this Sentinel knows no master of that name")


def _cli(server, *words):
    host, port = server.split(":")
    return subprocess.run(
        ["/usr/bin/redis-cli", "-h", host, "-p", port, *words], capture_output=True, text=True, check=True
    ).stdout


def _is_whole(node):
    info = node.ask("CLUSTER", "INFO")
    return "cluster_state:ok" in info and "cluster_slots_ok:16384" in info


def test_each_key_is_asked_for_at_its_node_of_a_redis_cluster(start):
    buses = [free_port() for _ in range(3)]
    nodes = [
        start(cluster_enabled="yes", cluster_port=bus, cluster_require_full_coverage="no", cluster_node_timeout=2000)
        for bus in buses
    ]
    for i, node in enumerate(nodes):
        node.ask("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
        node.ask("CLUSTER", "ADDSLOTSRANGE", i * 5462, min(i * 5462 + 5461, 16383))
        nodes[0].ask("CLUSTER", "MEET", HOST, node.port, buses[i])
    for node in nodes:
        wait_for(lambda: _is_whole(node), 20 * SLOWER, "all nodes to know all slots")
    keys = [f"v2c:test:t:{{{i}}}" for i in range(12)]
    owner = {key: int(nodes[0].ask("CLUSTER", "KEYSLOT", key)) // 5462 for key in keys}
    assert set(owner.values()) == {0, 1, 2}
    with Talk(at(nodes[0])) as talk:
        talk.wait_well()
        numbers = [talk.say(f"SET {key} {key}") for key in keys] + [talk.say(f"GET {key}") for key in keys]
        wait_for(lambda: all(n in talk.answers for n in numbers), 10 * SLOWER, "all answers")
        assert [talk.answers[n] for n in numbers] == ["OK"] * len(keys) + keys
        nodes[2].kill()
        lost = next(key for key in keys if owner[key] == 2)
        wait_for(lambda: talk.ask(f"GET {lost}") != lost, 10 * SLOWER, "its node to be missed")
        assert all(talk.ask(f"GET {key}") == key for key in keys if owner[key] != 2)
        assert len(talk.events) == 1
