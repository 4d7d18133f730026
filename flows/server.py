"""Prefect's server for `make serve`: `python -m flows.server FD`, on a socket that the parent opened.

`prefect server start` answers under any host name, so that a page of another name, made to resolve to
this machine, could talk to it.
"""

from __future__ import annotations

import socket
import sys

import uvicorn
from prefect.server.api.server import create_app
from starlette.middleware.trustedhost import TrustedHostMiddleware

HOSTS = ("127.0.0.1", "localhost")


def main() -> None:
    app = TrustedHostMiddleware(create_app(final=True), HOSTS, www_redirect=False)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
    server.run(sockets=[socket.socket(fileno=int(sys.argv[1]))])


if __name__ == "__main__":
    main()
