"""The optimizers' step: clipped if asked, and not taken where a number is no number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.optim import Optimizer

from .distributed import largest


class NotFinite(Exception):
    """A step of one of mmgen's models was not taken: its gradients are not finite."""


class Update:
    """Steps optimizers together or not at all.

    Args:
        grad_clip: Arguments of torch.nn.utils.clip_grad_norm_, `max_norm` and `norm_type`, for the
            gradients of each optimizer; None to leave them.
        check: Whether a step with a loss or gradient that is NaN or infinite on any rank is left
            out. That waits for the device once a step.
    """

    def __init__(self, grad_clip: Mapping | None = None, check: bool = True):
        clip = {} if grad_clip is None else grad_clip
        known = isinstance(clip, Mapping) and set(clip) <= {"max_norm", "norm_type"}
        max_norm = clip.get("max_norm") if known else None
        if clip and not (isinstance(max_norm, (int, float)) and max_norm > 0):
            raise ValueError(
                f"grad_clip={grad_clip!r}; expected dict(max_norm=NUMBER above 0), and norm_type "
                f"if it is not 2"
            )
        self.grad_clip, self.check = dict(clip), check

    def __call__(self, optimizers: Mapping[str, Optimizer], losses: Iterable[Tensor]) -> bool:
        """Step all optimizers; False, with nothing changed, if a number is not finite."""
        norms = [self._clip(optimizer) for optimizer in optimizers.values()]
        if self.check and largest(not _all_finite([*losses, *norms])):
            return False
        for optimizer in optimizers.values():
            optimizer.step()
        return True

    def guard(self, optimizer: Optimizer) -> None:
        """Do the same for an optimizer that a model of mmgen's steps by itself.

        Its step raises NotFinite instead of stepping.
        """

        def before_step(optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
            norm = self._clip(optimizer)
            if self.check and not _all_finite([norm]):
                raise NotFinite

        if self.check or self.grad_clip:
            optimizer.register_step_pre_hook(before_step)

    def _clip(self, optimizer: Optimizer) -> Tensor | None:
        """Clip, and return the norm before that; None where no one wants to know."""
        parameters = [p for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
        if not parameters or not (self.check or self.grad_clip):
            return None
        grads = [parameter.grad for parameter in parameters]
        norm = torch.nn.utils.get_total_norm(grads, self.grad_clip.get("norm_type", 2.0))
        if self.grad_clip:
            max_norm = self.grad_clip["max_norm"]
            torch.nn.utils.clip_grads_with_norm_(parameters, max_norm, norm)
        return norm


def _all_finite(numbers: Iterable[Tensor | None]) -> bool:
    numbers = [n.detach().reshape(()).float() for n in numbers if n is not None]
    return not numbers or bool(torch.stack(numbers).isfinite().all())
