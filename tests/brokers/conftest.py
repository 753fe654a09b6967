"""A loopback server that answers with raw bytes: what no simulator would send."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest


class Raw:
    """Answers every request with the next of ``replies`` (the last repeats); keeps what came."""

    def __init__(self):
        self.replies = []
        self.seen = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def root(self):
        return f"http://127.0.0.1:{self.port}"

    def say(self, *replies):
        self.replies = list(replies)

    def _run(self):
        while True:
            try:
                link, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(link,), daemon=True).start()

    def _answer(self, link):
        with contextlib.suppress(OSError):
            self._serve(link)

    def _serve(self, link):
        with link:
            data = b""
            while b"\r\n\r\n" not in data:
                more = link.recv(65536)
                if not more:
                    return
                data += more
            head, _, rest = data.partition(b"\r\n\r\n")
            size = next(
                (int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length")), 0
            )
            while len(rest) < size:
                rest += link.recv(65536)
            self.seen.append((head.decode(), rest.decode("utf-8", "replace")))
            reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
            if callable(reply):
                reply(link)
            else:
                link.sendall(reply)


def answer(body=b'{"status":"success","data":{}}', status="200 OK", kind="application/json", **headers):
    """The bytes of an HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"Content-Type: {kind}"] if kind else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.fixture
def raw():
    server = Raw()
    server.answer = answer
    yield server
    server.socket.close()
