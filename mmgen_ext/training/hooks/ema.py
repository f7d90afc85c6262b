"""Averages of the generators over the iterations."""

import copy

import torch
from mmcv.runner import HOOKS, Hook
from torch import nn

from ...words import counted
from ..synchronize import unwrapped


@HOOKS.register_module()
class GeneratorEMAHook(Hook):
    """Keeps an exponential moving average of both generators, which makes the better pictures.

    w' = d w' + (1 - d) w after every step, with d = min(decay, (1 + n) / (10 + n)) after n steps:
    the horizon grows with the run up to 1 / (1 - decay) iterations, so that an early average is not
    one of first attempts. Checkpoints hold them as `generators_ema.<domain>`; the training itself
    does not see them.

    Args:
        decay: d of a long run.
    """

    def __init__(self, decay: float = 0.999):
        if not 0 <= decay < 1:
            raise ValueError(f"ema.decay={decay}; expected a number from 0 to below 1, as 0.999")
        self.decay = decay

    def before_run(self, runner) -> None:
        """Begin with the weights, or go on with the averages of a checkpoint."""
        live = unwrapped(runner.model.module.generators)
        averages = copy.deepcopy(live).requires_grad_(False)
        restored, updates = runner.restored_averages
        if restored:
            averages.load_state_dict(restored)
        elif runner.iter:
            begin = counted(runner.iter, "iteration")
            runner.logger.info("averaged weights begin anew after %s", begin)
        runner.averages, runner.average_updates = averages, updates if restored else 0
        self.pairs = [list(network.parameters()) for network in (averages, live)]
        self.buffers = [list(network.buffers()) for network in (averages, live)]

    @torch.no_grad()
    def after_train_iter(self, runner) -> None:
        """Move the averages towards the weights, if these have made a step."""
        if not runner.outputs.get("applied", True):
            return
        done = runner.average_updates
        decay = min(self.decay, (1 + done) / (10 + done))
        averages, weights = self.pairs
        torch._foreach_lerp_(averages, [weight.detach() for weight in weights], 1 - decay)
        for average, buffer in zip(*self.buffers, strict=True):
            average.copy_(buffer)
        runner.average_updates += 1


def generators_to_look_at(runner) -> tuple[nn.ModuleDict, str]:
    """The averaged generators if the run keeps some, else the trained ones; 'ema' | 'raw'."""
    if runner.averages is not None:
        return runner.averages, "ema"
    return unwrapped(runner.model.module.generators), "raw"
