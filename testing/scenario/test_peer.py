"""The test equipment itself: the Python peer against the real V2Ray, so that attacks are well aimed."""
import pytest

import peer
from configs import LOG, vmess_in
from rig import HOST, KINDS, free_port

USER = "11223344-5566-4788-99aa-bbccddeeff00"


@pytest.fixture(params=KINDS)
def server(run, request):
    port = free_port()
    config = {
        "log": LOG,
        "inbounds": [vmess_in("in", port, [(USER, "user@test")])],
        "outbounds": [{"protocol": "freedom"}],
    }
    run(request.param, config)
    return port


@pytest.mark.quick
@pytest.mark.parametrize("security", [peer.GCM, peer.CHACHA, peer.NONE])
def test_echo(server, origins, security):
    option = peer.USUAL if security != peer.NONE else peer.CHUNKS | peer.MASK
    request = peer.Request(peer.TCP, HOST, origins.odd, security, option)
    with peer.Client(server, USER, request).start(b"echo\nhello") as c:
        assert c.read(5) == b"hello"
        c.send(b"x" * 40_000)
        assert c.read(40_000) == b"x" * 40_000


@pytest.mark.quick
def test_mux(server, origins):
    with peer.Client(server, USER, peer.Request(peer.MUX)) as c:
        target = {"host": HOST, "port": origins.odd}
        c.start(peer.frame(5, peer.NEW, b"echo\none", network=peer.TCP, **target))
        c.send(peer.frame(6, peer.NEW, b"echo\ntwo", network=peer.TCP, **target))
        got = {}
        while len(got) < 2:
            f = peer.read_frame(c.read)
            got[f.stream] = f.data
        assert got == {5: b"one", 6: b"two"}


@pytest.mark.quick
def test_wrong_user(server, origins):
    stranger = USER[::-1].replace("-", "")
    request = peer.Request(peer.TCP, HOST, origins.odd)
    with peer.Client(server, stranger, request, timeout=2).start(b"echo\nhello" + bytes(6000)) as c:
        assert c.all_data() == b""
