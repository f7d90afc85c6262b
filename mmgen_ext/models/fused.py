"""Layers for training on a CPU: the plain layers' results with fewer passes over memory.

Everything stays in channels_last, and what stands between two convolutions (norm, activation and
reflection padding) is written once, straight into what the next convolution reads. A layer
here takes its input *before* the activation of the layer in front of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import winograd
from .few_channels import input_gradient_of_few, is_few

_convolve, _convolve_back = torch.ops.aten.convolution, torch.ops.aten.convolution_backward
_casts: ContextVar[dict[tuple, tuple[Tensor, Tensor]] | None] = ContextVar("casts", default=None)


@contextlib.contextmanager
def weights_cast_once() -> Iterator[None]:
    """Inside, weights do not change: each is brought to its type and memory format once."""
    token = _casts.set({})
    try:
        yield
    finally:
        _casts.reset(token)


def in_channels_last(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """A kernel as torch's convolutions want it."""
    return weight.to(dtype, memory_format=torch.channels_last)


def cast_weight(
    weight: Tensor,
    dtype: torch.dtype,
    form: Callable[[Tensor, torch.dtype], Tensor] = in_channels_last,
) -> Tensor:
    """A kernel as the convolutions want it: form(weight, dtype)."""
    casts, key = _casts.get(), (id(weight), form)
    if casts is None:
        return form(weight.detach(), dtype)
    if key not in casts:
        # The weight is kept, so that no other can get its number.
        casts[key] = weight, form(weight.detach(), dtype)
    return casts[key][1]


def compute_dtype(x: Tensor) -> torch.dtype:
    """What convolutions compute in: autocast's type where it is on."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


class Layer(NamedTuple):
    """What a convolution does besides its weights.

    Attributes:
        slope: Of the activation in front of it for negative numbers, 0 for ReLU; None for no
            activation.
        reflect: Pixels of reflection padding.
        stride: Step, or factor of enlargement if `transposed`.
        padding: Zeros around the picture.
        transposed: Whether it is a transposed convolution.
        output_padding: Of that.
        normalise: Whether instance norm comes after it.
        eps: Of the norm.
        dtype: What it computes in.
        shuffle: Factor by which channels become neighbouring pixels before the norm; 1 for none.
        groups: Of its channels: 1, or as many as there are.
    """

    slope: float | None
    reflect: int
    stride: int
    padding: int
    transposed: bool
    output_padding: int
    normalise: bool
    eps: float
    dtype: torch.dtype
    shuffle: int = 1
    groups: int = 1

    def geometry(self) -> tuple:
        """Arguments of ATen's convolutions from the stride on."""
        pair = [self.stride] * 2, [self.padding] * 2, [1, 1]
        return *pair, self.transposed, [self.output_padding] * 2, self.groups


def activate_and_pad(x: Tensor, slope: float | None, pad: int, dtype: torch.dtype) -> Tensor:
    """Activation and reflection padding of x (N, C, H, W) in one pass, in channels_last."""
    n, c, h, w = x.shape
    if slope is None and not pad:
        return x.detach().to(dtype, memory_format=torch.channels_last)
    out = torch.empty(n, h + 2 * pad, w + 2 * pad, c, dtype=dtype).permute(0, 3, 1, 2)
    inside = out[:, :, pad : pad + h, pad : pad + w]
    if slope is None:
        inside.copy_(x)
    elif slope == 0:
        torch.clamp_min(x, 0, out=inside)
    else:
        torch.ops.aten.leaky_relu(x, slope, out=inside)
    for k in range(1, pad + 1):
        inside_rows = out[..., pad : pad + w]
        inside_rows[:, :, pad - k].copy_(inside_rows[:, :, pad + k])
        inside_rows[:, :, pad + h - 1 + k].copy_(inside_rows[:, :, pad + h - 1 - k])
    for k in range(1, pad + 1):
        out[..., pad - k].copy_(out[..., pad + k])
        out[..., pad + w - 1 + k].copy_(out[..., pad + w - 1 - k])
    return out


def activate_and_pad_back(grad: Tensor, out: Tensor, slope: float | None, pad: int) -> Tensor:
    """The gradient of x from that of `out`, what activate_and_pad returned; `grad` is used up."""
    h, w = (side - 2 * pad for side in out.shape[2:])
    for k in range(1, pad + 1):
        grad[..., pad + k] += grad[..., pad - k]
        grad[..., pad + w - 1 - k] += grad[..., pad + w - 1 + k]
    inside_rows = grad[..., pad : pad + w]
    for k in range(1, pad + 1):
        inside_rows[:, :, pad + k] += inside_rows[:, :, pad - k]
        inside_rows[:, :, pad + h - 1 - k] += inside_rows[:, :, pad + h - 1 + k]
    inside = (..., slice(pad, pad + h), slice(pad, pad + w))
    if slope is None:
        return grad[inside]
    if slope == 0:
        return torch.ops.aten.threshold_backward(grad[inside], out[inside], 0)
    return torch.ops.aten.leaky_relu_backward(grad[inside], out[inside], slope, True)


