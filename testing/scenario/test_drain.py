"""A link grows old (V2Ray: after 256 streams) and is replaced, and no visitor notices."""
import pytest

from rig import Relay, http_get, in_parallel, wait_for

VISITORS = 320


@pytest.mark.pairings(("v2c", "v2ray"), ("v2ray", "v2c"), ("v2ray", "v2ray"))
def test_old_link_is_replaced(own_tunnel, pairing):
    t = own_tunnel(pairing, via=Relay)
    with t.ask("echo", 20) as held:
        held.sendall(b"a")
        assert held.recv(1) == b"a"

        def some():
            return [http_get(t.web, "/small.txt").body for _ in range(VISITORS // 4)]

        first = t.relay.count
        assert in_parallel([some] * 4) == [[b"small\n"] * (VISITORS // 4)] * 4

        def replaced():
            assert http_get(t.web, "/small.txt").body == b"small\n"
            return t.relay.count > first

        wait_for(replaced, 12, "another link")
        assert in_parallel([some] * 2) == [[b"small\n"] * (VISITORS // 4)] * 2
        held.sendall(b"b")  # a stream of the old link is not hurt
        assert held.recv(1) == b"b"
