"""The command line: what is said, where, and with which exit code."""
import json
import pathlib
import re
import signal
import socket
import subprocess
import uuid

import pytest

import peer
import rig
from configs import LOG, dokodemo, rule, vmess_in
from rig import HOST, connect, free_port, free_ports, listening, read_exactly, wait_for

pytestmark = [pytest.mark.quick, pytest.mark.v2c]

OK, BAD_CONFIG, NO_START = 0, 23, 255
SECRET = "5ec3e700-1234-4321-abcd-0123456789ab"


class Answer:
    def __init__(self, done):
        self.code = done.returncode
        self.out, self.err = done.stdout, done.stderr
        self.text = self.out + self.err
        for word in rig.SANITIZER_WORDS:
            assert word not in self.text, self.text


def v2c(*args, text="", cwd=None):
    command = [rig.V2C, *map(str, args)]
    return Answer(
        subprocess.run(command, input=text, capture_output=True, text=True, timeout=20, cwd=cwd)
    )


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2))
    path.chmod(0o600)
    return path


def door(port, target_port=9):
    return {"inbounds": [dokodemo("in", port, target_port)],
            "outbounds": [{"tag": "out", "protocol": "freedom"}]}


@pytest.fixture
def good(tmp_path):
    return write(tmp_path / "good.json", door(free_port()))


# --------------------------------------------------------------------------------------------- output


def test_version():
    answer = v2c("version")
    assert answer.code == OK and re.match(r"v2c \d+\.\d+", answer.out)


def test_uuid():
    made = {v2c("uuid").out.strip() for _ in range(3)}
    assert len(made) == 3
    for text in made:
        parsed = uuid.UUID(text)
        assert str(parsed) == text and parsed.version == 4


def test_help():
    answer = v2c("help")
    assert answer.code == OK
    for word in ("run", "test", "version", "uuid", "-c"):
        assert word in answer.out


@pytest.mark.parametrize("args", [[], ["fly"], ["run", "-x"], ["run", "-c"]])
def test_wrong_use_is_an_error_that_shows_the_way(args):
    answer = v2c(*args)
    assert answer.code not in (OK, None)
    assert "usage" in answer.text.lower() or "v2c help" in answer.text


def test_a_file_without_its_flag_and_a_flag_without_its_file():
    assert "behind -c" in v2c("test", "config.json").text
    assert "wants a value" in v2c("run", "-c").text


# ----------------------------------------------------------------------------------------------- test


def test_good_config(good):
    answer = v2c("test", "-c", good)
    assert (answer.code, "Configuration OK." in answer.out) == (OK, True), answer.text


def test_testing_does_not_bind(good, tmp_path):
    port = json.loads(good.read_text())["inbounds"][0]["port"]
    with socket.create_server((HOST, port)):
        assert v2c("test", "-c", good).code == OK


def test_config_from_stdin(good):
    assert v2c("test", "-c", "stdin:", text=good.read_text()).code == OK
    answer = v2c("test", "-c", "stdin:", text="{")
    assert answer.code == BAD_CONFIG


@pytest.mark.parametrize("text", ["", "   ", "[]", "{", '{"inbounds": [}', "{'a': 1}", '{"log": 5}'])
@pytest.mark.parametrize("command", ["test", "run"])
def test_bad_text(tmp_path, command, text):
    path = write(tmp_path / "bad.json", text)
    answer = v2c(command, "-c", path)
    assert answer.code == BAD_CONFIG
    assert "bad.json" in answer.text


@pytest.mark.parametrize("command", ["test", "run"])
def test_missing_file(tmp_path, command):
    answer = v2c(command, "-c", tmp_path / "absent.json")
    assert answer.code == BAD_CONFIG and "absent.json" in answer.text


def test_directory_instead_of_a_file(tmp_path):
    assert v2c("test", "-c", tmp_path).code == BAD_CONFIG


