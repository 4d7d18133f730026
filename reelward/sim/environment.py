"""N environments of a robot, whatever its kind and the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from reelward.sim.cpu import CpuPhysics
from reelward.sim.env import Env, Physics
from reelward.sim.gymnasium_robot import GymnasiumRobot
from reelward.sim.mjcf import Robot
from reelward.sim.robot import AnyRobot
from reelward.sim.schema import RobotError

if TYPE_CHECKING:
    from reelward.sim.gymnasium_env import GymnasiumEnv


def make_env(
    robot: AnyRobot,
    n: int,
    *,
    seed: int | Sequence[int],
    period: float | None | Sequence[float | None] = None,
    symmetric: bool = False,
    staggered: bool = False,
    device: str = "cpu",
    threads: int = 1,
) -> Env | GymnasiumEnv:
    """N environments of `robot`; for the options see Env. `threads` step the physics on a CPU.

    An environment of Gymnasium is stepped on the CPU whatever the device; it has no gait clock and
    makes nothing of `period`. Raises RobotError where it is to be symmetric.
    """
    if isinstance(robot, GymnasiumRobot):
        from reelward.sim.gymnasium_env import GymnasiumEnv  # with Gymnasium's spaces and OpenCV

        if symmetric:
            raise RobotError(
                f"robot {robot.name}: expected symmetric: false, it has no left and right"
            )
        return GymnasiumEnv(robot, n, seed=seed, staggered=staggered, device=device)
    return Env(
        robot, simulate(robot, n, device, threads), seed=seed, period=period,
        symmetric=symmetric, staggered=staggered,
    )  # fmt: skip


def simulate(robot: Robot, n: int, device: str, threads: int) -> Physics:
    """The physics of N environments."""
    if device == "cpu":
        return CpuPhysics(robot, n, threads)
    from reelward.sim.gpu import GpuPhysics  # Warp, which it imports, is slow to load

    return GpuPhysics(robot, n)


def no_gpu(robot: AnyRobot) -> str | None:
    """What keeps this machine from training this robot on a GPU; None where nothing does."""
    if not torch.cuda.is_available():
        return (
            "this machine has no CUDA GPU; expected cpu, or take a preset made for the CPU: reelward "
            "new NAME --preset"
        )
    if isinstance(robot, Robot):
        import mujoco_warp  # slow to load

        try:
            mujoco_warp.put_model(robot.mj_model)
        except NotImplementedError as e:
            return (
                f"mujoco_warp refuses the MJCF of {robot.name}: {e}; change that, or train on cpu"
            )
    return None
