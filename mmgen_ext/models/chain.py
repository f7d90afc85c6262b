"""A network of convolution blocks in training on a CPU: the same results through fused layers."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextvars import ContextVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .few_channels import FewChannelsConv, is_few
from .fused import ActivateAndPad, ConvNorm, Layer, compute_dtype

_plain: ContextVar[bool] = ContextVar("plain", default=False)


@contextlib.contextmanager
def plain_layers() -> Iterator[None]:
    """Inside, networks run layer by layer, as what takes the gradient of a gradient needs."""
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)


def runs_fused(network: nn.Module, x: Tensor) -> bool:
    """Whether `run_chain` is for this pass: is asked for, trains on a CPU, all layers known."""
    return (
        network.fused
        and network.training
        and not torch.compiler.is_compiling()
        and torch.is_grad_enabled()
        and not _plain.get()
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.bfloat16)
        and compute_dtype(x) in (torch.float32, torch.bfloat16)
        and all(map(_is_known, network.modules()))
    )


def way_through(network: nn.Module, x: Tensor) -> Callable[[nn.Sequential, Tensor], Tensor]:
    """How layers of a network are applied in this pass of x: run(layers, x)."""
    return run_chain if runs_fused(network, x) else lambda layers, x: layers(x)


def _is_known(module: nn.Module) -> bool:
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        depthwise = module.groups == module.in_channels == module.out_channels
        plain = module.dilation == (1, 1) and module.padding_mode == "zeros"
        return plain and (module.groups == 1 or depthwise)
    if isinstance(module, nn.InstanceNorm2d):
        return not module.track_running_stats
    # What a block has besides, and cannot be fused.
    return not isinstance(module, (nn.BatchNorm2d, nn.ReplicationPad2d))


def run_chain(layers: nn.Sequential, x: Tensor) -> Tensor:
    """What layers(x) returns.

    Args:
        layers: Of ConvBlock, ResidualBlock and torch's modules.
        x: (N, C, H, W).
    """
    x, activation = _run(layers, x, None)
    return x if activation is None else _activate(activation, x)


def _run(
    layers: nn.Sequential, x: Tensor, activation: nn.Module | None
) -> tuple[Tensor, nn.Module | None]:
    """As run_chain; x is before `activation`, and the result before the activation returned."""
    for layer in layers:
        if hasattr(layer, "enlarge"):  # ConvBlock
            if layer.enlarge is not None:
                x = layer.enlarge(x if activation is None else _activate(activation, x))
                activation = None
            pad = 0 if layer.pad is None else layer.pad.padding[0]
            shuffle = 1 if layer.shuffle is None else layer.shuffle.upscale_factor
            x = run_convolution(layer.conv, x, activation, pad, getattr(layer, "in"), shuffle)
            activation = layer.activation
        elif isinstance(layer, nn.Conv2d):
            x, activation = run_convolution(layer, x, activation), None
        elif hasattr(layer, "halve"):  # BlurPool
            x = layer.halve(ActivateAndPad.apply(x, _slope(activation), 1, compute_dtype(x)))
            activation = None
        else:
            x, activation = x if activation is None else _activate(activation, x), None
            if hasattr(layer, "block"):  # ResidualBlock
                x = layer.add(functools.partial(run_chain, layer.block), x)
            else:
                x = layer(x)
    return x, activation


def _activate(activation: nn.Module, x: Tensor) -> Tensor:
    # In place would change what a layer has saved for its backward.
    return F.leaky_relu(x, _slope(activation)) if _slope(activation) is not None else activation(x)


def _slope(activation: nn.Module | None) -> float | None:
    if isinstance(activation, nn.ReLU):
        return 0.0
    return activation.negative_slope if isinstance(activation, nn.LeakyReLU) else None


def run_convolution(
    conv: nn.Conv2d | nn.ConvTranspose2d,
    x: Tensor,
    activation: nn.Module | None = None,
    reflect: int = 0,
    norm: nn.InstanceNorm2d | None = None,
    shuffle: int = 1,
) -> Tensor:
    """Activation, reflection padding, convolution, pixel shuffle and norm of x (N, C, H, W)."""
    slope, dtype = _slope(activation), compute_dtype(x)
    transposed = isinstance(conv, nn.ConvTranspose2d)
    few = is_few(conv.out_channels, conv.kernel_size[1]) and conv.groups == 1
    few = few and (conv.stride, conv.padding) == ((1, 1), (0, 0)) and not transposed
    if few and norm is None and shuffle == 1:
        x = FewChannelsConv.apply(ActivateAndPad.apply(x, slope, reflect, dtype), conv.weight)
        return x if conv.bias is None else x + conv.bias[:, None, None]
    layer = Layer(
        slope=slope,
        reflect=reflect,
        stride=conv.stride[0],
        padding=conv.padding[0],
        transposed=transposed,
        output_padding=conv.output_padding[0],
        normalise=norm is not None,
        eps=norm.eps if norm is not None else 0.0,
        dtype=dtype,
        shuffle=shuffle,
        groups=conv.groups,
    )
    affine = (norm.weight, norm.bias) if norm is not None else (None, None)
    return ConvNorm.apply(x, conv.weight, conv.bias, *affine, layer)
