"""`make serve`: Prefect's server and page, a work pool, a worker and the deployments of prefect.yaml,
for this machine alone. Ctrl-C ends them all.

Their state and the password are in scratch/prefect.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import psutil

from flows import environment
from flows.command import guarded, parsed
from flows.dvc_cli import PATIENCE, end
from reelward.runtime.clone import require_clone
from reelward.runtime.errors import InputError, ResourceError
from reelward.runtime.locks import lock
from reelward.runtime.processes import death_signal
from reelward.runtime.validation import shortened
from reelward.runtime.words import show

HOST = "127.0.0.1"
PORT = "PREFECT_SERVER_API_PORT"
POOL = "here"
START = 120.0
"""s for the server to start: the first time, it makes its database"""


def listen(text: str) -> socket.socket:
    """Open the port that the variable names. Raises InputError or ResourceError."""
    if not (text.isascii() and text.isdecimal() and int(text) < 65536):
        raise InputError(f"{PORT}: expected a number from 1 to 65535, got {shortened(text)}")
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((HOST, int(text)))
        opened.listen(1024)
    except PermissionError:
        raise ResourceError(
            f"port {text}: this user may not open it; set {PORT} to 1024 or more"
        ) from None
    except OSError:
        raise ResourceError(
            f"port {text} is taken by {_holder(int(text))}; set {PORT} to another, e.g. 4201"
        ) from None
    return opened


def _holder(port: int) -> str:
    """The process that listens on a port, in words."""
    with suppress(psutil.Error, OSError):
        for each in psutil.net_connections("inet"):
            if each.status == psutil.CONN_LISTEN and each.laddr.port == port and each.pid:
                words = " ".join(psutil.Process(each.pid).cmdline())
                return f"process {each.pid} ({shortened(words)})"
    return "another process"


def started(stack: ExitStack, *args: str, **more: object) -> subprocess.Popen[str]:
    """`python -m args` in a session of its own, which ends with `stack` or with this process."""
    process = subprocess.Popen(
        (sys.executable, "-m", *args), text=True, stdin=subprocess.DEVNULL,
        start_new_session=True, preexec_fn=death_signal, **more,  # type: ignore[call-overload]
    )  # fmt: skip
    stack.callback(end, process)
    return process


def answer(server: subprocess.Popen[str], url: str) -> None:
    """Wait until the server answers. Raises ResourceError where it does not."""
    deadline = time.monotonic() + START
    direct = build_opener(ProxyHandler({}))
    while server.poll() is None and time.monotonic() < deadline:
        try:
            direct.open(f"{url}/health", timeout=1).close()
            return
        except HTTPError as e:
            raise ResourceError(f"the server answers {e.code} at {url}") from None
        except OSError:
            time.sleep(0.2)
    raise ResourceError(
        f"the server did not start at {url}; its complaint is above. Its state is in "
        f"{environment.HOME}: remove that folder to begin anew"
    )


def end_runs(worker: subprocess.Popen[str]) -> None:
    """End the flow runs of a worker while the server can still record it."""
    runs = psutil.Process(worker.pid).children() if worker.poll() is None else []
    for run in runs:
        run.terminate()
    psutil.wait_procs(runs, timeout=PATIENCE)


def serve() -> None:
    """Start Prefect's server and page on this machine, a worker and the deployments of prefect.yaml.

    The page is at http://127.0.0.1:4200; the variable PREFECT_SERVER_API_PORT chooses another port.
    It asks for a password, which is made the first time and kept in scratch/prefect/profiles.toml.
    The variable PREFECT_SERVER_API_AUTH_STRING chooses another password. Ctrl-C ends everything.
    """


def run() -> None:
    parsed("serve", serve)
    require_clone()
    opened = listen(os.environ.get(PORT, "").strip() or "4200")
    with lock(environment.HOME), ExitStack() as stack:
        page = environment.for_server(opened.getsockname()[1])
        url = os.environ["PREFECT_API_URL"]
        fd = opened.fileno()
        server = started(stack, "flows.server", str(fd), pass_fds=(fd,))
        opened.close()
        answer(server, url)
        make_pool()
        worker = started(stack, "prefect", "worker", "start", "--pool", POOL)
        stack.callback(end_runs, worker)
        done = subprocess.run(
            (sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if done.returncode:
            raise ResourceError(f"prefect deploy: {done.stdout}")
        show(f"the page: {page}, its password is in {environment.PROFILES}")
        show(f"in another shell: export PREFECT_API_URL={url}")
        with suppress(KeyboardInterrupt):
            while server.poll() is None and worker.poll() is None:
                time.sleep(0.5)
            raise ResourceError("server or worker ended by itself")
    show("stopped")


def make_pool() -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.workers.process import ProcessWorker

    template = ProcessWorker.get_default_base_job_template()
    pool = WorkPoolCreate(name=POOL, type="process", base_job_template=template)
    with get_client(sync_client=True) as client:
        client.create_work_pool(pool, overwrite=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(guarded("serve", run))
