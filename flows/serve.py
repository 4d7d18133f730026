"""`make serve`: Prefect's server and page, a work pool, a worker and the deployments of prefect.yaml,
for this machine alone. Ctrl-C ends them all.

Their state is in scratch/prefect. PREFECT_SERVER_API_PORT chooses the port.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.request import urlopen

import psutil
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.settings import PREFECT_SERVER_API_PORT
from prefect.workers.process import ProcessWorker

from flows.dvc_cli import PATIENCE, end
from reelward.runtime.errors import ResourceError
from reelward.runtime.explain import explain
from reelward.runtime.processes import death_signal

HOST = "127.0.0.1"
POOL = "here"
START = 120.0
"""s for the server to start: the first time, it makes its database"""


def environment(port: int) -> dict[str, str]:
    """The environment of all processes here: where the server and its state are."""
    here = Path.cwd()
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PWD": str(here),
        "PREFECT_HOME": str(here / "scratch/prefect"),
        "PREFECT_API_URL": f"http://{HOST}:{port}/api",
        "PREFECT_WORKER_QUERY_SECONDS": "1",  # instead of 10: this server has one worker
    }


def started(stack: ExitStack, env: dict[str, str], *args: str) -> subprocess.Popen[str]:
    """A `prefect` process in a session of its own, which ends with `stack` or with this process."""
    process = subprocess.Popen(
        (sys.executable, "-m", "prefect", *args), env=env, text=True,
        stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=death_signal,
    )  # fmt: skip
    stack.callback(end, process)
    return process


def answer(server: subprocess.Popen[str], url: str) -> None:
    """Wait until the server answers. Raises ResourceError where it does not."""
    deadline = time.monotonic() + START
    while server.poll() is None and time.monotonic() < deadline:
        try:
            urlopen(f"{url}/health", timeout=1).close()
            return
        except OSError:
            time.sleep(0.2)
    raise ResourceError(f"no server at {url}; name a free port: PREFECT_SERVER_API_PORT=4201")


def end_runs(worker: subprocess.Popen[str]) -> None:
    """End the flow runs of a worker while the server can still record it."""
    runs = psutil.Process(worker.pid).children() if worker.poll() is None else []
    for run in runs:
        run.terminate()
    psutil.wait_procs(runs, timeout=PATIENCE)


def serve() -> None:
    port = PREFECT_SERVER_API_PORT.value()
    env = environment(port)
    url = env["PREFECT_API_URL"]
    with ExitStack() as stack:
        server = started(stack, env, "server", "start", "--host", HOST, "--port", str(port))
        answer(server, url)
        with SyncPrefectClient(url) as client:
            template = ProcessWorker.get_default_base_job_template()
            pool = WorkPoolCreate(name=POOL, type="process", base_job_template=template)
            client.create_work_pool(pool, overwrite=True)
        worker = started(stack, env, "worker", "start", "--pool", POOL)
        stack.callback(end_runs, worker)
        done = subprocess.run(
            (sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"), env=env, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if done.returncode:
            raise ResourceError(f"prefect deploy: {done.stdout}")
        print(f"the page: http://{HOST}:{port}", flush=True)
        print(f"in another shell: export PREFECT_API_URL={url}", flush=True)
        while server.poll() is None and worker.poll() is None:
            time.sleep(0.5)
    raise ResourceError("server or worker ended by itself")


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        serve()
    except KeyboardInterrupt:
        return 0
    except Exception as e:
        code, text = explain(e)
        print(f"reelward serve: {text}", file=sys.stderr)
        return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
