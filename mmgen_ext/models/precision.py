"""Numbers of 16 bits in training: weights, gradients and optimizers stay float32."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager:
    """Inside, convolutions on `device` compute in `precision`, one of PRECISIONS."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, PRECISIONS[precision])


class LossScale:
    """The factor that keeps float16 gradients above its smallest numbers.

    Halved by a step that overflowed and was left out; doubled after `interval` steps without.

    Args:
        scale: To begin with.
        interval: Steps between doublings.
    """

    def __init__(self, scale: float = 65536.0, interval: int = 2000):
        self.scale, self.interval, self.steps = scale, interval, 0

    def unscale(self, optimizers: Iterable[Optimizer]) -> None:
        """Bring the gradients of a scaled loss to their size."""
        parameters = [p for o in optimizers for group in o.param_groups for p in group["params"]]
        gradients: list[Tensor] = [p.grad for p in parameters if p.grad is not None]
        if gradients:
            torch._foreach_mul_(gradients, 1 / self.scale)

    def update(self, applied: bool) -> bool:
        """Note whether a step was taken; return whether a smaller scale may cure it."""
        self.steps = self.steps + 1 if applied else 0
        if applied and self.steps % self.interval == 0:
            self.scale *= 2
        curable = not applied and self.scale > 1
        if curable:
            self.scale /= 2
        return curable

    def state_dict(self) -> dict:
        """As plain data: {'scale': float, 'steps': int}."""
        return {"scale": self.scale, "steps": self.steps}

    def load_state_dict(self, state: dict) -> None:
        """Continue from what state_dict returned."""
        self.scale, self.steps = float(state["scale"]), int(state["steps"])
