"""Random honest programs: what `random_program` writes is meaningful Python and in the language."""

from __future__ import annotations

import random

UNARY = (
    "torch.abs({})",
    "torch.tanh({})",
    "torch.sin({})",
    "torch.cos({})",
    "torch.sigmoid({})",
    "torch.exp(-torch.abs({}))",
    "torch.square({})",
    "torch.sqrt(torch.abs({}) + 0.1)",
    "torch.log(torch.abs({}) + 1.0)",
    "torch.log1p(torch.abs({}))",
    "torch.relu({})",
    "torch.clamp({}, -1.0, 2.0)",
    "({}).clamp(min=0.0)",
    "({}).abs()",
    "({}).tanh()",
    "({}).square()",
    "-({})",
    "({}) ** 2",
    "abs({})",
    "torch.sign({})",
    "torch.floor({})",
    "torch.atan({})",
    "torch.nn.functional.softplus({})",
    "F.relu({})",
    "torch.round({})",
    "({}).float()",
    "torch.clip({}, max=1.5)",
    "torch.deg2rad({})",
)
BINARY = (
    "({} + {})",
    "({} - {})",
    "({} * {})",
    "({} / (torch.abs({}) + 0.5))",
    "torch.minimum({}, {})",
    "torch.maximum({}, {})",
    "torch.atan2({}, {})",
    "torch.hypot({}, {})",
    "torch.add({}, {})",
    "torch.mul({}, {})",
    "max({}, {})",
)
COMPARE = ("{} > {}", "{} <= {}", "{} < {}", "{} >= {}")
REDUCE = (
    "({}).sum(dim=-1)",
    "torch.mean({}, dim=1)",
    "({}).norm(dim=-1)",
    "({}).amax(dim=-1)",
    "torch.max({}, dim=1).values",
    "({}).min(dim=-1)[0]",
    "torch.sum({}, axis=-1)",
    "torch.linalg.norm({}, dim=1)",
    "({}).std(dim=-1)",
    "({})[:, 0]",
    "({})[:, -1]",
    "({}).prod(dim=1)",
    "({})[:, 0:2].sum(-1)",
    "({}).var(dim=1)",
    "torch.logsumexp({}, dim=-1)",
    "({}).mean(dim=-1, keepdim=True).squeeze(-1)",
)
COLUMNS = (
    "s.time",
    "s.power",
    "s.phase",
    "s.root_vel[:, 0]",
    "s.root_pos[:, 2]",
    's["root_rpy"][:, 1]',
    's.joint_pos["right_knee"]',
    's.foot_height["left"]',
    "s.root_angvel[..., 1]",
    's.keypoint_pos["hip"][:, 2]',
    "s.up[:, -1]",
    "s.action[:, 2]",
    "(s.foot_contact[:, 0] > 0.5).float()",
    "s.foot_force[:, 1]",
)
MATRICES = ("s.joint_pos", "s.joint_vel", "s.action", "s.prev_action")
NUMPY = {"torch.atan2": "np.arctan2", "torch.clip": "np.clip", "torch.": "np."}


