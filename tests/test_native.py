"""Native terms: named by the user alone, tried before any work, in every stage that reads a reward."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from motions import BIPED, brief
from trainings import stage_args

from reelward.authors import measured
from reelward.authors.draft import Draft, read
from reelward.checking import cli_check, native_faults
from reelward.language import NativeError, compile_reward, native_terms
from reelward.records import Candidates, Stats
from reelward.runtime import files
from reelward.runtime.errors import ResourceError
from reelward.studies import ledger
from stages import __main__ as check
from stages import rewards, rollout, train

sys.path.insert(0, str(ROOT))  # where the jail finds a module of the project, too
HERE = "tests.native_functions"
LOW = {"low": {"function": f"{HERE}:low", "height": 1.2}}


@pytest.mark.parametrize(("named", "says"), [
    ({"low": None}, "native.low: expected function: package.module:name, got None"),
    ({"low": {"function": "math"}}, "expected function: package.module:name, got math"),
    ({"low": {"function": "nowhere.at.all:f"}}, "ModuleNotFoundError: No module named 'nowhere'"),
    ({"low": {"function": f"{HERE}:high"}}, "has no attribute 'high'"),
    ({"low": {"function": f"{HERE}:low", "hight": 1}}, "unexpected keyword argument 'hight'"),
    ({"speed": {"function": f"{HERE}:low"}}, "native.speed: the language has a function"),
    ({"max": {"function": f"{HERE}:low"}}, "native.max: the language has a function"),
    ({"a b": {"function": f"{HERE}:low"}}, "letters, digits and _"),
    ([1], "native: expected names"),
])  # fmt: skip
def test_a_wrong_setting_is_one_line(named, says):
    with pytest.raises(NativeError) as caught:
        native_terms(named)
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("function", "says"), [
    ("flat", "native term 'bad' gave [64, 3] torch.float32; return float32 [64]"),
    ("double", "native term 'bad' gave [64] torch.float64; return float32 [64]"),
    ("number", "native term 'bad' gave float"),
    ("raises", "native term 'bad' raised KeyError: 'no such field'"),
    ("infinite", "term 'bad' is not finite on random states"),
])  # fmt: skip
def test_a_wrong_function_is_named_before_any_work(function, says):
    found = native_faults({"bad": {"function": f"{HERE}:{function}"}} | LOW, BIPED)
    assert len(found) == 1 and found[0].startswith("native.bad: ") and says in found[0]


def test_the_page_shows_settings_that_can_be_read():
    page = (ROOT / "docs/reward-language.md").read_text()
    shown = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])
    assert shown == {"native": {"style": {"function": "my_package.terms:style", "scale": 2.0}}}


def test_params_are_held_against_the_functions():
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert params["native"] is None and check.complaints(params, {}, "") == []
    assert check.complaints(params | {"native": LOW}, {}, "") == []
    assert "native.low" in check.complaints(params | {"native": {"low": 1}}, {}, "")[0]
    assert "native: expected names" in check.complaints(params | {"native": 3}, {}, "")[0]
    missing = {k: v for k, v in params.items() if k != "native"}
    assert check.complaints(missing, {}, "") == ["native is missing"]


def test_the_measured_author_weighs_them_and_changes_nothing_without():
    plain = measured.propose(brief(count=2)).candidates
    weighed = measured.propose(brief(count=2, native=LOW)).candidates
    for without, with_it in zip(plain, weighed, strict=True):
        lines = [line for line in with_it.source.splitlines() if "low" not in line]
        assert lines == without.source.splitlines()
        assert '"low": WEIGHT["low"] * low(s),' in with_it.source
    heavier = weighed[0].source.replace('"low": 1.0', '"low": 2.5')
    parent = compile_reward(heavier, BIPED.fields, native=native_terms(LOW))
    draft = read(parent, Draft({}, {}), ["low"])
    assert draft is not None and draft.weights["low"] == 2.5
    assert read(parent, Draft({}, {})) is None


def rollouts(args: train.Args, out: Path) -> None:
    rollout.main(
        rollout.Args(
            policies=args.out, rewards=args.rewards, out=out, robot="biped", native=args.native,
            seed=1, episodes=1, seconds=1.0, measure=ROOT / "params.yaml",
        )
    )  # fmt: skip


def test_a_native_term_goes_through_every_stage(tmp_path: Path, capsys: pytest.CaptureFixture):
    """Candidates are checked in the jail, trained and measured; another keyword is another training."""
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump({"native": LOW}))
    (tmp_path / "loop.yaml").write_text(ledger.FIRST)
    files.write_record(tmp_path / "proposal.json", measured.propose(brief(count=1, native=LOW)))
    small = stage_args(tmp_path, native=params, env_steps=512)
    rewards.main(
        rewards.Args(
            tmp_path / "proposal.json", small.rewards, "biped", tmp_path / "loop.yaml", "iter-00",
            params,
        )
    )  # fmt: skip
    (good,) = files.read_record(small.rewards / "index.json", Candidates).candidates
    assert good.error is None and good.weights["low"] == 1.0 and "low" in good.terms

    train.main(small)
    rollouts(small, tmp_path / "rollouts")
    stats = files.read_record(tmp_path / "rollouts/c0/stats.json", Stats)
    assert 0 < stats.term_means["low"] < 1
    assert "term/low" in (small.out / "c0.csv").read_text().splitlines()[0]

    before = train.plan(small, [good], small.out)[0].checkpoints
    params.write_text(yaml.safe_dump({"native": {"low": LOW["low"] | {"height": 0.9}}}))
    assert train.plan(small, [good], small.out)[0].checkpoints != before

    assert cli_check(small.rewards / "c0.py", "biped", params=params) == 0
    assert "low" in capsys.readouterr().out


@pytest.mark.parametrize("ending", ["raises", "dies"])
def test_a_failed_training_is_kept_only_where_its_reward_is_to_blame(tmp_path: Path, ending: str):
    """A candidate that failed by its reward is marked, even if all did; one that was killed is not,
    so that it is trained again."""
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump({"native": {"mine": {"function": f"{HERE}:{ending}"}}}))
    reward = 'PERIOD = 1\ndef reward(s):\n    return {"a": mine(s)}\n'
    args = stage_args(tmp_path, reward, native=params, env_steps=256)
    if ending == "raises":
        train.main(args)
        (failed,) = files.read_record(args.out / "index.json", Candidates).candidates
        assert "native term 'mine' raised KeyError" in str(failed.error)
        rollouts(args, tmp_path / "rollouts")
        assert not list((tmp_path / "rollouts").rglob("motion.json"))
    else:
        with pytest.raises(ResourceError, match="c0: ended with exit code -9; what was"):
            train.main(args)
        assert not args.out.exists()


def test_the_jail_runs_the_package_that_it_was_started_from(tmp_path: Path):
    """Two clones may share one environment: the installed package is another one."""
    package = tmp_path / "clone/reelward"
    (package / "runtime").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "runtime/__init__.py").touch()
    for name in ("runtime/jail.py", "runtime/seccomp.py", "runtime/words.py"):
        (package / name).write_text((ROOT / "reelward" / name).read_text())
    (package / "marked.py").write_text("def here(_):\n    return __file__\n")
    code = (
        f"import sys; sys.path.insert(0, {str(package.parent)!r}); from reelward.runtime.jail import jailed;"
        "print(jailed('reelward.marked:here', None))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == str(package / "marked.py"), done.stderr
