"""Sizes: from any picture to what a network takes, and back to the pixel."""

from __future__ import annotations

import numpy as np
from torch import nn


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
    """(height, width) at which to translate: with short side `size`, or as it is for None."""
    if size is None:
        return height, width
    scale = size / min(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))
