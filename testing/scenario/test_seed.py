"""The example of V2Ray's own manual, as printed there, in front of a real nginx.

seed_portal.json and seed_bridge.json hold the manual's pieces in the order in which they belong in a
file, with the manual's comments. Here only addresses and ports are filled in; "listen" keeps the test
on loopback.
"""
import pathlib

import pytest

from rig import Program, connect, first_good, free_ports, http_get, http_request, read_answer

HERE = pathlib.Path(__file__).parent


def filled(name, *pairs):
    text = (HERE / name).read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    return text


@pytest.mark.quick
def test_manual_example(origins, tmp_path, pairing):
    visitor, link = free_ports(2)
    portal = Program(
        pairing[0],
        filled("seed_portal.json", ('"port": 80, //', f'"port": {visitor}, //'),
               ('"port": 1024, //', f'"port": {link}, //')),
        tmp_path, "portal",
    )
    bridge = Program(
        pairing[1],
        filled("seed_bridge.json", ("127.0.0.1:80", f"127.0.0.1:{origins.web}"),
               ("portal 的 IP 地址", "127.0.0.1"), ('"port": 1024', f'"port": {link}')),
        tmp_path, "bridge",
    )
    try:
        portal.start(ports=[visitor, link])
        bridge.start()
        first_good(visitor, seconds=8)
        with connect(visitor) as s:
            for _ in range(20):
                s.sendall(http_request("/small.txt", keep=True))
                assert read_answer(s) == (200, b"small\n")
        assert len(http_get(visitor, "/7.bin").body) == 107_000
    finally:
        bridge.stop()
        portal.stop()
