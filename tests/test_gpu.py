"""The GPU's physics against the CPU's: on Warp's CPU device, and on a GPU where there is one.

Kernels are compiled at the first run (a minute or two) and cached by Warp.
"""

import math
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import mujoco
import pytest
import torch
from test_processes import held, holder
from test_robots import arm
from test_sim import still
from torch.utils._python_dispatch import TorchDispatchMode
from trainings import ARGS, REWARD, job, stage_args

from reelward.policy import Policy
from reelward.runtime import files
from reelward.runtime.errors import ResourceError
from reelward.sim import environment
from reelward.sim.cpu import CpuPhysics
from reelward.sim.env import Env
from reelward.sim.gpu import GpuPhysics, graphed
from reelward.sim.robot import load_robot
from reelward.sim.schema import RobotError
from reelward.training import Job, Seeds
from stages import train

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()


@pytest.fixture(params=DEVICES)
def device(request) -> str:
    return request.param


def pair(name: str, device: str, n: int = 4, **options) -> tuple[Env, Env]:
    """The same environments on both physics, in the same state. Friction cones are round: pyramids
    are turned differently about the normal of a capsule's contact in MuJoCo and mujoco_warp."""
    robot = load_robot(name)
    if not robot.base.planar:
        robot.mj_model.opt.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    cpu = Env(robot, CpuPhysics(robot, n), seed=0, **options)
    gpu = Env(robot, GpuPhysics(robot, n, device), seed=0, **options)
    gpu.physics.qpos.copy_(cpu.physics.qpos)
    gpu.physics.qvel.copy_(cpu.physics.qvel)
    gpu.physics.forward(torch.arange(n, device=gpu.device))
    gpu.fields.forget()
    gpu.clock.phase.copy_(cpu.clock.phase)
    return cpu, gpu


@pytest.mark.parametrize("name", ["biped", "ant_fast"])
def test_agrees_with_the_cpu_to_float32(name, device):
    cpu, gpu = pair(name, device, period=1.3)
    rng = torch.Generator().manual_seed(0)
    scale = {"N": 50.0, "W": 50.0, "rad/s": 1.0, "m/s": 1.0}  # of what is compared
    for _ in range(8):
        action = torch.rand(cpu.n, cpu.action_space.size, generator=rng) * 2 - 1
        ends = cpu.step(action), gpu.step(action.to(gpu.device))
        for one, other in zip(*ends, strict=True):
            assert torch.equal(one, other.cpu())
        for field in cpu.robot.fields:
            want, got = cpu.fields[field.name], gpu.fields[field.name]
            assert got.dtype == torch.float32 and got.device == gpu.device, field.name
            worst = (want - got.cpu()).abs().max() / scale.get(field.unit, 0.1)
            assert worst < 0.01, f"{field.name}: {worst}"
    torch.testing.assert_close(gpu.observe().cpu(), cpu.observe(), atol=5e-3, rtol=1e-3)


def test_targets_are_followed_as_on_the_cpu(tmp_path, device):
    robot = arm(tmp_path)
    ends = []
    for physics in (CpuPhysics(robot, 2), GpuPhysics(robot, 2, device)):
        env = Env(robot, physics, seed=0)
        for _ in range(30):
            env.step(torch.tensor([[0.0], [1.0]], device=env.device))
        ends.append(env.fields["joint_pos"].cpu())
    torch.testing.assert_close(*ends, atol=1e-4, rtol=1e-4)


def test_only_what_ended_starts_again(device):
    robot = load_robot("biped")
    env = Env(robot, GpuPhysics(robot, 6, device), seed=0, period=1.3)
    for _ in range(3):
        env.step(still(env).to(env.device))
    ended = torch.tensor([True, False, False, True, False, False], device=env.device)
    qpos, age, contact = env.physics.qpos.clone(), env.age.clone(), env.tensors.contact_time.clone()
    env.reset(ended)
    assert torch.equal(env.physics.qpos[~ended], qpos[~ended])
    assert torch.equal(env.age, torch.where(ended, 0, age))
    assert (
        torch.equal(env.tensors.contact_time[~ended], contact[~ended])
        and not env.tensors.contact_time[ended].any()
    )
    lowest = env.fields["foot_height"][ended].min(1).values.cpu()
    torch.testing.assert_close(lowest, torch.full((2,), 0.002), atol=1e-5, rtol=0)
    assert set(env.clock.phase[ended].tolist()) <= {0.25, 0.75}


