"""The connection to a server: its proxy, and limits on the time and size of a reply."""

from __future__ import annotations

import importlib.util
import time
import zlib
from collections.abc import Iterator

import httpx2
import openai

from reelward.runtime.errors import InputError
from reelward.runtime.proxies import proxy_for

CONNECT_SECONDS = 15.0
MAX_REPLY = 4 << 20
"""bytes of a reply, unpacked; a longer one ends the connection"""


def connect(url: str, key: str, seconds: float) -> openai.OpenAI:
    """A client without retries; a reply that takes longer than `seconds` is cut off."""

    def bound(response: httpx2.Response) -> None:
        assert isinstance(response.stream, httpx2.SyncByteStream)
        packing = response.headers.pop("content-encoding", "identity").strip().lower()
        response.stream = _BoundedStream(response.stream, time.monotonic() + seconds, packing)

    return openai.OpenAI(
        api_key=key or "none",
        base_url=url,
        max_retries=0,
        timeout=httpx2.Timeout(seconds, connect=CONNECT_SECONDS),
        default_headers={"accept-encoding": "identity"},
        http_client=openai.DefaultHttpxClient(
            event_hooks={"response": [bound]}, follow_redirects=False, transport=_transport(url)
        ),
    )


def _transport(url: str) -> httpx2.HTTPTransport:
    """The way to an address: through the proxy of the environment, if one is meant for it."""
    proxy = proxy_for(url)
    if proxy is None:
        return httpx2.HTTPTransport()
    scheme = proxy.url.partition("://")[0].lower()
    socks = ("socks5", "socks5h") if importlib.util.find_spec("socksio") else ()
    if scheme not in ("http", "https", *socks):
        raise InputError(
            f"{proxy.variable}: expected a proxy over http, got one over {scheme[:20]}; unset it, or "
            f"name the host of {url} in NO_PROXY"
        )
    try:
        return httpx2.HTTPTransport(proxy=httpx2.Proxy(proxy.url))
    except (httpx2.InvalidURL, ValueError):
        raise InputError(f"{proxy.variable}: expected an address like http://host:3128") from None


class _BoundedStream(httpx2.SyncByteStream):
    """Ends a reply that is too long, unpacked too, or takes too long."""

    def __init__(self, inner: httpx2.SyncByteStream, deadline: float, packing: str) -> None:
        self.inner, self.deadline, self.packing = inner, deadline, packing

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for chunk in self._unpacked():
            size += len(chunk)
            if size > MAX_REPLY:
                raise httpx2.ReadError(f"an answer of more than {MAX_REPLY >> 20} MiB")
            if time.monotonic() > self.deadline:
                raise httpx2.ReadTimeout("the answer takes too long")
            yield chunk

    def _unpacked(self) -> Iterator[bytes]:
        """The chunks; unpacked if the server packs them although it was not asked to."""
        if self.packing in ("", "identity"):
            yield from self.inner
            return
        if self.packing not in ("gzip", "x-gzip", "deflate"):
            raise httpx2.ReadError(f"an answer packed as {self.packing[:20]}, not asked for")
        unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)
        try:
            for chunk in self.inner:
                yield unpack.decompress(chunk, MAX_REPLY + 1)
        except zlib.error:
            raise httpx2.ReadError(f"an answer that is no {self.packing}") from None
        if not unpack.eof:
            raise httpx2.ReadError("a packed answer that is cut off")

    def close(self) -> None:
        self.inner.close()
