"""The wire corpus (testing/wire/make.py) for a running gateway: its cases, and answers as they come back."""
import ipaddress
import pathlib
import socket
import uuid

from configs import BRIDGE_EMAIL, DOMAIN, LOG, dokodemo, rule, vmess_in, vmess_out
from rig import HOST, connect, free_port, read_to_end

CORPUS = pathlib.Path(__file__).resolve().parent.parent / "wire"


class Case:
    def __init__(self, path, expected):
        self.path, self.words = path, expected.split()
        self.data = (CORPUS / path).read_bytes()
        self.name = path.partition("/")[2]

    def body_fails(self):
        """Its last request is accepted, but not its body."""
        return self.name.startswith(("chunks-bad", "chunks-cut", "chunks-huge", "framing-length-short", "framing-length-18"))

    def methods(self):
        """Of those of its requests that are accepted."""
        return [b"HEAD"] if self.data.startswith(b"HEAD ") else []

    def __repr__(self):
        return f"{self.path} {self.words}"


def cases(folder):
    lines = (CORPUS / "expected.tsv").read_text().splitlines()
    table = [line.split("\t") for line in lines]
    return [Case(path, expected) for path, expected, _ in table if path.startswith(folder + "/")]


KINDS = ["web", "ingress"]  # of gateways: an outbound, or a port of its own


def gateway(port, origin_port, kind="web", routes=None, **settings):
    """Unless told otherwise all that is asked goes to one origin."""
    settings = {"routes": routes or [{"address": f"{HOST}:{origin_port}"}], **settings}
    door = dokodemo("door", port, 80)
    outbounds = [{"tag": "out", "protocol": "freedom"}]
    if kind == "ingress":
        door = {"tag": "door", "listen": HOST, "port": port, "protocol": kind, "settings": settings}
    else:
        outbounds.insert(0, {"tag": "web", "protocol": kind, "settings": settings})
    return {"log": dict(LOG), "inbounds": [door], "outbounds": outbounds}


def tunnel(port, origin_port):
    """The same with a tunnel between: a portal's ingress, and behind its bridge another gateway."""
    link, user = free_port(), str(uuid.uuid4())
    portal = gateway(port, 0, "ingress", [{"tunnel": "site"}], portal="portal")
    portal["inbounds"].append(vmess_in("interconn", link, [(user, BRIDGE_EMAIL)]))
    claims = [{"user": BRIDGE_EMAIL, "tunnels": ["site"]}]
    portal["reverse"] = {"portals": [{"tag": "portal", "domain": f"*.{DOMAIN}", "claims": claims}]}
    portal["routing"] = {"rules": [rule("interconn", "portal")]}
    bridge = gateway(0, origin_port, forwarded="pass", reuse="all")
    del bridge["inbounds"]
    bridge["outbounds"].append(vmess_out("interconn", link, user))
    bridge["reverse"] = {"bridges": [{"tag": "bridge", "domain": f"site.{DOMAIN}"}]}
    bridge["routing"] = {"rules": [rule("bridge", "interconn", domain=[f"full:site.{DOMAIN}"]), rule("bridge", "web")]}
    return portal, bridge


# --- requests, as a reader of its own sees those that are accepted


def _dechunk(data):
    """The bytes of a body in chunks, and what follows it."""
    body = b""
    while True:
        line, _, data = data.partition(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        if size == 0:
            break
        body, data = body + data[:size], data[size + 2 :]
    while True:
        line, _, data = data.partition(b"\r\n")
        if not line:
            return body, data


def _fields(head):
    pairs = [line.partition(b":") for line in head.split(b"\r\n")[1:]]
    return {name.lower(): value.strip() for name, _, value in pairs}


def first_request(data):
    """(method, path, host, body) of the first request in `data`, and what follows it."""
    head, _, rest = data.partition(b"\r\n\r\n")
    method, target, _ = head.split(b"\r\n")[0].split(b" ")
    fields = _fields(head)
    host = fields.get(b"host", b"")
    if not target.startswith(b"/") and target != b"*":
        authority, slash, path = target.split(b"//", 1)[1].partition(b"/")
        authority, question, query = authority.partition(b"?")
        target = slash + path if not question else b"/?" + query
        target = target or (b"*" if method == b"OPTIONS" else b"/")
        host = host or authority
    if b"transfer-encoding" in fields:
        body, rest = _dechunk(rest)
    else:
        length = int(fields.get(b"content-length", b"0"))
        body, rest = rest[:length], rest[length:]
    return (method, target, host, body), rest


def same_host(said, wanted):
    """A host as somebody wrote it, and one in normal form."""
    said = said.lower()
    if said.startswith("["):
        ip = ipaddress.ip_address(said[1 : said.index("]")])
        mapped = ip.ipv4_mapped
        return wanted == (str(mapped) if mapped else f"[{ip}]")
    return said.partition(":")[0].rstrip(".") == wanted


# --- answers


class Answer:
    def __init__(self, head, body, whole):
        self.code = int(head.split(b" ")[1])
        self.fields = _fields(head)
        self.body, self.whole = body, whole
        self.own = b"x-request-id" in self.fields  # by the gateway


def _take_answer(data, ended, no_body):
    head, end, rest = data.partition(b"\r\n\r\n")
    assert end and head.startswith(b"HTTP/1.1 "), data[:200]
    fields, code = _fields(head), int(head.split(b" ")[1])
    if no_body or code < 200 or code in (204, 304):
        return Answer(head, b"", True), rest
    if b"transfer-encoding" in fields:
        try:
            body, rest = _dechunk(rest)
        except ValueError:
            return Answer(head, rest, False), b""
        return Answer(head, body, True), rest
    if b"content-length" not in fields:
        return Answer(head, rest, ended == "fin"), b""
    length = int(fields[b"content-length"])
    return Answer(head, rest[:length], len(rest) >= length), rest[length:]


def send(s, data):
    """All of it, and then the end."""
    try:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # it was refused before it was all sent


def ask(port, data, methods=(), timeout=10):
    """Sends all, ends its side, and reads answers until the end."""
    with connect(port, timeout) as s:
        send(s, data)
        got = read_to_end(s, timeout)
    assert got.how != "open", "the gateway neither answers nor ends"
    answers, rest = [], got.data
    while rest:
        method = methods[len(answers)] if len(answers) < len(methods) else b"GET"
        answer, rest = _take_answer(rest, got.how, method == b"HEAD")
        answers.append(answer)
    return answers, got.how
