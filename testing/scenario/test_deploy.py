"""What deploy/ says is true: its manifests fit each other, their configuration is one that v2c takes, and it runs."""
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

import rig

yaml = pytest.importorskip("yaml")

pytestmark = [pytest.mark.v2c]

DEPLOY = pathlib.Path(__file__).parents[2] / "deploy"
SECRETS = "/run/secrets/v2c"
TUNNEL = "381433e1-7980-11ee-bbdb-60f262c1e32d"


def manifests():
    """All objects, by kind and name."""
    found = {}
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        for one in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            place = (one["kind"], one["metadata"]["name"])
            assert place not in found and one["metadata"].get("namespace", "tunnel") == "tunnel", place
            found[place] = one
    return found


KUBERNETES = manifests()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
PORTAL = KUBERNETES["Deployment", "v2c-portal"]["spec"]["template"]["spec"]


def of_kind(kind):
    return [one for (k, _), one in KUBERNETES.items() if k == kind]


def plain(text):
    """A configuration without its comments."""
    return json.loads(re.sub(r"(?m)(^|\s)//.*$", "", text))


def secrets(directory):
    """What secrets.sh makes, as the manual steps say."""
    made = subprocess.run([DEPLOY / "cluster/secrets.sh", directory / "secrets", TUNNEL], check=True,
                          capture_output=True, text=True, timeout=10)
    assert f"--tunnel {TUNNEL} " in made.stdout
    return directory / "secrets"


def selected(selector):
    """The pods that it selects, each as its Deployment's template."""
    return [
        one["spec"]["template"]["spec"] for one in of_kind("Deployment")
        if selector["matchLabels"].items() <= one["spec"]["template"]["metadata"]["labels"].items()
    ]


def ports(pod):
    return {p["name"]: p["containerPort"] for c in pod["containers"] for p in c["ports"]}


def test_there_are_no_other_workloads_than_portals_and_redis():
    assert sorted(name for _, name in KUBERNETES if _ == "Deployment") == ["redis", "v2c-portal"]
    assert not {kind for kind, _ in KUBERNETES} & {"StatefulSet", "DaemonSet", "Job", "CronJob", "Pod", "Secret"}
    assert KUBERNETES["Deployment", "v2c-portal"]["spec"]["replicas"] == 3


def test_selectors_and_ports_agree():
    for deployment in of_kind("Deployment"):
        assert len(selected(deployment["spec"]["selector"])) == 1
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                for how in container.get(probe, {}).values():
                    assert not isinstance(how, dict) or how["port"] in ports(selected(deployment["spec"]["selector"])[0])
    for service in of_kind("Service"):
        [pod] = selected({"matchLabels": service["spec"]["selector"]})
        assert {p["targetPort"] for p in service["spec"]["ports"]} <= ports(pod).keys()
    for budget in of_kind("PodDisruptionBudget"):
        assert selected(budget["spec"]["selector"]) == [PORTAL]
    for policy in of_kind("NetworkPolicy"):
        [pod] = selected(policy["spec"]["podSelector"])
        rules = policy["spec"]["ingress"]
        assert {p["port"] for r in rules for p in r["ports"]} <= ports(pod).keys()
        for rule in policy["spec"]["egress"]:
            for to in rule.get("to", []):
                [other] = selected(to["podSelector"])
                assert {p["port"] for p in rule["ports"]} <= ports(other).keys()


def test_the_ingress_sends_bridges_and_visitors_to_their_ports():
    [ingress] = of_kind("Ingress")
    ways = {}
    for rule in ingress["spec"]["rules"]:
        [path] = rule["http"]["paths"]
        service = path["backend"]["service"]
        named = {p["name"]: p for p in KUBERNETES["Service", service["name"]]["spec"]["ports"]}
        ways[rule["host"]] = named[service["port"]["name"]]["targetPort"]
    assert ways == {"gost.local": "tunnel", "*.gost.local": "entrypoint"}
    nginx = (DEPLOY / "cluster/nginx.conf").read_text(encoding="utf-8")
    found = re.findall(r"server_name (\S+);.*?proxy_pass http://(\w+);", nginx, re.S)
    assert dict(found) == ways