def instance_norm(
    y: Tensor, scale: Tensor, shift: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Instance norm of y (N, C, H, W) that stays in channels_last, and mean and 1/deviation (N, C).

    One picture's instance norm is its batch norm, whose kernel knows that memory format.
    """
    z = torch.empty_like(y)
    mean, inverse = (torch.empty(y.shape[:2]) for _ in range(2))
    for i in range(len(y)):
        one = y[i : i + 1]
        if y.dtype != torch.float32:  # its own rounding is far above that of the sums
            out = z[i : i + 1], mean[i], inverse[i]
            torch.native_batch_norm(one, scale, shift, None, None, True, 0.0, eps, out=out)
            continue
        mean[i], variance = moments(one)
        inverse[i] = (variance + eps).rsqrt()
        out = z[i : i + 1], torch.empty(0), torch.empty(0)
        torch.native_batch_norm(one, scale, shift, mean[i], variance, False, 0.0, eps, out=out)
    return z, mean, inverse


def in_parts(x: Tensor) -> tuple[Tensor, int]:
    """One picture (1, C, H, W) in channels_last, its pixels dealt out to `parts` times C channels.

    Kernels add up pixel after pixel, and their error grows with the number: 4e-5 of the result of
    instance norm at 256 x 256. In parts they add up fewer.
    """
    pixels = x.permute(0, 2, 3, 1).flatten(0, 2)
    parts = next(k for k in range(16, 0, -1) if len(pixels) % k == 0)
    return pixels.reshape(1, len(pixels) // parts, 1, -1).permute(0, 3, 1, 2), parts


def moments(y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (C) of the channels of one picture (1, C, H, W), float32."""
    wide, parts = in_parts(y)
    means, variances = torch.ops.aten.batch_norm_update_stats(wide, None, None, 0.0)
    between, mean = torch.var_mean(means.view(parts, -1), 0, correction=0)
    return mean, variances.view(parts, -1).mean(0) + between


def instance_norm_back(
    grad: Tensor, y: Tensor, scale: Tensor, mean: Tensor, inverse: Tensor, eps: float, affine: bool
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Gradients of instance_norm's y, scale and shift."""
    back = norm_back if y.dtype == torch.float32 else batch_norm_back
    parts = [
        back(grad[i : i + 1], y[i : i + 1], scale, mean[i], inverse[i], eps) for i in range(len(y))
    ]
    grad_y, *of_affine = zip(*parts, strict=True)
    grad_y = grad_y[0] if len(y) == 1 else torch.cat(grad_y)
    return grad_y, *(sum(g) if affine else None for g in of_affine)


def batch_norm_back(
    grad: Tensor, y: Tensor, scale: Tensor, mean: Tensor, inverse: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The same of one picture (1, C, H, W), by torch's kernel."""
    return torch.ops.aten.native_batch_norm_backward(
        grad, y, scale, None, None, mean, inverse, True, eps, [True, True, True]
    )


def norm_back(
    grad: Tensor, y: Tensor, scale: Tensor, mean: Tensor, inverse: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The same in float32, summed in parts.

    With x = (y - mean) * inverse and means over the pixels:
    dy = scale * inverse * (dz - mean(dz) - x * mean(dz * x)).
    """
    (wide, parts), (wide_y, _) = in_parts(grad), in_parts(y)
    means, variances = mean.repeat(parts), inverse.pow(-2).sub(eps).repeat(parts)
    _, *sums = torch.ops.aten.native_batch_norm_backward(
        wide, wide_y, None, means, variances, None, None, False, eps, [False, True, True]
    )
    of_scale, of_shift = (total.view(parts, -1).sum(0) for total in sums)
    pixels = y.shape[2] * y.shape[3]
    of_grad = scale * inverse
    of_y = -of_grad * inverse * of_scale / pixels
    constant = -of_grad * of_shift / pixels - of_y * mean
    of_grad, of_y, constant = (v.view(1, -1, 1, 1) for v in (of_grad, of_y, constant))
    return torch.addcmul(constant, y, of_y).addcmul_(grad, of_grad), of_scale, of_shift


class ActivateAndPad(torch.autograd.Function):
    """activate_and_pad for what is not a ConvNorm."""

    @staticmethod
    def forward(ctx, x, slope, pad: int, dtype: torch.dtype) -> Tensor:
        """Give x (N, C, H, W) as (N, C, H + 2 pad, W + 2 pad) of `dtype`, in channels_last."""
        out = activate_and_pad(x, slope, pad, dtype)
        ctx.slope, ctx.pad, ctx.like = slope, pad, x.dtype
        ctx.save_for_backward(out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        """The gradient of x."""
        grad = grad.clone(memory_format=torch.channels_last) if ctx.pad else grad
        (out,) = ctx.saved_tensors
        return activate_and_pad_back(grad, out, ctx.slope, ctx.pad).to(ctx.like), None, None, None


class ConvNorm(torch.autograd.Function):
    """Activation, padding, convolution and instance norm as one step.

    A bias in front of instance norm is left out: the norm takes it away again.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, scale, shift, layer: Layer) -> Tensor:
        """Give x (N, C, H, W) as (N, C', H', W') in channels_last, not yet activated."""
        padded = activate_and_pad(x, layer.slope, layer.reflect, layer.dtype)
        bias = None if layer.normalise else bias
        y, kernel = convolve(padded, weight, bias, layer)
        y = shuffled(y, layer.shuffle)
        ctx.layer, ctx.like, ctx.affine = layer, x.dtype, scale is not None
        if not layer.normalise:
            ctx.save_for_backward(padded, kernel)
            return y
        channels = y.shape[1]
        scale = torch.ones(channels) if scale is None else scale.float()
        shift = torch.zeros(channels) if shift is None else shift.float()
        z, mean, inverse = instance_norm(y, scale, shift, layer.eps)
        ctx.save_for_backward(padded, kernel, y, scale, mean, inverse)
        return z

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        """Gradients of x, weight, bias, scale and shift."""
        layer = ctx.layer
        padded, kernel, *normed = ctx.saved_tensors
        grad = grad.to(layer.dtype, memory_format=torch.channels_last)
        of_x = of_weight = of_bias = of_scale = of_shift = None
        if layer.normalise:
            grad, of_scale, of_shift = instance_norm_back(grad, *normed, layer.eps, ctx.affine)
        grad = unshuffled(grad, layer.shuffle)
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        if needs_bias:
            # DistributedDataParallel waits for every parameter: a bias without effect has zeros.
            void = layer.normalise
            of_bias = torch.zeros(grad.shape[1]) if void else grad.float().sum((0, 2, 3))
        if is_transformed(kernel):
            of_x, of_weight = winograd.gradients(grad, padded, kernel, needs_x, needs_weight)
        else:
            if needs_weight:
                of_weight = weight_gradient(grad, padded, kernel, layer).float()
            if needs_x:
                of_x = input_gradient(grad, padded, kernel, layer)
        if needs_x:
            of_x = activate_and_pad_back(of_x, padded, layer.slope, layer.reflect).to(ctx.like)
        return of_x, of_weight, of_bias, of_scale, of_shift, None


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, layer: Layer) -> tuple[Tensor, Tensor]:
    """The convolution of what is padded and activated, and the kernel in the form it was taken."""
    if not layer.transposed and winograd.is_for(weight, layer.stride, layer.padding, x):
        kernel = cast_weight(weight, layer.dtype, winograd.transform_kernel)
        y = winograd.convolve(x, kernel)
        return (y if bias is None else y + bias.to(y.dtype)[:, None, None]), kernel
    kernel = cast_weight(weight, layer.dtype)
    bias = None if bias is None else bias.to(layer.dtype)
    return _convolve(x, kernel, bias, *layer.geometry()), kernel


def shuffled(y: Tensor, factor: int) -> Tensor:
    """(N, C f^2, H, W) to (N, C, H f, W f), as torch's pixel_shuffle, in channels_last."""
    if factor == 1:
        return y
    return F.pixel_shuffle(y, factor).contiguous(memory_format=torch.channels_last)


def unshuffled(y: Tensor, factor: int) -> Tensor:
    """The reverse of shuffled."""
    if factor == 1:
        return y
    return F.pixel_unshuffle(y, factor).contiguous(memory_format=torch.channels_last)


def is_transformed(kernel: Tensor) -> bool:
    """Whether a kernel is in Winograd's form."""
    return kernel.dim() == 3


def weight_gradient(grad: Tensor, x: Tensor, kernel: Tensor, layer: Layer) -> Tensor:
    """The gradient of a kernel, of its type."""
    if layer.transposed:
        # The convolution that it transposes, with input and output exchanged: twice as fast.
        grad, x = x, grad
        layer = layer._replace(transposed=False, output_padding=0)
    return _convolve_back(grad, x, kernel, None, *layer.geometry(), [False, True, False])[1]


def input_gradient(grad: Tensor, x: Tensor, kernel: Tensor, layer: Layer) -> Tensor:
    """The gradient of what a convolution reads, of its type."""
    if layer.transposed:
        layer = layer._replace(transposed=False, output_padding=0)
        return _convolve(grad, kernel, None, *layer.geometry())
    few = layer.groups == 1 and is_few(kernel.shape[1], kernel.shape[3])
    if few and layer.stride == 1 and not layer.padding:
        return input_gradient_of_few(grad, kernel)
    return _convolve_back(grad, x, kernel, None, *layer.geometry(), [True, False, False])[0]
