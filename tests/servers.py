"""Servers on this machine: an object store, a web server, and trouble before either."""

import base64
import http.client
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SECRET = "SeCrEt0123456789"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "headstart",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nowhere",
    "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
}


class _Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Say nothing of clients that went."""


@contextmanager
def serving(handler):
    """Run a handler in threads, and give the address of its server."""
    server = _Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def object_store(folder: Path):
    """Run moto's server in a process of its own, and give its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with open(folder / "moto.log", "w") as log:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        environment = {**os.environ, **ENVIRONMENT}
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{address}/moto-api/", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait()


class Web(SimpleHTTPRequestHandler):
    """A folder on the web, with ranges; `asks` is what a request must hold, as a login or a token."""

    protocol_version = "HTTP/1.1"
    asks = ""

    def log_message(self, format, *args):
        pass

    def do_GET(self):
        self._answer(super().do_GET)

    def do_HEAD(self):
        self._answer(super().do_HEAD)

    def _answer(self, usual):
        login = base64.b64encode(self.asks.encode()).decode()
        if self.asks and self.asks not in self.path and login not in self.headers.get("Authorization", ""):
            self.send_error(401)
            return
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if not found or not path.is_file():
            usual()
            return
        start, last = map(int, found.groups())
        data = path.read_bytes()
        part = data[start : last + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{start + len(part) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)


def web(folder: Path, asks: str = ""):
    """Serve a folder on the web."""
    return serving(partial(type("Asking", (Web,), {"asks": asks}), directory=str(folder)))


class Trouble:
    """What goes wrong on the way to a server, in shares of the requests, and what was asked for.

    `gone` are parts of paths that are answered 404 once they were asked for.
    """

    def __init__(self, upstream: str, broken: float = 0, cut: float = 0, slow: float = 0, seed: int = 0):
        self.upstream, self.broken, self.cut, self.slow = upstream.removeprefix("http://"), broken, cut, slow
        self.random, self.lock = random.Random(seed), threading.Lock()
        self.asked: list[tuple[str, str]] = []
        self.status: dict[str, int] = {}  # of requests whose path holds a text
        self.made: Counter[str] = Counter()
        self.under_way = self.most = 0

    def images_read(self) -> list[str]:
        """The paths of images that were asked for with their bytes."""
        return [path for method, path in self.asked if method == "GET" and ".png" in path.partition("?")[0]]

    @contextmanager
    def running(self):
        """Stand before the server, and give the address."""
        with serving(partial(_Troubled, self)) as address:
            yield address

    def next_fault(self) -> str:
        with self.lock:
            drawn = self.random.random()
        for kind in ("broken", "cut", "slow"):
            drawn -= getattr(self, kind)
            if drawn < 0:
                self.made[kind] += 1
                return kind
        return ""


class _Troubled(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, trouble, *args):
        self.trouble = trouble
        super().__init__(*args)

    def log_message(self, format, *args):
        pass

    def do_GET(self):
        trouble = self.trouble
        with trouble.lock:
            trouble.asked.append((self.command, self.path))
            trouble.under_way += 1
            trouble.most = max(trouble.most, trouble.under_way)
        try:
            self._answer(trouble.next_fault())
        finally:
            with trouble.lock:
                trouble.under_way -= 1

    do_HEAD = do_GET

    def _answer(self, fault):
        told = next((status for text, status in self.trouble.status.items() if text in self.path), 0)
        if told or fault == "broken":
            self.send_response(told or 500)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        time.sleep(0.3 if fault == "slow" else 0)
        upstream = http.client.HTTPConnection(self.trouble.upstream, timeout=60)
        upstream.request(self.command, self.path, headers=dict(self.headers))
        answer = upstream.getresponse()
        data = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection", "date", "server"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        if fault == "cut":
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        else:
            self.wfile.write(data)
        upstream.close()


def fill(address: str, bucket: str, folder: Path, prefix: str = "") -> str:
    """Put the files of a folder into a bucket, and return its address there."""
    import boto3

    client = boto3.client("s3", endpoint_url=address, **_credentials())
    client.create_bucket(Bucket=bucket)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            client.upload_file(str(path), bucket, prefix + path.relative_to(folder).as_posix())
    return f"s3://{bucket}/{prefix}".rstrip("/")


def put(address: str, place: str, data: bytes) -> None:
    """Put bytes into a bucket."""
    import boto3

    bucket, _, key = place.removeprefix("s3://").partition("/")
    boto3.client("s3", endpoint_url=address, **_credentials()).put_object(Bucket=bucket, Key=key, Body=data)


def _credentials() -> dict:
    return {
        "aws_access_key_id": ENVIRONMENT["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": SECRET,
        "region_name": "us-east-1",
    }
