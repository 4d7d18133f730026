"""The environment in which Prefect runs, settled before Prefect is imported.

Prefect takes its settings from variables, from files in the user's home and from this folder. Here
only the variables in CLIENT and SERVER count, so that what a user has set for other projects does
not matter. Prefect's state is in scratch/prefect, which only this user may read.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

from reelward.runtime.clone import require_clone
from reelward.runtime.errors import InputError
from reelward.runtime.proxies import direct_to_loopback, is_loopback, proxy_for

HOME = Path("scratch/prefect")
PROFILES = HOME / "profiles.toml"
"""Holds the password of `make serve`. The command `prefect` reads it too: see pyproject.toml."""

CLIENT = (
    "PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PREFECT_API_SSL_CERT_FILE",
)  # fmt: skip
"""Variables of the user that a flow keeps."""
SERVER = ("PREFECT_SERVER_API_PORT", "PREFECT_SERVER_DATABASE_CONNECTION_URL")
"""Variables of the user that `make serve` keeps, beside its password."""
LEFT = ("DVC_ROOT", "DVC_STAGE")
"""Variables of a stage that runs, which a shell started from one still has."""
NO_PROXY = "REELWARD_NO_PROXY"
"""Keeps the user's NO_PROXY while Prefect is to use no proxy at all."""


def for_flow() -> None:
    """Settle the environment of a flow that runs in this process: it reports to the server that
    PREFECT_API_URL names, or to a temporary one. Raises InputError."""
    require_clone()
    direct_to_loopback()
    url = os.environ.get("PREFECT_API_URL", "").strip().rstrip("/")
    password = os.environ.get("PREFECT_API_AUTH_STRING") or None
    _keep(CLIENT)
    if url:
        if is_loopback(_host(url)):
            password = password or kept_password()
        _set(PREFECT_API_URL=url, PREFECT_API_AUTH_STRING=password)
        if proxy_for(url) is None:
            without_proxy()
    else:
        _set(PREFECT_API_URL=None)
        _own_server(secrets.token_urlsafe(), "http://127.0.0.1")


def for_server(port: int) -> str:
    """Settle the environment of `make serve` on a port: the server, its worker and its clients.
    Returns the address of the page."""
    given = {os.environ.get(f"PREFECT_{side}API_AUTH_STRING") for side in ("SERVER_", "")}
    match sorted(password for password in given if password):
        case []:
            password = kept_password() or f"reelward:{secrets.token_urlsafe()}"
        case [password]:
            pass
        case _:
            raise InputError(
                "PREFECT_SERVER_API_AUTH_STRING and PREFECT_API_AUTH_STRING: expected the same "
                "password, got two; unset one"
            )
    _keep(SERVER)
    direct_to_loopback()
    page = f"http://127.0.0.1:{port}"
    _own_server(password, f"{page},http://localhost:{port}")
    _set(
        PREFECT_API_URL=f"{page}/api",
        PREFECT_SERVER_API_PORT=str(port),
        PREFECT_WORKER_QUERY_SECONDS="1",  # instead of 10: this server has one worker
        PWD=str(Path.cwd()),  # prefect.yaml names it
        PATH=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
    )
    _keep_password(password)
    return page


def kept_password() -> str | None:
    """The password of this clone's server; None where it never ran."""
    if not PROFILES.is_file():
        return None
    try:
        profile = tomllib.loads(PROFILES.read_text(encoding="utf-8"))["profiles"]["here"]
        return str(profile["PREFECT_API_AUTH_STRING"])
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{PROFILES}: expected the server's password; delete the file") from None


def _keep_password(password: str) -> None:
    text = json.dumps(password, ensure_ascii=False)  # a string of JSON is one of TOML
    PROFILES.touch(mode=0o600)
    PROFILES.chmod(0o600)
    PROFILES.write_text(
        f'active = "here"\n\n[profiles.here]\nPREFECT_API_AUTH_STRING = {text}\n', encoding="utf-8"
    )


def _own_server(password: str, origins: str) -> None:
    """Settings of a server of ours: it answers pages of these origins, for the right password."""
    _set(
        PREFECT_API_AUTH_STRING=password,
        PREFECT_SERVER_API_AUTH_STRING=password,
        PREFECT_SERVER_CORS_ALLOWED_ORIGINS=origins,
        PREFECT_SERVER_ANALYTICS_ENABLED="false",
        PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT="false",
    )
    without_proxy()


def _keep(names: tuple[str, ...]) -> None:
    """Remove all variables of Prefect but these and what another `dvc` left, and make Prefect's
    folder."""
    for name in list(os.environ):
        if name.upper().startswith("PREFECT_") and name not in names or name in LEFT:
            del os.environ[name]
    HOME.mkdir(parents=True, exist_ok=True)
    HOME.chmod(0o700)
    database = HOME / "prefect.db"
    database.touch()
    for file in HOME.glob("prefect.db*"):
        file.chmod(0o600)
    home = HOME.absolute()
    _set(PREFECT_HOME=str(home), PREFECT_PROFILES_PATH=str(home / "none.toml"), DO_NOT_TRACK="1")


def _set(**values: str | None) -> None:
    for name, value in values.items():
        if value:
            os.environ[name] = value
        else:
            os.environ.pop(name, None)


def _host(url: str) -> str:
    """The host of PREFECT_API_URL. Raises InputError where it is no address."""
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts.hostname
    except ValueError:
        pass
    raise InputError(
        "PREFECT_API_URL: expected an address such as http://127.0.0.1:4200/api, got "
        + url.rpartition("@")[2]
    )


def without_proxy() -> None:
    """Have this process use no proxy, until `outward` is applied: what it asks is on this machine, or
    in the user's NO_PROXY. Prefect's client fails for a proxy that it could not use, even where
    NO_PROXY covers the address."""
    if NO_PROXY not in os.environ:
        os.environ[NO_PROXY] = os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")
    _set(NO_PROXY="*", no_proxy="*")


def outward() -> dict[str, str]:
    """The environment for a process that may use the network: with the user's proxies."""
    env = dict(os.environ)
    if (hosts := env.pop(NO_PROXY, None)) is not None:
        env |= {"NO_PROXY": hosts, "no_proxy": hosts}
    return env


def check_proxy(url: str) -> None:
    """Raises InputError, which names the variable, where the proxy for `url` cannot be used."""
    import httpx

    if proxy := proxy_for(url):
        try:
            httpx.Client(proxy=proxy.url, trust_env=False).close()
        except (ValueError, ImportError, httpx.InvalidURL) as e:
            reason = str(e).partition("\n")[0].partition(". ")[0]
            raise InputError(
                f"{proxy.variable}: expected a proxy such as http://HOST:PORT, got one that fails "
                f"({reason}); correct it, or except the host: NO_PROXY={_host(url)}"
            ) from None