def test_who_may_reach_the_portals_own_port_and_redis():
    allowed = {
        (policy["metadata"]["name"], port["port"]): rule.get("from")
        for policy in of_kind("NetworkPolicy") for rule in policy["spec"]["ingress"] for port in rule["ports"]
    }
    portals = [{"podSelector": {"matchLabels": {"app": "v2c-portal"}}}]
    assert allowed["v2c-portal", "peer"] == portals and allowed["redis", "redis"] == portals
    assert allowed["v2c-portal", "probes"]


def test_the_configuration_listens_where_the_manifests_say(tmp_path):
    text = (DEPLOY / "cluster/portal.json").read_text(encoding="utf-8")
    assert KUBERNETES["ConfigMap", "v2c-portal"]["data"] == {"portal.json": text}
    portal, users = plain(text), plain((secrets(tmp_path) / "users.json").read_text(encoding="utf-8"))
    listens = {i["tag"]: i["port"] for i in portal["inbounds"] + users["inbounds"]}
    listens["peer"] = int(portal["cluster"]["listen"].rpartition(":")[2])
    assert listens == ports(PORTAL)
    assert f"redis:{ports(selected({'matchLabels': {'app': 'redis'}})[0])['redis']}/" in portal["cluster"]["registry"]["redis"]
    assert portal["cluster"]["peers"] == [f"v2c-peers:{listens['peer']}"]
    peers = KUBERNETES["Service", "v2c-peers"]["spec"]
    assert selected({"matchLabels": peers["selector"]}) == [PORTAL] and peers["clusterIP"] == "None"
    assert peers["publishNotReadyAddresses"] and [p["port"] for p in peers["ports"]] == [listens["peer"]]
    named = {e["name"] for e in PORTAL["containers"][0]["env"]}
    assert {w.removeprefix("env:") for w in portal["cluster"].values() if str(w).startswith("env:")} == named
    # SIGTERM comes at once in Compose, and after preStop in Kubernetes.
    takes = portal["drain"] + portal["cluster"]["spread"]
    assert PORTAL["terminationGracePeriodSeconds"] > takes + int(PORTAL["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert int(COMPOSE["x-portal"]["stop_grace_period"].removesuffix("s")) > takes


def test_all_files_come_from_where_they_are_looked_for(tmp_path):
    made = {p.name for p in secrets(tmp_path).iterdir()}
    assert made == {"cluster.key", "redis-password", "users.json"}
    text = (DEPLOY / "cluster/portal.json").read_text(encoding="utf-8")
    assert set(re.findall(rf"file:{SECRETS}/([\w.-]+)|\"{SECRETS}/([\w.-]+)\"", text)) == {
        ("cluster.key", ""), ("", "redis-password")
    }
    mounts = {m["mountPath"] for m in PORTAL["containers"][0]["volumeMounts"]}
    arguments = PORTAL["containers"][0]["args"]
    assert {str(pathlib.Path(a).parent) for a in arguments if a.startswith("/")} == mounts == {"/etc/v2c", SECRETS}
    for deployment in of_kind("Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        volumes = {v["name"]: v for v in pod["volumes"]}
        assert {m["name"] for c in pod["containers"] for m in c["volumeMounts"]} == volumes.keys()
        for volume in volumes.values():
            assert {i["key"] for i in volume.get("secret", {}).get("items", [])} <= made


def test_nothing_runs_as_root_or_may_become_it():
    for deployment in of_kind("Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 65532
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            has = container["securityContext"]
            assert not has["allowPrivilegeEscalation"] and has["readOnlyRootFilesystem"]
            assert has["capabilities"] == {"drop": ["ALL"]}
            assert all(port > 1023 for port in ports(pod).values())


def test_compose_runs_the_same_portals():
    portals = {name: one for name, one in COMPOSE["services"].items() if name.startswith("portal-")}
    assert len(portals) == 3
    for name, one in portals.items():
        assert one["command"] == PORTAL["containers"][0]["args"]
        assert one["networks"] == {"tunnel": {"aliases": ["v2c-peers"]}}
        assert one["environment"] == {"POD_NAME": name, "POD_IP": name}
        places = dict(v.split(":")[:2] for v in one["volumes"])
        assert places == {"./cluster/portal.json": "/etc/v2c/portal.json", "./secrets": SECRETS}
    nginx = (DEPLOY / "cluster/nginx.conf").read_text(encoding="utf-8")
    for port, upstream in ((8421, "tunnel"), (8080, "entrypoint")):
        block = re.search(rf"upstream {upstream} {{(.*?)}}", nginx, re.S).group(1)
        assert re.findall(r"server (\S+)", block) == [f"{name}:{port}" for name in portals]
    for one in COMPOSE["services"].values():
        for volume in one["volumes"]:
            place = volume.split(":")[0]
            assert place.startswith("./secrets") or (DEPLOY / place).is_file(), place


@pytest.mark.skipif(not os.path.exists(rig.NGINX), reason="no nginx here")
def test_nginx_takes_its_configuration(tmp_path):
    text = (DEPLOY / "cluster/nginx.conf").read_text(encoding="utf-8")
    text = re.sub(r"server portal-\d:", "server 127.0.0.1:", text)  # names of a network that is not here
    text = re.sub(r"listen \d+;", f"listen unix:{tmp_path}/socket;", text)
    temp = " ".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off; {temp} {text} }}", encoding="utf-8")
    done = subprocess.run([rig.NGINX, "-t", "-p", tmp_path, "-c", tmp_path / "nginx.conf"], capture_output=True, text=True,
                          timeout=20, check=False)
    assert done.returncode == 0, done.stderr


def test_the_image_is_made_by_its_script_alone():
    """`make image-check` runs these steps; here only that there are no others."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"(?m)^RUN (.*)", text) == [
        "deploy/image.sh build /out", "/usr/local/share/v2c/image.sh run"
    ]
    assert re.findall(r"(?m)^USER (.*)", text) == ["65532:65532"]
    build = COMPOSE["x-portal"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).resolve() == DEPLOY / "Dockerfile"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
def test_systemd_takes_the_unit_and_finds_it_confined(tmp_path):
    text = (DEPLOY / "v2c.service").read_text(encoding="utf-8")
    unit = tmp_path / "v2c.service"
    unit.write_text(text.replace("/usr/local/bin/v2c", rig.V2C), encoding="utf-8")
    for words in (["verify", "--man=no", unit], ["security", "--offline=true", "--threshold=20", unit]):
        done = subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
def test_v2c_takes_the_configuration(tmp_path):
    made = secrets(tmp_path)
    portal = tmp_path / "portal.json"
    portal.write_text(
        KUBERNETES["ConfigMap", "v2c-portal"]["data"]["portal.json"].replace(SECRETS, str(made)), encoding="utf-8")
    environment = {**os.environ, "POD_NAME": "v2c-portal-6d8f-x2x4z", "POD_IP": "10.1.2.3"}
    done = subprocess.run([rig.V2C, "test", "-c", portal, "-c", made / "users.json"], env=environment,
                          capture_output=True, text=True, timeout=20, check=False)
    # Redis is asked in the clear: in its namespace the NetworkPolicy lets nobody else come near.
    said = [line for line in done.stdout.splitlines() if "redis:6379 is asked in the clear" not in line]
    assert (done.returncode, said) == (0, ["Configuration OK."]), done.stdout + done.stderr


def test_the_tests_that_the_document_names_are_there():
    """Three dots stand for the rest of a long name."""
    document = (DEPLOY.parent / "docs/CLUSTER.md").read_text(encoding="utf-8")
    named = re.findall(r"`(test_\w+)(\.py|…)?`", document)
    assert len(named) > 20
    files = {p.name: p.read_text(encoding="utf-8") for p in pathlib.Path(__file__).parent.glob("test_*.py")}
    tests = re.findall(r"(?m)^def (test_\w+)\(", "".join(files.values()))
    for name, rest in named:
        found = name + rest in files if rest == ".py" else any(t == name or rest and t.startswith(name) for t in tests)
        assert found, name
