"""N simulations on a CUDA GPU: mujoco_warp, whose memory torch reads and writes.

Tests run the same code, slowly, on Warp's CPU device.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any

import mujoco
import mujoco_warp as mjw
import numpy as np
import torch
import warp as wp
from torch import Tensor

from reelward.runtime.errors import ResourceError
from reelward.runtime.locks import device_lock
from reelward.runtime.words import show
from reelward.sim.mjcf import Robot
from reelward.sim.schema import RobotError

MAX_VALUE = 1e10
"""a simulation with a greater coordinate or velocity has diverged: MuJoCo's own limit"""
FLAIL_S = 5.0
"""seconds of random motion from which the number of possible contacts is estimated"""
FULL = ~int(mjw.OverflowType.ITERATIONS | mjw.OverflowType.LS_ITERATIONS)
"""overflows that lose a contact; one of the solver's iterations loses none"""


class GpuPhysics:
    """Steps N copies of a robot, with the interface of CpuPhysics, in float32.

    MuJoCo and mujoco_warp orient pyramidal friction cones differently at contacts of capsules.
    Planar robots agree with CpuPhysics to float32; trajectories in space agree with elliptic cones
    and diverge with pyramidal ones, where both are valid.

    A control step and the refresh of the derived arrays are one CUDA graph each. Nothing is read
    back: a simulation that diverged, or had more contacts than there is room for, is put back to
    the model's posture and flagged in `diverged`.

    The process holds a lock on the GPU until it ends; another process waits for it.
    """

    everywhere = True

    def __init__(self, robot: Robot, n: int, device: str = "cuda") -> None:
        here = f"cuda:{torch.cuda.current_device()}" if device == "cuda" else device
        self.device = torch.device(here)
        if self.device.type == "cuda":
            device_lock(f"GPU {torch.cuda.get_device_properties(self.device).uuid}")
        wp.config.log_level = wp.LOG_ERROR
        wp.init()
        if self.device.type == "cuda":
            if not wp.get_cuda_device_count():
                raise ResourceError(
                    "expected a CUDA GPU for Warp, found none, though torch found one; install driver 580 or later"
                )
            show("reelward: compiling the physics; the first time takes minutes", sys.stderr)
        model, start = robot.mj_model, mujoco.MjData(robot.mj_model)
        mujoco.mj_forward(model, start)
        contacts, rows = _room(model)
        with wp.ScopedDevice(wp.device_from_torch(self.device)) as self._wp_device:
            try:
                self._model = mjw.put_model(model)
            except NotImplementedError as e:
                raise RobotError(f"robot {robot.name}: mujoco_warp refuses the model: {e}") from e
            early = not self._wp_device.is_cuda or wp.is_conditional_graph_supported()
            self._model.opt.graph_conditional = early
            self._model.opt.warn_overflow = 0
            self._data = mjw.put_data(model, start, nworld=n, nconmax=contacts, njmax=rows)
        self.qpos, self.qvel, self.act, self.ctrl = (
            self.output(f) for f in ("qpos", "qvel", "act", "ctrl")
        )
        self.diverged = torch.zeros(n, dtype=torch.bool, device=self.device)
        """simulations that diverged in the last step"""
        self._warmstart, self._overflow = self.output("qacc_warmstart"), self.output("overflow")
        self._forces = self.output("actuator_force"), self.output("sensordata")
        self._qpos0 = torch.as_tensor(model.qpos0, dtype=torch.float32, device=self.device)
        self._substeps = robot.substeps
        self._problem = (
            "" if early else "the driver is older than CUDA 12.4, so the solver never stops early"
        )
        self._steps = self._captured(self._step)
        self._refresh = self._captured(self._derive)
        if self._wp_device.is_cuda:
            how = f"slow: {self._problem}" if self._problem else "in CUDA graphs"
            show(f"reelward: physics on {self._wp_device.name} {how}", sys.stderr)

    def output(self, name: str) -> Tensor:
        """A live view of an array of mjData, float32 `[N, ...]`, refreshed by every call."""
        return wp.to_torch(getattr(self._data, name))

    def step(self, substeps: int) -> None:
        """`substeps` physics steps of every simulation; sets `diverged`."""
        if substeps != self._substeps:
            raise ValueError(f"expected the {self._substeps} substeps of the robot, got {substeps}")
        self._overflow.zero_()
        self._steps()
        sound = (self.qpos.abs() < MAX_VALUE).all(1) & (self.qvel.abs() < MAX_VALUE).all(1)
        torch.logical_or(~sound, (self._overflow & FULL) != 0, out=self.diverged)
        lost = self.diverged[:, None]
        self.qpos.copy_(torch.where(lost, self._qpos0, self.qpos))
        for memory in (self.qvel, self.act, self._warmstart, *self._forces):
            memory.masked_fill_(lost, 0.0)
        self._refresh()

    def forward(self, rows: Tensor) -> None:
        """Refresh the derived arrays after states were written: of all simulations, whatever `rows`.
        The warm start stays; the solver takes a better start where it has one."""
        self._refresh()

    def state(self) -> Tensor:
        """The whole integration state with the solver's warm start."""
        return torch.cat(self._memories, 1).cpu()

    @property
    def _memories(self) -> tuple[Tensor, ...]:
        return self.qpos, self.qvel, self._warmstart, self.act

    def load_state(self, state: Tensor, rows: slice = slice(None)) -> None:
        parts = state.to(self.device).split([m.shape[1] for m in self._memories], 1)
        for memory, part in zip(self._memories, parts, strict=True):
            memory[rows] = part
        self._refresh()

    # --- contents of the graphs -------------------------------------------------------------------

    def _step(self) -> None:
        for _ in range(self._substeps):
            mjw.step(self._model, self._data)

    def _derive(self) -> None:
        """Refresh what depends on positions and velocities alone; forces and sensors stay those of
        the last physics step."""
        mjw.fwd_kinematics(self._model, self._data)
        mjw.transmission(self._model, self._data)
        mjw.fwd_velocity(self._model, self._data)

    def _captured(self, work: Callable[[], None]) -> Callable[[], None]:
        """`work` in torch's stream, as a CUDA graph where one can be captured."""
        device = self._wp_device
        with wp.ScopedDevice(device):
            work()  # compiles the kernels
            wp.synchronize_device(device)
        if not device.is_cuda:

            def eager() -> None:
                with wp.ScopedDevice(device):
                    work()

            return eager
        # Torch's default stream cannot be captured, Warp's own can.
        stream = wp.stream_from_torch(torch.cuda.current_stream(self.device))
        try:
            if not wp.is_mempool_enabled(device):
                raise RuntimeError("no memory pool")
            with wp.ScopedDevice(device), wp.ScopedCapture(device) as capture:
                work()
            wp.capture_launch(capture.graph, stream=stream)  # only now it is instantiated
            wp.synchronize_device(device)
        except RuntimeError as e:
            self._problem = f"no CUDA graph ({e})"

            def launched() -> None:
                with wp.ScopedDevice(device), wp.ScopedStream(stream):
                    work()

            return launched
        return lambda: wp.capture_launch(capture.graph, stream=stream)


