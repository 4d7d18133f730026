"""A small training, for the tests of everything that trains."""

from dataclasses import replace
from pathlib import Path

from reelward.records import Candidates, CheckedCandidate, ExpertGait
from reelward.runtime import files
from reelward.training import Job, Seeds
from stages import train

REWARD = '''"""Go forward."""
PERIOD = 1.0

def reward(s):
    return {"speed": s.root_vel[:, 0].clamp(-2, 2), "alive": 1.0}
'''

ARGS = train.Args(
    rewards=Path(), parent=Path(), gait=Path(), out=Path(), robot="biped", native=Path("params.yaml"), seed=3, iteration="iter-00",
    env_steps=2048, warm_env_steps=1024, device="cpu", num_envs=16, num_steps=16, num_minibatches=2,
    update_epochs=2, learning_rate=7e-4, warm_learning_rate=5e-4, final_learning_rate=0.1,
    gamma=0.98, gae_lambda=0.95, clip=0.2, value_coef=0.25, max_grad_norm=0.5, init_std=0.5,
    warm_min_std=0.3, final_std=0.2, hidden=16, activation="tanh", symmetric=True,
)  # fmt: skip


def job(folder: Path, name: str = "c0", reward: str = REWARD, start: Path | None = None, **changes):
    """The job of training `reward`, with all its files in `folder`."""
    source = folder / f"{name}.py"
    source.write_text(reward)
    out = folder / "out"
    out.mkdir(exist_ok=True)
    return replace(
        Job(name, source, start, Seeds.of(3, 0, 0), out, folder / "checkpoints" / name), **changes
    )


def candidate(name: str = "c0", **changes) -> CheckedCandidate:
    """A candidate's line of the index."""
    start = CheckedCandidate(
        name=name, start="scratch", number=0, note="", file=f"{name}.py", error=None
    )
    return start.model_copy(update=changes)


def stage_args(folder: Path, reward: str = REWARD, alternate: bool = True, **changes) -> train.Args:
    """Options of the stage for one candidate, with its inputs written to `folder`."""
    files.write_text(folder / "rewards/c0.py", reward)
    files.write_record(folder / "rewards/index.json", Candidates(candidates=(candidate(),)))
    files.write_record(folder / "gait.json", ExpertGait(alternate=alternate))
    inputs = {"rewards": folder / "rewards", "gait": folder / "gait.json"}
    return replace(ARGS, **inputs, parent=folder / "policy.pt", out=folder / "policies", **changes)


def results(folder: Path, name: str = "c0") -> tuple[bytes, bytes]:
    """The policy and the learning curve that a job in `folder` wrote."""
    return tuple((folder / "out" / f"{name}.{kind}").read_bytes() for kind in ("pt", "csv"))


def trained(folder: Path, args: train.Args = ARGS, **changes) -> tuple[bytes, bytes]:
    """The results of one training."""
    folder.mkdir(exist_ok=True)
    train.learn_alone(args, job(folder, **changes), lambda steps: None)
    return results(folder, changes.get("name", "c0"))