WRONG = """{
  // line 2
  "inbounds": [
    { "tag": "a", "port": 70000, "protocol": "dokodemo-door", "settings": { "address": "127.0.0.1", "port": 1 } },
    { "tag": "b", "port": 1081, "protocol": "carrier-pigeon" },
    { "tag": "c", "port": 1082, "protocol": "vmess",
      "settings": { "clients": [
        { "id": "not-an-id-at-all-not-an-id-at-all" } ] } }
  ],
  "outbounds": [ { "tag": "out", "protocol": "freedom" } ],
  "routing": { "rules": [
    { "type": "field", "inboundTag": ["a"], "outboundTag": "nowhere" },
    { "type": "field", "ip": ["10.0.0.0/99"], "outboundTag": "out" } ] }
}
"""
WRONG_PLACES = {
    "/inbounds/0/port": 4,
    "/inbounds/1/protocol": 5,
    "/inbounds/2/settings/clients/0/id": 8,
    "/routing/rules/0/outboundTag": 12,
    "/routing/rules/1/ip": 13,
}


@pytest.mark.parametrize("command", ["test", "run"])
def test_all_errors_at_once_with_their_places(tmp_path, command):
    path = write(tmp_path / "wrong.json", WRONG)
    answer = v2c(command, "-c", path)
    assert answer.code == BAD_CONFIG
    for pointer, line in WRONG_PLACES.items():
        wanted = rf"wrong\.json:{line}:\d+: {re.escape(pointer)}(/0)?: \S"
        assert re.search(wanted, answer.text), f"{wanted}\n{answer.text}"


def test_unknown_key_is_a_warning_and_strictly_an_error(tmp_path):
    config = door(free_port())
    config["inbounds"][0]["protocoll"] = "x"
    path = write(tmp_path / "typo.json", config)
    answer = v2c("test", "-c", path)
    assert answer.code == OK and "protocoll" in answer.text and '"protocol"' in answer.text
    assert v2c("test", "-strict", "-c", path).code == BAD_CONFIG


@pytest.mark.parametrize("security", ["tlss", "xtls", "reality"])
def test_security_never_falls_back(tmp_path, security):
    """What v2c does not have is an error; 4.34 runs plain on a misspelt one."""
    config = door(free_port())
    config["inbounds"][0]["streamSettings"] = {"security": security}
    path = write(tmp_path / "security.json", config)
    answer = v2c("test", "-c", path)
    assert answer.code == BAD_CONFIG and "/inbounds/0/streamSettings/security" in answer.text


def test_comments_of_all_kinds(tmp_path, good):
    text = good.read_text().replace("{", "{ // one\n # two \n /* three \n * / // */", 1)
    text += "\n# behind\n// the end"
    assert v2c("test", "-c", write(tmp_path / "comments.json", text)).code == OK


# ---------------------------------------------------------------------------------------- several files


def echo_through(port):
    with connect(port) as s:
        s.sendall(b"echo\nhello")
        return read_exactly(s, 5)


