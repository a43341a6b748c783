"""The api of a v2c under test, as an operator or an attacker uses it."""
import json
import socket

from rig import HOST, connect, free_port, read_answer

TOKEN = "0123456789abcdef0123456789abcdef"
AUTHORIZATION = {"Authorization": f"Bearer {TOKEN}"}
JSON = {"Content-Type": "application/json"}


def add_admin(config, path=None):
    """An api that listens itself, and where; with a `path` on a unix socket."""
    port = None if path else free_port()
    config.setdefault("api", {"tag": "admin"})
    config["api"].update({"listen": str(path) if path else f"{HOST}:{port}", "token": TOKEN})
    return port


def request(method, path, headers=None, body=None, host="127.0.0.1"):
    fields = {"Host": host, "Connection": "close", **(headers or {})}
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    if body is not None:
        fields["Content-Length"] = len(data)
    head = "".join(f"{k}: {v}\r\n" for k, v in fields.items() if v is not None)
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + data


def send(port, data):
    with connect(port) as s:
        s.sendall(data)
        return read_answer(s)


def call(port, method, path, body=None):
    """As the operator; the answer's status and its JSON."""
    answer = send(port, request(method, path, {**AUTHORIZATION, **JSON}, body))
    return answer.status, json.loads(answer.text)


def get(port, path):
    status, answer = call(port, "GET", path)
    assert status == 200, answer
    return answer


def post(port, path, body):
    status, answer = call(port, "POST", path, body)
    assert status == 200, answer
    return answer


def unix_send(path, data):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(str(path))
        s.sendall(data)
        return read_answer(s)
