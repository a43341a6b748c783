"""The cluster in which things fail: three portals, a real Redis, and bridges that have links to two of the portals."""
import contextlib

from cluster import Cluster, Redis, visit
from origins import labelled
from rig import HOST, SLOWER, wait_for

KNOWN = "known.hosts.test"
PREFIX = "v2c:test:"  # of keys
BACK = 3 * SLOWER  # seconds in which all is healed after Redis is back, and a bridge elsewhere


@contextlib.contextmanager
def town_in(directory, **more):
    """Two bridges, each with a link to the first and the second portal: the third one has to send all visitors on."""
    with contextlib.ExitStack() as stack:
        web = labelled("small\n")
        stack.callback(web.close)
        town = stack.enter_context(Cluster(directory, redis=Redis(directory), registry={"sweep": 10}, **more))
        town.web = web
        for name in ("one", "two"):
            town.bridge("web", web.port, [0, 1], name=name, hosts=[KNOWN])
        town.wait_carriers("web", 4)
        for port in town.entries():
            wait_for(lambda: visit((HOST, port), KNOWN) is None, 8 * SLOWER, f"the host at port {port}")
        yield town
