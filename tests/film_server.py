"""A small film, and a server on the loopback that answers with it, or badly."""

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from reelward.motion import video
from reelward.runtime.limits import Limits

OPEN = Limits(bytes=1_000_000, seconds=60.0, private=True)
FPS = 30.0
FRAMES = 60


def film() -> bytes:
    """128 x 96, 60 frames; the left half of frame k has grey level 4 k, the right half is white."""
    images = []
    for k in range(FRAMES):
        image = np.full((96, 128, 3), 255, np.uint8)
        image[:, :64] = 4 * k
        images.append(image)
    return video.encode_mp4(images, FPS, 10)


class Handler(http.server.BaseHTTPRequestHandler):
    body = b""

    def do_GET(self) -> None:
        kind = self.path.strip("/").partition(".")[0]
        if kind == "html":
            self.answer(b"<html></html>", kind="text/html; charset=utf-8")
        elif kind == "missing":
            self.send_error(404)
        elif kind == "moved":
            self.move("/clip.mp4?signature=secret")
        elif kind == "round":
            self.move("/round")
        elif kind == "elsewhere":
            self.move("file:///etc/passwd")
        elif kind == "truncated":
            self.answer(self.body[: len(self.body) // 2], length=len(self.body))
        elif kind == "endless":
            self.answer(b"", length=None)
            for _ in range(1000):
                self.wfile.write(b"x" * 65536)
        elif kind == "drip":
            self.answer(b"", length=1000)
            for _ in range(600):
                self.wfile.write(b"x")
                time.sleep(0.1)
        elif kind == "chunks":
            self.raw("Transfer-Encoding: chunked", b"FFFFFFFF\r\n", b"x" * 65536)
        elif kind == "negative":
            self.raw("Transfer-Encoding: chunked", b"-5\r\n", b"")
        elif kind == "headers":
            self.raw("\r\n".join(f"X-{k}: x" for k in range(200)), self.body, b"")
        elif kind == "longline":
            self.raw("X: " + "x" * 70_000, self.body, b"")
        elif kind == "noise":
            self.wfile.write(b"\x00\xff no answer of this protocol\r\n\r\n")
        elif kind == "waiting":
            for _ in range(600):
                self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                time.sleep(0.1)
        elif kind == "list":
            lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:9", *["#EXTINF:9,", "/endless.ts"] * 9]
            body = "\n".join([*lines, "#EXT-X-ENDLIST", ""]).encode()
            self.answer(body, kind="application/vnd.apple.mpegurl")
        elif kind == "gopher":
            self.move("gopher://127.0.0.1:70/_x")
        elif kind == "malformed":
            self.move("http://[::1")
        elif kind == "password":
            self.move("http://user:secret@127.0.0.1/")
        elif kind == "escape":
            self.wfile.write(b"HTTP/1.1 599 \x1b[2J red\r\n\r\n")
        elif kind == "zipped":
            self.raw("Content-Encoding: gzip", self.body, b"")
        elif kind == "mute":
            time.sleep(60)
        else:
            self.answer(self.body)

    def answer(self, body: bytes, kind: str = "video/mp4", length: int | None = -1) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(len(body) if length < 0 else length))
        self.end_headers()
        self.wfile.write(body)

    def raw(self, header: str, begin: bytes, piece: bytes) -> None:
        """An answer with a header as it stands, then `piece` 200 times."""
        self.wfile.write(f"HTTP/1.1 200 OK\r\n{header}\r\n\r\n".encode() + begin)
        for _ in range(200):
            self.wfile.write(piece)

    def move(self, to: str) -> None:
        self.send_response(302)
        self.send_header("Location", to)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True


@contextmanager
def serving(body: bytes) -> Iterator[str]:
    """The address of a server whose film is `body`."""
    Handler.body = body
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
