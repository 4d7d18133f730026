"""The flow: the same repro as by hand, and one commit for each iteration."""

from __future__ import annotations

import json
import logging
import math
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from conftest import Finished, copy, dvc, ran, reelward, run
from prefect.cache_policies import NO_CACHE
from prefect.states import Failed

from flows import deployed, person, show
from flows.dvc_cli import HINTS, NETWORK, failure
from flows.history import message
from flows.learn import Limits, begin
from flows.on_reward import publish
from flows.tasks import commit, network_failed, repro
from reelward.records import Critique, Feedback, Row
from reelward.runtime import locks
from reelward.runtime.errors import InputError, NetworkError, ResourceError
from reelward.runtime.files import digest, write_record
from reelward.studies.git import StudyError
from reelward.studies.study import EXAMPLE

OUTPUT = """\
Running stage 'fetch':
reelward fetch: expected an answer from example.com, got none in 30 s
ERROR: failed to reproduce 'fetch': failed to run: python -m stages.fetch, exited with 4
""".splitlines()


def flow(folder: Path, iterations: int, **more: str) -> str:
    args = (sys.executable, "-m", "flows.learn", "--iterations", str(iterations))
    return run(folder, *args, **more)


def test_a_failure_is_the_stages_own_line_and_code() -> None:
    error = failure(OUTPUT, 255)
    assert str(error) == "reelward fetch: expected an answer from example.com, got none in 30 s"
    assert error.code == NETWORK == NetworkError.code
    silent = failure(["ERROR: failed to reproduce 'a': failed to run: a, exited with 137"], 255)
    assert silent.code == 137 and "'a'" in str(silent)
    assert failure(["ERROR: Unable to acquire lock."], 255).code == 255
    assert failure(["ERROR: failed to run: a, exited with -9"], 255).code == 137
    busy = "ERROR: failed to reproduce 'a': '/x/data/a' is busy, it is being blocked by:"
    taken = failure([busy, "(PID 71): dvc repro", "If there are no processes with such PIDs"], 255)
    assert str(taken) == "/x/data/a is being written by process 71; wait for it, or end it: kill 71"


@pytest.mark.parametrize(
    ("code", "again"), [("4", True), ("6", False), ("2", False), ("143", False)]
)
def test_only_a_failure_of_the_network_is_tried_again(code: str, again: bool) -> None:
    error = failure([*OUTPUT[:-1], OUTPUT[-1][:-1] + code], 255)
    assert network_failed(None, None, Failed(data=error)) is again


def test_a_log_has_tracebacks_of_faults_only() -> None:
    def record(error: Exception) -> logging.LogRecord:
        about = (type(error), error, None)
        return logging.LogRecord("prefect.flow_runs", 40, "x.py", 1, "failed", None, about)

    assert deployed.brief(expected := record(StudyError("no study x"))) and not expected.exc_info
    assert deployed.brief(fault := record(ZeroDivisionError())) and fault.exc_info


def test_hints_of_dvc_are_left_out() -> None:
    kept = ("Running stage 'x':", "train: 40 %, 12 s left", "ERROR: no", "reelward train: no")
    dropped = ("Use `dvc push` to send", "> python -m stages.x", "\tgit add dvc.lock", "  \n",
            "Stage 'x' didn't change, skipping", "WARNING: 'a' is empty.",
               "To track the changes with git, run:")  # fmt: skip
    assert not [line for line in kept if HINTS.match(line)]
    assert not [line for line in dropped if not HINTS.match(line)]


def test_a_commit_names_what_was_selected(tmp_path: Path) -> None:
    reward = tmp_path / "selected.py"
    reward.write_text("PERIOD = 1.3\n")
    subject, trailers = message(
        "iter-02", "iter-01", history("c2 0.8812", "kept 0.912"), digest(reward)
    )
    assert subject == "iter-02: kept, closeness 0.912 (+0.031)"
    assert trailers == {
        "Reelward-Iteration": "iter-02", "Reelward-Candidate": "kept",
        "Reelward-Parent": "iter-01", "Reelward-Closeness": "0.912000",
        "Reelward-Reward": f"sha256:{digest(reward)}",
    }  # fmt: skip
    first, _ = message("iter-00", "seed", history("c0 0.5"), digest(reward))
    assert first == "iter-00: c0, closeness 0.500"


