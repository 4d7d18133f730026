"""Proxies that the environment names: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY.

The names may also be lower-case, which then wins, as in curl.
"""

from __future__ import annotations

import ipaddress
import os
from typing import NamedTuple
from urllib.parse import urlsplit

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Proxy(NamedTuple):
    variable: str
    """Name of the environment variable."""
    url: str
    """May hold a password."""


def direct_to_loopback() -> None:
    """Let this process and its children reach this machine without a proxy: add the loopback
    addresses to NO_PROXY and no_proxy. What the user set there is kept."""
    lower, upper = os.environ.get("no_proxy"), os.environ.get("NO_PROXY")
    for name, value in (("no_proxy", lower or upper), ("NO_PROXY", upper or lower)):
        hosts = [host for part in (value or "").split(",") if (host := part.strip())]
        missing = [host for host in LOOPBACK if host not in hosts and "*" not in hosts]
        os.environ[name] = ",".join(hosts + missing)


def proxy_for(url: str) -> Proxy | None:
    """The proxy for requests to `url`, or None: a request to this machine takes none, nor does one
    to a host, domain or network in NO_PROXY."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if is_loopback(host) or _exempt(host, parts.port):
        return None
    for name in (f"{parts.scheme}_proxy", "all_proxy"):
        for variable in (name, name.upper()):
            if proxy := os.environ.get(variable, "").strip():
                return Proxy(variable, proxy if "://" in proxy else f"http://{proxy}")
    return None


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    address = _address(host)
    if address is None:
        return host == "localhost" or host.endswith(".localhost")
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _exempt(host: str, port: int | None) -> bool:
    value = os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")
    address = _address(host)
    for part in value.split(","):
        entry = part.strip().lower()
        entry = entry.removesuffix(f":{port}") if _address(entry) is None else entry
        domain = entry.strip("[]").removeprefix("*").removeprefix(".")
        if entry == "*" or domain and (host == domain or host.endswith(f".{domain}")):
            return True
        try:
            if address is not None and address in ipaddress.ip_network(entry.strip("[]"), False):
                return True
        except ValueError:
            continue  # a name, no network
    return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
