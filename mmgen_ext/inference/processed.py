"""Generators as pure functions of tensors, with nothing in Python that a graph cannot hold."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch.onnx.operators import shape_as_tensor

from .sizing import network_sizes


class Processed(nn.Module):
    """A generator between uint8 pictures of any size, as the Translator puts it.

    Args:
        network: float32 (N, C, H, W) to [-1, 1].
        normalization: (mean, std, to_rgb) on the scale 0 to 1.
    """

    def __init__(self, network: nn.Module, normalization: tuple[np.ndarray, np.ndarray, bool]):
        super().__init__()
        self.network = network
        self.size_divisor, self.min_size = network_sizes(network)
        mean, std, self.to_rgb = normalization
        self.register_buffer("mean", torch.as_tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.as_tensor(std).view(1, -1, 1, 1))

    def prepare(self, images: Tensor) -> Tensor:
        """uint8 (N, H, W, C) to what the network takes, mirrored at the bottom and right."""
        height, width = shape_as_tensor(images)[1:3].unbind()
        images = images.index_select(1, self.mirrored(height))
        images = images.index_select(2, self.mirrored(width))
        images = images.flip(3) if self.to_rgb else images
        return (images.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std

    def mirrored(self, side: Tensor) -> Tensor:
        """Which pixels of a side make up the padded one: 0 1 2 3 becomes 0 1 2 3 2 1 0 1 ...

        Tensor operations throughout, so that the graph computes it for each size anew.
        """
        divisor = self.size_divisor
        padded = ((side + divisor - 1) // divisor * divisor).clamp(min=self.min_size)
        period = (2 * side - 2).clamp(min=1)
        index = torch.arange(padded) % period
        return torch.minimum(index, period - index)

    def forward(self, images: Tensor) -> Tensor:
        """Translate uint8 (N, H, W, C), BGR if C is 3, to uint8 (N, H, W, C')."""
        height, width = shape_as_tensor(images)[1:3].unbind()
        made = self.network(self.prepare(images))[:, :, :height, :width]
        made = made.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
        return made.flip(3) if self.to_rgb else made


def with_own_statistics(network: nn.Module) -> nn.Module:
    """A copy whose batch norms, applied picture by picture, are the instance norms they equal."""
    network = copy.deepcopy(network)
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                norm = nn.InstanceNorm2d(child.num_features, child.eps, affine=child.affine)
                norm.weight, norm.bias = child.weight, child.bias
                setattr(parent, name, norm)
    return network.eval()