def history(*rows: str) -> list[dict[str, str]]:
    return [dict(zip(("candidate", "closeness"), row.split(), strict=True)) for row in rows]


@pytest.mark.parametrize(
    ("rows", "closeness", "patience", "hours", "reason"),
    [
        (("c0 0.5", "c1 0.9"), 1.0, None, math.inf, None),
        (("c0 0.5", "c1 0.9"), 0.9, None, math.inf, "closeness 0.900 is reached"),
        (("c0 0.5", "c1 0.9"), 1.0, None, -1.0, "the time is up"),
        (("c0 0.5", "kept 0.5", "failed 0.5"), 1.0, 2, 1.0, "2 iterations improved nothing"),
        (("c0 0.5", "kept 0.5", "failed 0.5"), 1.0, 3, 1.0, None),
        (("kept 0.5", "c0 0.6", "kept 0.6"), 1.0, 2, 1.0, None),
        (("kept 0.5",), 1.0, 2, 1.0, None),
        (("kept 0.5",), 1.0, 1, 1.0, "1 iteration improved nothing"),
    ],
)
def test_a_limit_ends_the_loop(
    rows: tuple[str, ...], closeness: float, patience: int | None, hours: float, reason: str | None
) -> None:
    until = Limits(closeness, patience, time.monotonic() + 3600 * hours)
    assert until.reached(history(*rows)) == reason


