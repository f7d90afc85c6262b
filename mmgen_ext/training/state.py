"""What a checkpoint holds of a run: collected to plain data, and put back."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping

import mmcv
import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from .. import __version__
from ..checkpoint import EMA_PREFIX, without_averages
from ..config import plain_data
from ..models.image_pool import ImagePool


def image_pools(model: nn.Module) -> dict[str, ImagePool]:
    """The image pools of a model, by domain; empty if it has none."""
    return getattr(model, "pools", None) or getattr(model, "image_buffers", None) or {}


def take_our_pools(model: nn.Module, seed: int) -> None:
    """Give mmgen's CycleGAN our pools for its own: they resume, and are one over all processes."""
    for i, (domain, buffer) in enumerate(getattr(model, "image_buffers", {}).items()):
        model.image_buffers[domain] = ImagePool(buffer.buffer_size, seed + i)


def collect(
    model: nn.Module,
    optimizers: Mapping[str, Optimizer],
    meta: Mapping,
    ours: Mapping,
    averages: nn.Module | None = None,
) -> dict:
    """Content of a checkpoint: tensors on the host and plain Python types alone.

    Args:
        model: Its weights and pools are taken.
        optimizers: By name; empty to leave out what only resuming needs.
        meta: OpenMMLab's: `iter`, `seed`, `config` and so on.
        ours: What stands under the key `mmgen_ext` besides the pools.
        averages: Averaged generators, if the run keeps some.
    """
    weights = model.state_dict()
    if averages is not None:
        weights |= averages.state_dict(prefix=EMA_PREFIX)
    versions = dict(mmgen_ext=__version__, mmcv=mmcv.__version__, torch=str(torch.__version__))
    state = {
        "meta": {
            **plain_data(meta),
            "epoch": 0,
            "time": time.asctime(),
            **{f"{name}_version": version for name, version in versions.items()},
        },
        "state_dict": {k: v.detach().cpu().contiguous() for k, v in weights.items()},
        "mmgen_ext": {**ours, "sealed": True},
    }
    if optimizers:
        state["optimizer"] = {k: contiguous(o.state_dict()) for k, o in optimizers.items()}
        pools = {domain: pool.state_dict() for domain, pool in image_pools(model).items()}
        state["mmgen_ext"]["pools"] = pools
        scale = getattr(model, "loss_scale", None)
        if scale is not None:
            state["mmgen_ext"]["loss_scale"] = scale.state_dict()
    return state


def restore(
    content: Mapping, model: nn.Module, optimizers: Mapping[str, Optimizer], device: torch.device
) -> None:
    """Put weights, optimizers and pools of a checkpoint back."""
    model.load_state_dict(without_averages(content["state_dict"]))
    for key, optimizer in optimizers.items():
        optimizer.load_state_dict(content["optimizer"][key])
        match_memory_format(optimizer)
    ours = content.get("mmgen_ext", {})
    scale = getattr(model, "loss_scale", None)
    if scale is not None and "loss_scale" in ours:
        scale.load_state_dict(ours["loss_scale"])
    pools = ours.get("pools", {})
    for key, pool in image_pools(model).items():
        if key in pools:
            pool.load_state_dict(pools[key], device)


def match_memory_format(optimizer: Optimizer) -> None:
    """Lay out what an optimizer remembers as its parameters are.

    Checkpoints are contiguous, and a fused step takes all tensors of a parameter for alike.
    """
    for parameter, remembered in optimizer.state.items():
        for name, value in remembered.items():
            alike = isinstance(value, torch.Tensor) and value.shape == parameter.shape
            if alike and value.stride() != parameter.stride():
                remembered[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def contiguous(value: object) -> object:
    """The same plain data with every tensor in the standard memory format."""
    if isinstance(value, torch.Tensor):
        return value.contiguous()
    if isinstance(value, dict):
        return {key: contiguous(each) for key, each in value.items()}
    return [contiguous(each) for each in value] if isinstance(value, list) else value


def random_state(device: torch.device) -> dict:
    """The states of the global generators of Python, NumPy, torch and the device as plain data."""
    name, keys, *rest = np.random.get_state()
    state = {
        "python": random.getstate(),
        "numpy": [name, torch.from_numpy(keys.astype(np.int64)), *rest],
        "torch": torch.get_rng_state(),
    }
    if device.type != "cpu":
        state[device.type] = torch.get_device_module(device).get_rng_state()
    return state


def set_random_state(state: Mapping, device: torch.device) -> None:
    """Restore what random_state returned; the state of another kind of device is left out."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if device.type in state:
        torch.get_device_module(device).set_rng_state(state[device.type])
