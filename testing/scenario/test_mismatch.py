"""Two sides that were not made for each other: what they say, so that somebody can act."""
import pytest

from configs import Tunnel

pytestmark = [pytest.mark.v2c, pytest.mark.quick]


def test_a_bridge_of_another_domain(run, origins, tmp_path):
    t = Tunnel(tmp_path, origins)
    portal = run("v2c", t.portal_config, "portal")
    domain = t.portal_config["reverse"]["portals"][0]["domain"]
    t.bridge_config["reverse"]["bridges"][0]["domain"] = "other.tunnel"
    for rule in t.bridge_config["routing"]["rules"]:
        if "domain" in rule:
            rule["domain"] = ["full:other.tunnel"]
    run("v2c", t.bridge_config, "bridge")
    portal.wait_log(rf"asks for other\.tunnel:0 as bridges do, but the domain here is {domain}")


def test_a_bridge_that_meets_a_web_server(run, origins, tmp_path):
    t = Tunnel(tmp_path, origins)
    t.bridge_config["outbounds"][1]["settings"]["vnext"][0]["port"] = origins.web
    bridge = run("v2c", t.bridge_config, "bridge")
    bridge.wait_log(r"no portal: .*; check that the port, streamSettings, user id and domain are")