@pytest.mark.parametrize(
    ("option", "value", "line"),
    [
        ("patience", 0, "patience: expected at least 1, got 0"),
        ("patience", -1, "patience: expected at least 1, got -1"),
        ("iterations", 0, "iterations: expected at least 1, got 0"),
        ("closeness", 1.5, "closeness: expected a number from 0 to 1, got 1.5"),
        ("closeness", math.nan, "closeness: expected a number from 0 to 1, got nan"),
        ("hours", -0.5, "hours: expected more than 0, got -0.5"),
        ("hours", math.nan, "hours: expected more than 0, got nan"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(option: str, value: float, line: str) -> None:
    with pytest.raises(InputError, match=re.escape(line)):
        begin(**{option: value})  # type: ignore[arg-type]


def feedback(knee_and_duty: tuple[float | None, float | None] | None) -> Feedback:
    """The feedback of an iteration whose selected candidate has these figures."""
    if knee_and_duty is None:
        return Feedback()
    rows = tuple(
        Row(
            name=name,
            unit="",
            expert=expert,
            learner=value,
            off=None,
            tolerance=1,
            weight=1,
            part=0,
        )
        for name, expert, value in zip(("knee", "duty"), (63.7, 0.6), knee_and_duty, strict=True)
    )
    hidden = Row(name="bob", unit="m", expert=None, learner=0.1, off=None, tolerance=1, weight=1,
                 part=None, why="the video shows no hip")  # fmt: skip
    critique = Critique(
        closeness=0.5, survival=1.0, gates={}, rows=(*rows, hidden), verdict="same",
        measured_verdict="same",
    )  # fmt: skip
    return Feedback(critique=critique)


def test_a_table_shows_what_an_iteration_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(show, "REWARDS", tmp_path)
    for name, rows in {"seed": None, "iter-00": (50.0, None), "iter-01": (61.5, 0.6)}.items():
        (tmp_path / name).mkdir()
        write_record(tmp_path / name / "feedback.json", feedback(rows))
    assert show.motion("iter-01", "iter-00") == [
        {"figure": "knee", "expert": 63.7, "parent": 50.0, "selected": 61.5},
        {"figure": "duty", "expert": 0.6, "parent": None, "selected": 0.6},
    ]
    assert [row["parent"] for row in show.motion("iter-00", "seed")] == [None, None]
    old, new = tmp_path / "old.py", tmp_path / "new.py"
    old.write_text("a = 1\nb = 2\n")
    new.write_text("a = 1\nb = 3\n")
    lines = show.difference(old, new).splitlines()
    assert (lines[0], lines[-1]) == ("```diff", "```") and {"-b = 2", "+b = 3"} <= set(lines)
    new.write_text("a = 1\n# ```\n````` <b>approve</b>\n")
    lines = show.difference(old, new).splitlines()
    assert (lines[0], lines[-1]) == ("`" * 6 + "diff", "`" * 6)


def test_a_critique_is_added_below_what_is_there() -> None:
    entry = {"wrong": "drags: a foot", "verdict": "same"}
    text = person.added(EXAMPLE.read_text(), "iter-00", "c0", entry)
    assert text.startswith(EXAMPLE.read_text().removesuffix("{}\n"))
    more = person.added(person.added(text, "iter-00", "c1", entry), "iter-01", "c0", entry)
    assert yaml.safe_load(more) == {"iter-00": {"c0": entry, "c1": entry}, "iter-01": {"c0": entry}}


def test_dvc_is_the_only_cache() -> None:
    for task in (repro, commit, publish):
        assert task.cache_policy == NO_CACHE and not task.persist_result


ASK = """
import json, sys
from flows import environment
environment.for_flow()
import flows.learn, flows.on_reward
import prefect.settings
s = prefect.settings.get_current_settings()
print(json.dumps({
    "home": str(s.home), "analytics": s.server.analytics_enabled, "api": s.api.url,
    "persist": s.results.persist_by_default, "wait": s.server.ephemeral.startup_timeout_seconds,
    "server": "prefect.server.api.server" in sys.modules,
}))
"""


def test_prefect_stays_at_home_and_waits_for_its_server(desk: Path) -> None:
    settings = json.loads(run(desk, sys.executable, "-c", ASK))
    assert settings == {
        "home": str(desk / "scratch/prefect"), "analytics": False, "api": None, "persist": False,
        "wait": 120, "server": False,  # whose import takes seconds, and no run of a worker needs it
    }  # fmt: skip
    config = dvc(desk, "config", "--list")
    assert "core.analytics=false" in config and "core.check_update=false" in config


def test_the_flow_commits_an_iteration(finished: Finished, mine: Path) -> None:
    subjects = run(mine, "git", "log", "--format=%s").splitlines()
    assert re.fullmatch(r"iter-00: (c\d|kept), closeness \d\.\d{3}", subjects[0])
    assert subjects[1:] == ["Begin study tiny", "The house"]
    trailers = run(mine, "git", "log", "-1", "--format=%(trailers:only,unfold)")
    best = digest(mine / "rewards/best.py")
    assert f"Reelward-Reward: sha256:{best}" in trailers and "Reelward-Parent: seed" in trailers
    changed = set(run(mine, "git", "show", "--format=", "--name-only").split())
    assert {"params.yaml", "dvc.lock", "metrics.json", "rewards/best.py"} <= changed
    assert "rewards/iter-00/candidates/c0.py" in changed
    assert not [name for name in changed if name.startswith(("data", "report", "scratch", ".dvc"))]
    assert run(mine, "git", "status", "--porcelain") == ""
    assert (mine / "scratch/prefect/prefect.db").is_file()
    output = finished.output
    assert "Running stage 'train@iter-00'" in output and "Use `dvc push`" not in output


def test_the_next_iteration_by_hand_and_by_flow_is_the_same(mine: Path, tmp_path: Path) -> None:
    other = copy(mine, tmp_path / "other")
    proxies = {"HTTP_PROXY": "http://127.0.0.1:9", "ALL_PROXY": "socks://127.0.0.1:9/"}
    output = flow(other, 2, **proxies)  # Prefect's temporary server is on this machine
    assert "repro select@iter-00" not in output and "Running stage 'select@iter-01'" in output
    # The report is below every iteration: asked for first, it would run them all in one repro.
    assert output.index("'repro select@iter-01'") < output.index("'repro report'")

    # With the flow's cache DVC runs a stage only if its command, or anything that it reads, differs,
    # or if its results are in git instead of the cache.
    dvc(mine, "config", "--local", "cache.dir", str(other / ".dvc/cache"))
    reelward(mine, "extend")
    assert ran(dvc(mine, "repro")) == ["rewards@iter-01", "select@iter-01", "publish"]
    run(mine, "git", "add", "loop.yaml", "dvc.lock", "metrics.json", "rewards")
    run(mine, "git", "commit", "--quiet", "--message", "iter-01 by hand")

    names = set(run(mine, "git", "ls-files").split())
    assert names == set(run(other, "git", "ls-files").split())
    assert "rewards/iter-01/selected.py" in names
    different = {n for n in names if (mine / n).read_bytes() != (other / n).read_bytes()}
    assert different <= {"dvc.lock"}  # in the order of running
    mine_lock, other_lock = (yaml.safe_load((f / "dvc.lock").read_text()) for f in (mine, other))
    assert mine_lock["stages"] == other_lock["stages"]
    history_is_readable(other)


def history_is_readable(folder: Path) -> None:
    """What a user asks DVC and git about two iterations."""
    metrics = json.loads(dvc(folder, "metrics", "diff", "HEAD~1", "--json"))["metrics.json"]
    assert (metrics["iteration"]["old"], metrics["iteration"]["new"]) == ("iter-00", "iter-01")
    assert set(json.loads(dvc(folder, "params", "diff", "HEAD~1", "--json"))) == {"loop.yaml"}
    params = json.loads(dvc(folder, "params", "diff", "main", "--json"))["params.yaml"]
    assert params["train.env_steps"]["new"] == 8192
    dvc(folder, "plots", "diff", "HEAD~1", "HEAD")
    page = (folder / "dvc_plots/index.html").read_text()
    assert page.count('"iteration": "iter-00"') == 2 and page.count('"iteration": "iter-01"') == 1
    assert run(folder, "git", "log", "--format=%s", "--", "rewards/iter-01").count("iter-01") == 1
    assert run(folder, "git", "status", "--porcelain") == ""
    compared = json.loads(reelward(folder, "diff", "HEAD", "--json"))
    assert (compared["old"]["iteration"], compared["new"]["iteration"]) == ("iter-00", "iter-01")


def test_a_finished_study_ends_before_prefect_begins(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = run(mine, "git", "rev-parse", "HEAD")
    assert flow(mine, 1).splitlines() == [
        "nothing to do: tiny has 1 iteration, and nothing changed",
        f"the report: {mine}/report/index.html",
    ]
    assert run(mine, "git", "rev-parse", "HEAD") == head
    monkeypatch.chdir(mine)
    assert begin(2) is None
    assert begin(2, closeness=0.0, study="tiny") == "closeness 0.000 is reached"
    (mine / "rewards/best.py").write_text("x = 1\n")
    assert begin(1) is None


def test_on_main_the_flow_says_what_to_do(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    with pytest.raises(StudyError, match="expected a branch study/NAME, got main.*reelward new"):
        begin(1)
    with pytest.raises(StudyError, match="no study wolk; list them: reelward list"):
        begin(1, "wolk")
    begin(1, "walk", robot="hopper")
    assert run(desk, "git", "branch", "--show-current") == "study/walk\n"
    with pytest.raises(StudyError, match="robot: study walk has hopper, asked for was ant"):
        begin(1, "walk", robot="ant")


def test_two_flows_do_not_write_one_study(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    code = "from flows.learn import lock, LEDGER; held = lock(LEDGER); print('held'); input()"
    first = subprocess.Popen(
        (sys.executable, "-uc", code), cwd=desk, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert first.stdout and first.stdout.readline() == "held\n"
        monkeypatch.setattr(locks, "LOCK_WAIT", 0.1)
        with pytest.raises(ResourceError, match=f"process {first.pid}; wait for it"):
            begin(1, "walk", robot="hopper")
        output = reelward(desk, "new", "other", code=5)
        assert f"is being written by process {first.pid}" in output
        assert run(desk, "git", "branch", "--show-current") == "main\n"
    finally:
        first.kill()
        first.communicate()


def test_a_server_that_is_gone_is_the_network(desk: Path) -> None:
    reelward(desk, "new", "walk")
    learn = (sys.executable, "-m", "flows.learn", "--iterations", "1")
    output = run(desk, *learn, code=4, PREFECT_API_URL="http://127.0.0.1:9/api")
    assert output.splitlines()[-1].startswith(
        "reelward learn: no Prefect server at http://127.0.0.1"
    )


def test_a_person_is_not_asked_without_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with pytest.raises(InputError, match="nobody could answer here; make serve"):
        begin(1, ask=True)
