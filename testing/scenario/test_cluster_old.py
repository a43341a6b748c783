"""V2Ray as a bridge of a cluster: it hears of portals and passes over it, and its visitors may come to any of them."""
import pytest

from cluster import DOMAIN, Cluster
from configs import bridge_config, rule
from rig import HOST, Program, http_get, in_parallel

pytestmark = [pytest.mark.v2c, pytest.mark.quick]


def old_bridge(cluster, tunnel, target, at):
    config = bridge_config(cluster.ports[at]["links"], cluster.users["home"])
    name = f"{tunnel}.{DOMAIN}"
    config["reverse"]["bridges"][0]["domain"] = name
    config["outbounds"][0]["settings"] = {"redirect": f"{HOST}:{target}"}
    config["routing"]["rules"][0] = rule("bridge", "interconn", domain=[f"full:{name}"])
    return Program("v2ray", config, cluster.directory, "old-bridge")


def test_a_v2ray_bridge_serves_visitors_of_any_portal(tmp_path, origins):
    with Cluster(tmp_path, count=2, doors={"door": ("old", origins.web)}) as cluster:
        cluster.bridges.append(old_bridge(cluster, "old", origins.web, 0).start())
        cluster.wait_carriers("old", 1)
        ports = [p["door"] for p in cluster.ports]

        def ask(port):
            for _ in range(20):
                assert http_get(port, "/small.txt").body == b"small\n"

        in_parallel([lambda p=p: ask(p) for p in ports * 2])
        assert cluster.carriers(0) == {"old": 1} and cluster.carriers(1) == {}
        cluster.nodes[1].kill()  # and what the other one then says of it
        cluster.nodes[1].start()
        cluster.wait_ready()
        ask(ports[1])
        ask(ports[0])