def test_a_lost_simulation_is_flagged_and_harms_no_other(device):
    robot = load_robot("biped")
    env = Env(robot, GpuPhysics(robot, 3, device), seed=0)
    env.physics.qvel[1] = math.nan
    terminated, truncated = env.step(still(env).to(env.device))
    assert env.physics.diverged.tolist() == [False, True, False]
    assert terminated.tolist() == [False, True, False] and not truncated.any()
    assert all(env.fields[f.name].isfinite().all() for f in robot.fields)
    env.reset(terminated)
    terminated, _ = env.step(still(env).to(env.device))
    assert not terminated.any() and not env.physics.diverged.any()


def test_more_contacts_than_there_is_room_for_are_flagged(device, monkeypatch):
    monkeypatch.setattr("reelward.sim.gpu._room", lambda model: (8, 4))
    robot = load_robot("biped")
    physics = GpuPhysics(robot, 2, device)
    physics.qpos[1, 1] -= 0.3  # legs in the ground
    physics.step(robot.substeps)
    assert physics.diverged.tolist() == [False, True]


def test_a_restored_environment_goes_on_identically():
    """On Warp's CPU device; a GPU adds up contacts in no fixed order."""
    robot = load_robot("biped")
    one, other = (Env(robot, GpuPhysics(robot, 4, "cpu"), seed=s, period=1.3) for s in (0, 1))

    def run(env: Env, steps: int, seed: int) -> torch.Tensor:
        rng, seen = torch.Generator().manual_seed(seed), []
        for _ in range(steps):
            action = torch.rand(env.n, env.action_space.size, generator=rng) * 2 - 1
            terminated, truncated = env.step(action)
            env.reset(terminated | truncated)
            seen.append(torch.cat((env.observe(), env.fields["air_time"]), 1))
        return torch.stack(seen)

    run(one, 4, 0)
    other.load_state_dict(one.state_dict())
    assert torch.equal(run(one, 12, 1), run(other, 12, 1))


def test_a_training_runs_and_its_policy_walks_on_the_cpu(tmp_path, device, monkeypatch):
    if device == "cpu":
        monkeypatch.setattr(
            environment, "simulate", lambda robot, n, device, threads: GpuPhysics(robot, n, "cpu")
        )
    args = replace(ARGS, device=device, env_steps=256, num_envs=8, num_steps=16)
    todo = job(tmp_path)
    train.learn_alone(args, todo, lambda steps: None)
    policy = Policy.load(todo.out / "c0.pt")
    assert policy.log_std.device.type == "cpu" and policy.about.env_steps == 256
    robot = load_robot("biped")
    env = Env(robot, CpuPhysics(robot, 2), seed=0, period=1.0, symmetric=True)
    assert policy.act(env.observe()).isfinite().all()


def test_an_interrupted_training_goes_on_exactly(tmp_path, monkeypatch):
    """On Warp's CPU device, as above."""
    monkeypatch.setattr(
        environment, "simulate", lambda robot, n, device, threads: GpuPhysics(robot, n, "cpu")
    )
    monkeypatch.setenv("REELWARD_CHECKPOINT_S", "0")
    args = replace(ARGS, env_steps=128, num_envs=4, num_steps=8)

    def stop(steps: int) -> None:
        if steps >= 64:
            raise KeyboardInterrupt

    made = []
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
        todo = job(tmp_path / name)
        if name == "stopped":
            with pytest.raises(KeyboardInterrupt):
                train.learn_alone(args, todo, stop)
        train.learn_alone(args, todo, lambda steps: None)
        made.append((todo.out / "c0.pt").read_bytes())
    assert made[0] == made[1]


