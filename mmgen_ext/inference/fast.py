"""The same network in less time: channels last, and layers that suit one image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.few_channels import columns_of, convolve_to_few, is_few


class OneImageNorm(nn.Module):
    """Instance norm that keeps the memory format of its input; takes the place of a norm module.

    For one image it is batch norm by the batch's statistics, whose kernels work in channels_last,
    where instance norm would copy to another layout and back.

    Args:
        norm: Instance norm, or batch norm that normalises by each picture's own statistics.
    """

    def __init__(self, norm: nn.InstanceNorm2d | nn.BatchNorm2d):
        super().__init__()
        # In float32 beside statistics in float32, whatever the images are in.
        affine = [p if p is None else p.detach().float() for p in (norm.weight, norm.bias)]
        self.weight, self.bias = (p if p is None else nn.Parameter(p, False) for p in affine)
        self.eps = norm.eps
        # (mean, variance), each (C,), of a picture of which the input is a part.
        self.fixed: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each channel of each image of x (N, C, H, W)."""
        if self.fixed:
            return F.batch_norm(x, *self.fixed, self.weight, self.bias, False, 0.0, self.eps)
        if x.shape[0] > 1:
            return F.instance_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)
        return F.batch_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)


class FewChannelsConv(nn.Module):
    """A convolution to few channels in a third of the time; see models.few_channels.

    Args:
        conv: Convolution of stride 1 without padding.
    """

    stride, padding = (1, 1), (0, 0)

    def __init__(self, conv: nn.Conv2d):
        super().__init__()
        self.kernel_size = conv.kernel_size
        self.columns = nn.Parameter(columns_of(conv.weight), requires_grad=False)
        self.bias = conv.bias

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, out, H - height + 1, W - width + 1) of the same type."""
        total = convolve_to_few(x, self.columns, self.kernel_size[1])
        return (total if self.bias is None else total + self.bias[:, None, None]).to(x.dtype)


def speed_up(network: nn.Module, device: torch.device) -> nn.Module:
    """Replace layers of a network that only translates by faster ones of the same results.

    Args:
        network: Generator in evaluation mode; changed in place.
        device: Where it runs. What is rearranged for the caches of a CPU is done there alone.

    Returns:
        The network.
    """
    for name, module in list(network.named_modules()):
        if isinstance(module, (nn.InstanceNorm2d, nn.BatchNorm2d)) and module.running_mean is None:
            network.set_submodule(name, OneImageNorm(module))
        elif device.type == "cpu" and _makes_few_channels(module):
            network.set_submodule(name, FewChannelsConv(module))
    return network.to(memory_format=torch.channels_last) if device.type == "cpu" else network


def _makes_few_channels(module: nn.Module) -> bool:
    return (
        isinstance(module, nn.Conv2d)
        and is_few(module.out_channels, module.kernel_size[1])
        and (module.stride, module.padding, module.dilation) == ((1, 1), (0, 0), (1, 1))
        and module.groups == 1
    )