@pytest.fixture
def started():
    """Runs `v2c run ...`; ends what is left at the end of the test."""
    running = []

    def start(*args, ports=(), stdin=None, cwd=None):
        process = subprocess.Popen(
            [rig.V2C, "run", *map(str, args)], stdin=stdin or subprocess.DEVNULL, cwd=cwd,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        running.append(process)
        if stdin is None:
            wait_for(
                lambda: process.poll() is not None or all(listening(p) for p in ports),
                15 * rig.SLOWER, f"ports {ports}",
            )
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def end(process):
    process.send_signal(signal.SIGTERM)
    text, _ = process.communicate(timeout=10 * rig.SLOWER)
    return process.returncode, text


@pytest.mark.parametrize("way", ["-c twice", "-confdir", "both"])
def test_several_files(tmp_path, origins, started, way):
    """The second file's one inbound is appended to those of the first."""
    first, second = free_ports(2)
    directory = tmp_path / "conf.d"
    directory.mkdir()
    a = write((tmp_path if way == "both" else directory) / "10-a.json", door(first, origins.odd))
    b = write(directory / "20-b.json", {"inbounds": [dokodemo("more", second, origins.odd)]})
    (directory / "notes.txt").write_text("not a config")
    args = {"-c twice": ["-c", a, "-c", b], "-confdir": ["-confdir", directory],
            "both": ["-c", a, "-confdir", directory]}[way]
    assert v2c("test", *args).code == OK
    process = started(*args, ports=[first, second])
    assert echo_through(first) == echo_through(second) == b"hello"
    assert end(process)[0] == 0


def test_run_from_stdin(origins, started):
    port = free_port()
    process = started("-c", "stdin:", stdin=subprocess.PIPE)
    process.stdin.write(json.dumps(door(port, origins.odd)))
    process.stdin.close()
    process.stdin = None
    wait_for(lambda: listening(port), 10 * rig.SLOWER, "the port")
    assert echo_through(port) == b"hello"
    process.send_signal(signal.SIGHUP)
    assert echo_through(port) == b"hello"
    code, text = end(process)
    assert code == 0 and "from standard input, which cannot be read again" in text


def test_error_names_the_right_one_of_several_files(tmp_path):
    a = write(tmp_path / "a.json", door(free_port()))
    b = write(tmp_path / "b.json", '{\n"inbounds": [\n{ "port": "x", "protocol": "vmess" }]}')
    answer = v2c("test", "-c", a, "-c", b)
    assert answer.code == BAD_CONFIG
    assert re.search(r"b\.json:3:\d+: /inbounds/0/port: ", answer.text), answer.text
    assert "a.json:" not in answer.text


# ------------------------------------------------------------------------------------- running, ending


def test_port_that_is_taken(tmp_path, origins, started):
    """By anybody, and by a second instance of the same program: it says so, and ends with 255."""
    port = free_port()
    path = write(tmp_path / "one.json", door(port, origins.odd))
    first = started("-c", path, ports=[port])
    answer = v2c("run", "-c", path)
    assert answer.code == NO_START
    assert str(port) in answer.text and "in use" in answer.text
    for _ in range(20):
        assert echo_through(port) == b"hello"
    assert end(first)[0] == 0
    with socket.create_server((HOST, port)):
        assert v2c("run", "-c", path).code == NO_START


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_with_0(tmp_path, origins, started, number):
    port = free_port()
    process = started("-c", write(tmp_path / "c.json", door(port, origins.odd)), ports=[port])
    assert echo_through(port) == b"hello"
    process.send_signal(number)
    assert process.wait(10 * rig.SLOWER) == 0


def test_ends_in_time_with_a_visitor_who_stays(tmp_path, origins, started):
    port = free_port()
    config = door(port, origins.odd) | {"drain": 1}
    process = started("-c", write(tmp_path / "c.json", config), ports=[port])
    with connect(port) as s:
        s.sendall(b"silent\n")
        assert end(process)[0] == 0


def test_no_secret_is_shown(tmp_path, origins, started):
    """Not in the errors, not in the log at its most talkative, not for a stranger or a friend."""
    port = free_port()
    config = {
        "log": {"loglevel": "debug"},
        "inbounds": [vmess_in("in", port, [(SECRET, "someone@test")])],
        "outbounds": [{"tag": "out", "protocol": "freedom"}],
    }
    process = started("-c", write(tmp_path / "c.json", config), ports=[port])
    for user in (SECRET, str(uuid.uuid4())):
        request = peer.Request(peer.TCP, HOST, origins.odd)
        with peer.Client(port, user, request).start(b"echo\nhello") as c:
            if user == SECRET:
                assert c.read(5) == b"hello"
    code, log = end(process)
    assert code == 0
    broken = json.loads(json.dumps(config))
    broken["inbounds"][0]["settings"]["clients"] += [
        {"id": SECRET + "-and-more"}, {"id": SECRET, "alterId": 64}, {"id": SECRET, "level": "x"}
    ]
    answer = v2c("test", "-c", write(tmp_path / "broken.json", broken))
    assert answer.code == BAD_CONFIG
    key = peer.command_key(SECRET)
    for text in (log, answer.text):
        bare = text.lower().replace("-", "")
        assert SECRET[:13].replace("-", "") not in bare
        assert SECRET[-12:] not in bare
        assert key.hex() not in bare
    assert SECRET not in pathlib.Path(f"/proc/{process.pid}/cmdline").read_text() if process.poll() is None else True
