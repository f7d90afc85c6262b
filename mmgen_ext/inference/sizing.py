"""Sizes: from any picture to what a network and the memory take, and back to the pixel."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import nn

# Activations of the first layer's size that are alive at once while a picture is translated whole.
_ACTIVATIONS = 4


def network_sizes(network: nn.Module) -> tuple[int, int]:
    """(divisor, minimum) of the sides that a generator takes; by its shape if it does not say."""
    if hasattr(network, "size_divisor"):
        return network.size_divisor, network.min_size
    # mmgen's: a U-Net nests one level in the other and halves in each, a ResNet halves twice.
    levels = sum(type(module).__name__ == "UnetSkipConnectionBlock" for module in network.modules())
    return (2**levels, 2**levels) if levels else (4, 8)


def padded_side(side: int, divisor: int, minimum: int) -> int:
    """The smallest side that the network takes and that holds `side` pixels."""
    return max(-(-side // divisor) * divisor, minimum)


def pad_to(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Mirror (H, W, C) at the bottom and right, repeatedly if need be, to (height, width, C)."""
    h, w = image.shape[:2]
    if (h, w) == (height, width):
        return image
    # "reflect" leaves out the edge pixel, as the networks' own padding does.
    return np.pad(image, ((0, height - h), (0, width - w), (0, 0)), mode="reflect")


def working_size(height: int, width: int, size: int | None) -> tuple[int, int]:
    """(height, width) at which to translate: with short side `size`, or as it is for None.

    A thin picture is enlarged at most until its long side is 16 times `size`.
    """
    if size is None:
        return height, width
    scale = min(size / min(height, width), max(1, 16 * size / max(height, width)))
    return max(1, round(height * scale)), max(1, round(width * scale))


def memory_needed(network: nn.Module, height: int, width: int) -> int:
    """Bytes that translating a picture whole takes, about; beside the weights."""
    kernel = next((p for p in network.parameters() if p.ndim == 4), None)
    if kernel is None:
        return 0
    return height * width * kernel.shape[0] * kernel.element_size() * _ACTIVATIONS


def memory_free(device: torch.device) -> int:
    """Bytes that are free on a device, within what a container allows."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = psutil.virtual_memory().available
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            allowed = int(Path("/sys/fs/cgroup", limit).read_text())
            free = min(free, allowed - int(Path("/sys/fs/cgroup", used).read_text()))
        except (OSError, ValueError):  # no container, or "max"
            continue
    return max(free, 0)


def peak_memory() -> int:
    """Bytes of resident memory that this process had at most."""
    status = Path("/proc/self/status")  # Linux' getrusage counts the parent too.
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