OTHER = '''"""Stay up, to another clock."""
PERIOD = 0.7

def reward(s):
    return {"alive": 1.0, "calm": -s.action.square().sum(dim=-1), "up": s.up[:, 2]}
'''


def test_candidates_at_once_are_each_what_it_is_alone(tmp_path, device, monkeypatch):
    """Rewards, clocks, seeds and starts differ; one has fewer steps to do, and one fails."""
    if device == "cpu":
        monkeypatch.setattr(
            environment, "simulate", lambda robot, n, device, threads: GpuPhysics(robot, n, "cpu")
        )
    args = replace(ARGS, device=device, env_steps=96, warm_env_steps=64, num_envs=4, num_steps=8)

    def todo(folder: Path) -> list[Job]:
        folder.mkdir()
        wild = REWARD.replace("1.0}", "torch.log(s.root_vel[:, 0] - 100)}")
        start = tmp_path / "first/out/c0.pt" if folder.name != "first" else None
        return [
            job(folder), job(folder, "c1", OTHER, seeds=Seeds.of(4, 0, 0)),
            job(folder, "c2", wild), job(folder, "c3", OTHER, start, seeds=Seeds.of(5, 0, 0)),
        ]  # fmt: skip

    train.learn_alone(args, todo(tmp_path / "first")[0], lambda steps: None)
    start = tmp_path / "first/out/c0.pt"
    (start.parent / files.SUMS).write_text(f"{files.digest(start)}  c0.pt\n")

    alone, together = todo(tmp_path / "alone"), todo(tmp_path / "together")
    for i in (0, 1, 3):
        train.learn_alone(args, alone[i], lambda steps: None)
    seen: dict[str, set[int]] = {}
    failed = train.learn(args, together, lambda name, n: seen.setdefault(name, set()).add(n))
    assert list(failed) == ["c2"] and "'alive' is not finite in 100.00%" in str(failed["c2"])
    assert seen["c0"] == seen["c1"] == {32, 64, 96} and seen["c3"] == {32, 64}
    assert not (tmp_path / "together/out/c2.pt").exists()
    for i in (0, 1, 3):
        one, other = (Policy.load(j[i].out / f"{j[i].name}.pt") for j in (alone, together))
        assert one.about == other.about
        for a, b in zip(one.weights(), other.weights(), strict=True):
            torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(one.obs.mean, other.obs.mean, atol=1e-4, rtol=1e-3)


def test_a_term_of_the_users_own_that_fails_ends_its_candidate_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(
        environment, "simulate", lambda robot, n, device, threads: GpuPhysics(robot, n, "cpu")
    )
    params = tmp_path / "params.yaml"
    params.write_text("native: {mine: {function: 'tests.native_functions:raises'}}\n")
    args = replace(ARGS, native=params, env_steps=64, num_envs=4, num_steps=8)
    todo = [
        job(tmp_path),
        job(tmp_path, "c1", REWARD.replace("1.0}", "mine(s)}")),
    ]
    failed = train.learn(args, todo, lambda name, steps: None)
    assert list(failed) == ["c1"] and "native term 'mine' raised KeyError" in str(failed["c1"])
    assert [p.name for p in sorted(todo[0].out.glob("*.pt"))] == ["c0.pt"]


def test_candidates_at_once_are_interrupted_and_go_on_exactly(tmp_path, monkeypatch):
    """On Warp's CPU device, as above."""
    monkeypatch.setattr(
        environment, "simulate", lambda robot, n, device, threads: GpuPhysics(robot, n, "cpu")
    )
    monkeypatch.setenv("REELWARD_CHECKPOINT_S", "0")
    args = replace(ARGS, env_steps=128, num_envs=4, num_steps=8)

    def stop(name: str, steps: int) -> None:
        if steps >= 64:
            raise KeyboardInterrupt

    made = []
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
        todo = [job(tmp_path / name), job(tmp_path / name, "c1", OTHER)]
        if name == "stopped":
            with pytest.raises(KeyboardInterrupt):
                train.learn(args, todo, stop)
        train.learn(args, todo, lambda name, steps: None)
        made.append([(todo[0].out / f"{c}.{kind}").read_bytes() for c in ("c0", "c1")
                     for kind in ("pt", "csv")])  # fmt: skip
    assert made[0] == made[1]


