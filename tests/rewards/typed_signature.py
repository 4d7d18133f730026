from typing import Dict
import torch
from torch import Tensor

def reward(s) -> Dict[str, Tensor]:
    terms: Dict[str, Tensor] = {}
    terms["run"] = s["root_vel"][:, 0]
    terms["cost"] = -0.001 * torch.sum(s["joint_vel"] ** 2, dim=-1)
    return terms
