"""N simulations on the CPU: `mujoco.batch`, whose memory torch reads and writes."""

from __future__ import annotations

import warnings

import mujoco
import numpy as np
import torch
from mujoco.batch import Batch, SimulationError
from torch import Tensor

from reelward.sim.mjcf import Robot

_VEL = mujoco.mjtStage.mjSTAGE_VEL.value
_LOST = [int(getattr(mujoco.mjtWarning, f"mjWARN_BAD{what}")) for what in ("QPOS", "QVEL", "QACC")]
"""warnings after which MuJoCo has reset a simulation; the others are harmless"""


class CpuPhysics:
    """Steps N copies of a robot. `qpos [N, nq]`, `qvel [N, nv]`, `act [N, na]` and `ctrl [N, nu]` are
    live float64 views: writing to them changes the simulations.

    Every call ends with MuJoCo's velocity stage at the new state, so that derived arrays (`output`)
    describe the state *after* the step. Forces and sensors are those of the last physics step. A
    persistent batch, which keeps that stage for the next step, gives the same bytes but is slower,
    because N simulations do not fit into the cache.
    """

    device = torch.device("cpu")
    everywhere = False

    def __init__(self, robot: Robot, n: int, threads: int = 1) -> None:
        # More torch threads would take cores from the physics, and change the bytes of results.
        torch.set_num_threads(1)
        self.batch = Batch(robot.mj_model, n, nthread=threads)
        self.qpos, self.qvel, self.ctrl, self._warmstart = (
            torch.from_numpy(self.batch.bind(f)) for f in ("qpos", "qvel", "ctrl", "qacc_warmstart")
        )
        self.act = torch.zeros(n, 0, dtype=torch.float64)
        """activations of actuators that have a state, such as muscles"""
        if robot.mj_model.na:
            self.act = torch.from_numpy(self.batch.bind("act"))
        self.diverged = torch.zeros(n, dtype=torch.bool)
        """simulations that MuJoCo reset, or failed to step, in the last call"""
        self._warned = self.batch.warning[:, _LOST]

    def output(self, name: str) -> Tensor:
        """A live view of a derived array of mjData, float64 `[N, ...]`, refreshed by every call."""
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", UserWarning
            )  # of read-only memory, to which nothing writes
            return torch.from_numpy(self.batch.bind(name))

    def step(self, substeps: int) -> None:
        """`substeps` physics steps of every simulation; sets `diverged`."""
        self.diverged.zero_()
        try:
            self.batch.step(nstep=substeps, stage=_VEL)
        except SimulationError as e:
            self.diverged[torch.as_tensor(e.ids)] = True
        counts = self.batch.warning[:, _LOST]
        if (counts != self._warned).any():
            self.diverged |= torch.from_numpy((counts != self._warned).any((1, 2)))
            self._warned = counts.copy()

    def forward(self, rows: Tensor) -> None:
        """Refresh the derived arrays of the simulations `rows` after their state was written."""
        if len(rows):
            self._warmstart[rows] = 0
            self.batch.forward(rows.numpy(), stage=_VEL)

    def state(self) -> Tensor:
        """The whole integration state with the solver's warm start: restoring it is exact."""
        return torch.from_numpy(np.array(self.batch.state))

    def load_state(self, state: Tensor, rows: slice = slice(None)) -> None:
        self.batch.state[rows] = state.numpy()
        self.batch.forward(stage=_VEL)