class Readbacks(TorchDispatchMode):
    """Counts what makes a GPU wait: a number, or a list of chosen rows, asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        mask = name in ("index", "index_put_") and any(
            i is not None and i.dtype == torch.bool for i in args[1]
        )
        # A mask that is filled with one number needs no list.
        listed = mask and not (name == "index_put_" and args[2].numel() == 1)
        self.count += listed or name in ("_local_scalar_dense", "nonzero", "masked_select", "equal")
        return func(*args, **(kwargs or {}))


def test_more_steps_and_epochs_read_no_more_back(tmp_path, monkeypatch):
    monkeypatch.setattr(
        environment, "simulate", lambda robot, n, device, threads: GpuPhysics(robot, n, "cpu")
    )
    small = replace(ARGS, num_envs=4, num_steps=2, num_minibatches=1, update_epochs=1)
    more = replace(small, num_steps=6, num_minibatches=3, update_epochs=2)
    counts = []
    for name, args in (("c0", small), ("c1", more)):
        learner = train.prepare(args, [job(tmp_path, name=name)])
        with Readbacks() as readbacks:
            learner.collect()
            learner.update()
        counts.append(readbacks.count)
    assert counts[0] == counts[1] <= 5


def test_the_wrong_kind_of_device_is_refused(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    args = stage_args(tmp_path, device="cuda")
    with pytest.raises(ResourceError, match="expected a CUDA GPU, found none"):
        train.main(args)
    assert not args.out.exists()


def test_a_solver_that_the_gpu_has_not_is_refused_in_one_line():
    robot = load_robot("humanoid").model_copy(update={"solver": None})
    robot.__dict__.pop("mj_model", None)  # compiled with Newton at loading
    with pytest.raises(RobotError, match="robot humanoid: mujoco_warp refuses the model: .*PGS"):
        GpuPhysics(robot, 2, "cpu")


def test_a_gpu_is_one_training_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="one"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with holder("device_lock", "GPU one", TMPDIR=str(tmp_path)) as other:
        assert held(other)
        threading.Timer(1.0, other.kill).start()
        begun = time.monotonic()
        with suppress(Exception):  # no GPU here, perhaps
            GpuPhysics(load_robot("biped"), 1)
        assert time.monotonic() - begun > 0.9
    said = f"reelward: GPU one is in use by process {other.pid}; waiting for it"
    assert said in capsys.readouterr().err


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_policy_in_a_graph_is_the_policy(tmp_path, capsys):
    """Also after its weights and statistics moved; what cannot be captured works as it is."""
    args = replace(ARGS, device="cuda", num_envs=64)
    learner = train.prepare(args, [job(tmp_path, name=name) for name in ("c0", "c1")])
    for _ in range(2):
        learner.collect()
        learner.update()
    learner.policies.refresh()
    seen, noise = torch.randn_like(learner.batch.obs[0]), torch.randn_like(learner.batch.actions[0])
    with torch.no_grad():
        torch.testing.assert_close(learner.act(seen, noise), learner._act(seen, noise))
        torch.testing.assert_close(learner.value(seen), learner._value(seen))
        for c, fields in zip(learner.candidates, learner.env.fields_of_shares, strict=True):
            torch.testing.assert_close(c.reward.terms(fields), c.reward.reward(fields))
    assert "without CUDA graph" not in capsys.readouterr().err
    stream = torch.cuda.current_stream()
    asks = graphed("this", lambda x: x * x.sum().item(), seen)
    assert torch.equal(asks(seen), seen * seen.sum()) and torch.cuda.current_stream() == stream
    assert "without CUDA graph" in capsys.readouterr().err
    torch.cuda.empty_cache()
