"""Where a model runs."""

from __future__ import annotations

import torch
from mmcv.parallel import DataContainer
from mmcv.parallel.registry import MODULE_WRAPPERS
from torch import nn


def to_device(batch: object, device: torch.device) -> object:
    """Move every tensor of a batch, without waiting; mmcv's DataContainers are opened."""
    if isinstance(batch, DataContainer):
        return to_device(batch.data[0], device)
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {key: to_device(value, device) for key, value in batch.items()}
    return batch


@MODULE_WRAPPERS.register_module()
class OnDevice(nn.Module):
    """A model on one device that is given batches from anywhere; what MMDataParallel was used for.

    Args:
        module: The model; its `train_step` and `forward` are called.
        device: Where it is moved.
    """

    def __init__(self, module: nn.Module, device: torch.device):
        super().__init__()
        self.module, self.device = module.to(device), device

    def forward(self, batch: object, *args, **kwargs):
        """Call the model on the moved batch."""
        return self.module(to_device(batch, self.device), *args, **kwargs)

    def train_step(self, batch: dict, optimizer: dict, **kwargs) -> dict:
        """Call the model's train_step on the moved batch."""
        return self.module.train_step(to_device(batch, self.device), optimizer, **kwargs)