class Writer:
    def __init__(self, seed: int) -> None:
        self.r = random.Random(seed)
        self.locals: list[str] = []
        self.helpers: list[str] = []

    def number(self) -> str:
        return self.r.choice(
            (
                "0.5",
                "2",
                "1.25",
                "-0.75",
                "GAIN",
                'W["a"]',
                "math.pi",
                "LEVELS[1]",
                "3e-1",
                "len(LEVELS)",
            )
        )

    def value(self, depth: int) -> str:
        """An expression of one number an environment."""
        pick = self.r.random()
        if depth <= 0 or pick < 0.12:
            return self.r.choice([*COLUMNS, *self.locals])
        if pick < 0.35:
            return self.r.choice(UNARY).format(self.value(depth - 1))
        if pick < 0.5:
            return self.r.choice(BINARY).format(self.value(depth - 1), self.value(depth - 1))
        if pick < 0.58:
            op = self.r.choice(("({} * {})", "({} + {})", "({} - {})", "({} / {})"))
            return op.format(self.value(depth - 1), self.number())
        if pick < 0.62:
            return f"({self.number()} - {self.value(depth - 1)})"
        if pick < 0.74:
            return self.r.choice(REDUCE).format(self.matrix(depth - 1))
        if pick < 0.82:
            return (
                f"torch.where({self.test(depth - 1)}, {self.value(depth - 1)}, "
                f"{self.r.choice((self.value(depth - 1), '0.0'))})"
            )
        if pick < 0.88:
            return (
                f"({self.value(depth - 1)} if {self.test(depth - 1)} else {self.value(depth - 1)})"
            )
        if pick < 0.92:
            return f"sum([{self.value(depth - 1)} * w for w in LEVELS])"
        if pick < 0.96:
            return (
                f"torch.stack([{self.value(depth - 1)}, {self.value(depth - 1)}], dim=-1).mean(-1)"
            )
        return f"helper({self.value(depth - 1)}, {self.number()})"

    def matrix(self, depth: int) -> str:
        pick = self.r.random()
        if depth <= 0 or pick < 0.4:
            return self.r.choice(MATRICES)
        if pick < 0.6:
            return self.r.choice([u for u in UNARY if "if" not in u]).format(self.matrix(depth - 1))
        if pick < 0.75:
            return f"({self.matrix(depth - 1)} {self.r.choice('+-*')} {self.matrix(depth - 1)})"
        if pick < 0.85:
            return f"({self.matrix(depth - 1)} * {self.value(depth - 1)}[:, None])"
        if pick < 0.92:
            return f"({self.matrix(depth - 1)} * torch.tensor([1.0, 2.0, 0.5, -1.0, 0.0, 3.0]))"
        return f"torch.stack([{', '.join(self.value(depth - 2) for _ in range(6))}], dim=1)"

    def test(self, depth: int) -> str:
        one = self.r.choice(COMPARE).format(self.value(depth - 1), self.number())
        pick = self.r.random()
        if pick < 0.2:
            other = self.r.choice(COMPARE).format(self.value(depth - 1), self.value(depth - 1))
            return f"({one}) {self.r.choice('&|')} ({other})"
        return f"~({one})" if pick < 0.25 else f"({one})"

    def statements(self) -> list[str]:
        lines = []
        for i in range(self.r.randint(0, 4)):
            name, pick = f"v{i}", self.r.random()
            if pick < 0.5:
                lines.append(f"{name} = {self.value(2)}")
            elif pick < 0.7:
                lines += [
                    f"{name} = 0.0",
                    "for k in range(3):",
                    f"    {name} += {self.value(1)} * LEVELS[k]",
                ]
            elif pick < 0.85:
                lines += [
                    f"if {self.test(1)}:",
                    f"    {name} = {self.value(1)}",
                    "else:",
                    f"    {name} = {self.value(1)}",
                ]
            else:
                lines += [
                    f"{name}, w{i} = {self.value(1)}, {self.value(1)}",
                    f"{name} = {name} - 0.5 * w{i}",
                ]
            self.locals.append(name)
        return lines


def random_program(seed: int) -> str:
    w = Writer(seed)
    body = w.statements()
    terms = [f'        "t{i}": {w.value(4)},' for i in range(w.r.randint(1, 3))]
    text = "\n".join(
        [
            "import math",
            "import torch",
            "import torch.nn.functional as F",
            "GAIN = 0.7",
            "PERIOD = 1.0",
            "LEVELS = (1, 0.5, -0.25)",
            'W = {"a": 1.5, "b": -2.0}',
            "",
            "def helper(x, gain=2.0):",
            f"    y = {w.r.choice(UNARY).format('x')}",
            f"    return gain * y {w.r.choice('+-')} x",
            "",
            "def reward(s):",
            *[f"    {line}" for line in body],
            "    return {",
            *terms,
            "    }",
            "",
        ]
    )
    return text


def random_numpy_program(seed: int) -> str:
    """The same with numpy spellings, where numpy has them."""
    r = random.Random(seed)
    unary = (
        "np.abs({})",
        "np.tanh({})",
        "np.sin({})",
        "np.exp(-np.abs({}))",
        "np.square({})",
        "np.sqrt(np.abs({}))",
        "np.clip({}, -1.0, 2.0)",
        "-({})",
        "({}) ** 2",
        "np.sign({})",
        "np.log1p(np.abs({}))",
        "np.arctan({})",
        "({}).astype(np.float32)",
    )
    binary = (
        "({} + {})",
        "({} - {})",
        "({} * {})",
        "np.minimum({}, {})",
        "np.maximum({}, {})",
        "np.arctan2({}, {})",
        "np.where({} > 0, {}, 0.5)",
        "np.hypot({}, {})",
    )
    reduce = (
        "np.sum({}, axis=1)",
        "np.mean({}, axis=-1)",
        "np.linalg.norm({}, axis=1)",
        "np.max({}, axis=1)",
        "({}).std(axis=-1)",
        "np.std({}, axis=1)",
        "({}).min(axis=1)",
        "np.median({}, axis=1)",
        "np.var({}, axis=-1)",
        "({})[:, 1:3].sum(axis=1)",
    )
    columns = [c for c in COLUMNS if '"' not in c or c.startswith('s["')]
    columns.remove("(s.foot_contact[:, 0] > 0.5).float()")

    def value(depth: int) -> str:
        pick = r.random()
        if depth <= 0 or pick < 0.15:
            return r.choice(columns)
        if pick < 0.45:
            return r.choice(unary).format(value(depth - 1))
        if pick < 0.75:
            return r.choice(binary).format(value(depth - 1), value(depth - 1))
        matrix = r.choice(MATRICES)
        return r.choice(reduce).format(r.choice(("{}", "np.square({})", "{} * 2.0")).format(matrix))

    terms = "".join(f'        "t{i}": {value(4)},\n' for i in range(2))
    return f"import numpy as np\n\nPERIOD = 1.0\n\ndef reward(s):\n    return {{\n{terms}    }}\n"
