"""Convolutions to few channels, as one by columns to more channels and a sum of shifts.

sum_ij w[i, j] x[y+i, x+j] = sum_j (sum_i w[i, j] x[y+i])[x+j]. CPUs compute 16 channels in the time
of 3: a 7 x 7 convolution to 3 channels becomes 7 x 1 to 21, in a fraction of the time.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_convolve, _convolve_back = torch.ops.aten.convolution, torch.ops.aten.convolution_backward


def is_few(channels: int, width: int) -> bool:
    """Whether a convolution to so many channels, with a kernel so wide, is faster by columns."""
    return channels <= 4 and width > 1


def columns_of(kernel: Tensor) -> Tensor:
    """(out, in, height, width) to (width * out, in, height, 1), in channels_last."""
    out, inside, height, width = kernel.shape
    columns = kernel.permute(3, 0, 1, 2).reshape(width * out, inside, height, 1)
    return columns.contiguous(memory_format=torch.channels_last)


def kernel_of(columns: Tensor, width: int) -> Tensor:
    """The reverse of columns_of."""
    many, inside, height, _ = columns.shape
    return columns.reshape(width, many // width, inside, height).permute(1, 2, 3, 0)


def convolve_to_few(x: Tensor, columns: Tensor, width: int) -> Tensor:
    """Convolution without padding of x (N, C, H, W), in float32 and NCHW."""
    wide = _convolve(x, columns, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1)
    wide = wide.contiguous().unflatten(1, (width, -1))
    size = x.shape[3] - width + 1
    total = wide[:, 0, ..., :size].float()
    for j in range(1, width):
        total += wide[:, j, ..., j : j + size]
    return total


def input_gradient_of_few(grad: Tensor, kernel: Tensor) -> Tensor:
    """The gradient of the few input channels of a convolution without padding, in channels_last.

    Args:
        grad: Of the output, (N, out, H, W).
        kernel: (out, few, height, width).
    """
    height, width = kernel.shape[2:]
    turned = columns_of(kernel.transpose(0, 1).flip(2))
    wide = _convolve(grad, turned, None, [1, 1], [height - 1, 0], [1, 1], False, [0, 0], 1)
    wide = wide.contiguous().unflatten(1, (width, -1))
    n, _, few, h, w = wide.shape
    total = torch.zeros(n, few, h, w + width - 1)
    for j in range(width):
        total[..., j : j + w] += wide[:, j]
    return total.to(grad.dtype)


class FewChannelsConv(torch.autograd.Function):
    """A convolution to few channels, stride 1 and no padding, without its bias."""

    @staticmethod
    def forward(ctx, x: Tensor, kernel: Tensor) -> Tensor:
        """Give x (N, C, H, W) in channels_last as float32 (N, few, H', W')."""
        columns = columns_of(kernel.detach().to(x.dtype))
        ctx.width = kernel.shape[3]
        ctx.save_for_backward(x, columns)
        return convolve_to_few(x, columns, ctx.width)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        """Gradients of x and kernel."""
        x, columns = ctx.saved_tensors
        n, few, h, w = grad.shape
        wide = torch.zeros(n, ctx.width, few, h, x.shape[3], dtype=x.dtype)
        for j in range(ctx.width):
            wide[:, j, ..., j : j + w].copy_(grad)
        of_x = of_kernel = None
        if ctx.needs_input_grad[1]:
            of_kernel = kernel_of(columns_gradient(wide.flatten(1, 2), x, columns), ctx.width)
        if ctx.needs_input_grad[0]:
            wide = wide.flatten(1, 2).contiguous(memory_format=torch.channels_last)
            geometry = [1, 1], [0, 0], [1, 1], False, [0, 0], 1
            wanted = [True, False, False]
            of_x, *_ = _convolve_back(wide, x, columns, None, *geometry, wanted)
        return of_x, of_kernel


def columns_gradient(grad: Tensor, x: Tensor, columns: Tensor) -> Tensor:
    """The gradient of `columns` from that of the wide output, as matrix products, in float32.

    Args:
        grad: (N, many, H', W), NCHW.
        x: The input (N, C, H, W) in channels_last.
        columns: (many, C, height, 1); its shape alone matters.
    """
    many, inside, height, _ = columns.shape
    rows = grad.shape[2]
    total = torch.zeros(many, inside, height, 1)
    for grad_of_one, one in zip(grad.flatten(2), x.permute(0, 2, 3, 1), strict=True):
        for i in range(height):
            below = one[i : i + rows].reshape(-1, inside)
            total[:, :, i, 0] += torch.mm(grad_of_one, below)
    return total
