"""The static file server, asked by curl, alone and behind a tunnel."""
import json
import os
import signal
import subprocess

import pytest

from configs import dokodemo, portal_config, bridge_config
from origins import known_bytes
from rig import HOST, connect, first_good, free_port, free_ports, http_request, read_answer, wait_for

pytestmark = [pytest.mark.v2c, pytest.mark.quick]

GIB = 1 << 30


def server(root, port, **settings):
    return {
        "log": {"loglevel": "info"},
        "inbounds": [dokodemo("door", port, 80)],
        "outbounds": [{"protocol": "file", "settings": {"root": str(root), **settings}}],
    }


def curl(port, path, *args):
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "20", *args, f"http://{HOST}:{port}{path}"],
        capture_output=True, check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "www"
    (root / "sub").mkdir(parents=True)
    (root / "small.txt").write_bytes(b"small\n")
    (root / "sub" / "known.bin").write_bytes(known_bytes(3_000_000))
    (root / ".secret").write_bytes(b"secret")
    (tmp_path / "outside.txt").write_bytes(b"secret")
    (root / "link").symlink_to("../outside.txt")
    return root


def test_curl_gets_resumes_and_asks_again(run, root, tmp_path):
    port = free_port()
    run("v2c", server(root, port))
    assert curl(port, "/small.txt") == b"small\n"
    part = tmp_path / "part"
    part.write_bytes(known_bytes(1_000_001))
    curl(port, "/sub/known.bin", "-C", "-", "-o", str(part))
    assert part.read_bytes() == known_bytes(3_000_000)
    etag = tmp_path / "etag"
    curl(port, "/small.txt", "--etag-save", str(etag), "-o", "/dev/null")
    state = ["-o", "/dev/null", "-w", "%{http_code}"]
    assert curl(port, "/small.txt", "--etag-compare", str(etag), *state) == b"304"
    assert curl(port, "/small.txt", "-z", str(part), *state) == b"304"
    os.utime(root / "small.txt", (2e9, 2e9))
    assert curl(port, "/small.txt", "--etag-compare", str(etag), *state) == b"200"
    assert curl(port, "/sub", "-L", *state) == b"403"
    for path in ("/.secret", "/link", "/../outside.txt", "/sub/%2e%2e/%2e%2e/outside.txt"):
        assert b"secret" not in curl(port, path, "--path-as-is", "-i")


def test_a_list_leads_to_its_files(run, root):
    port = free_port()
    name = "a&b <c> ä.txt"
    (root / "sub" / name).write_bytes(b"odd")
    run("v2c", server(root, port, listing=True))
    page = curl(port, "/sub/").decode()
    assert "a&amp;b &lt;c&gt; ä.txt" in page and "known.bin" in page
    href = page.split('href="a%26b')[1].split('"')[0]
    assert curl(port, f"/sub/a%26b{href}") == b"odd"


def test_a_gigabyte_does_not_lie_in_memory(run, root):
    port = free_port()
    os.truncate(os.open(root / "big", os.O_CREAT | os.O_WRONLY), GIB)
    program = run("v2c", server(root, port))
    before = program.rss()
    got = curl(port, "/big", "-o", "/dev/null", "-w", "%{size_download}")
    assert int(got) == GIB
    with connect(port) as s:  # and not when nobody reads either
        s.sendall(http_request("/big"))
        assert curl(port, "/small.txt") == b"small\n"
        assert program.rss() - before < 8 << 20


def test_a_reload_changes_the_root_for_who_comes_then(run, root, tmp_path):
    port = free_port()
    config = server(root, port)
    program = run("v2c", config)
    other = tmp_path / "other"
    other.mkdir()
    (other / "small.txt").write_bytes(b"other\n")

    def reload():
        program.path.write_text(json.dumps(config))
        program.process.send_signal(signal.SIGHUP)

    with connect(port) as s:
        config["outbounds"].append({"tag": "more", "protocol": "blackhole"})
        reload()
        program.wait_log("reload: done, 2 kept, 1 begun, 0 ended")
        s.sendall(http_request("/small.txt", keep=True))
        assert read_answer(s).body == b"small\n"
        config["outbounds"][0]["settings"]["root"] = str(other)
        reload()
        wait_for(lambda: curl(port, "/small.txt") == b"other\n", 5, "the other folder")
        s.sendall(http_request("/small.txt"))
        assert read_answer(s).body == b"small\n"


def test_behind_a_tunnel(run, root):
    """A bridge whose only server is itself; one visitor's connection, many requests."""
    visitors, link = free_ports(2)
    user = "27848739-7e62-4138-9fd3-098a63964b6b"
    bridge = bridge_config(link, user)
    bridge["outbounds"][0] = {"tag": "out", "protocol": "file", "settings": {"root": str(root)}}
    run("v2c", portal_config(link, user, [dokodemo("web", visitors, 80)]), "portal")
    run("v2c", bridge, "bridge")
    first_good(visitors)
    with connect(visitors) as s:
        for _ in range(5):
            s.sendall(http_request("/sub/known.bin", keep=True))
            assert read_answer(s).body == known_bytes(3_000_000)
            s.sendall(http_request("/none", keep=True))
            assert read_answer(s).status == 404