def _room(model: mujoco.MjModel) -> tuple[int, int]:
    """Contacts and constraint rows to make room for in each simulation: twice the maximum during
    random motion, in which the robot also falls and lies on the ground."""
    data, rng = mujoco.MjData(model), np.random.default_rng(0)
    contacts = rows = 0
    low, high = model.actuator_ctrlrange.T
    for step in range(round(FLAIL_S / model.opt.timestep)):
        if step % 20 == 0:
            data.ctrl[:] = rng.uniform(low, high)
        mujoco.mj_step(model, data)
        contacts, rows = max(contacts, data.ncon), max(rows, data.nefc)
    return 8 + 2 * contacts, 32 + 2 * rows


def graphed(what: str, work: Callable[..., Any], *examples: Tensor) -> Callable[..., Any]:
    """`work` as one CUDA graph for tensors of the sizes of `examples`.

    Its results are overwritten by the next call. Everything else that `work` reads must stay at the
    same memory. Where `work` cannot be captured it is returned as it is, and a line says that `what`
    is slower."""
    device, graph = examples[0].device, torch.cuda.CUDAGraph()
    inputs = [x.clone() for x in examples]
    stream, pool = torch.cuda.current_stream(device), torch.cuda.graph_pool_handle()
    try:
        with torch.no_grad():
            work(*inputs)  # makes cuBLAS's handle, loads the kernels
            with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
                results = work(*inputs)
    except RuntimeError as e:
        torch.cuda.set_stream(stream)  # torch stays in the stream and pool of a capture that broke
        with contextlib.suppress(RuntimeError):
            torch._C._cuda_endAllocateToPool(device.index, pool)
        why = str(e).partition("\n")[0]
        show(f"reelward: {what} without CUDA graph, slower: {why}", sys.stderr)
        return work

    def replayed(*now: Tensor) -> Any:
        for memory, x in zip(inputs, now, strict=True):
            memory.copy_(x)
        graph.replay()
        return results

    return replayed
