"""Winograd's convolutions against torch's."""

import pytest
import torch
import torch.nn.functional as F

from mmgen_ext.models import winograd


def case(dtype, n, inside, out, height, width):
    x = torch.randn(n, inside, height + 2, width + 2, dtype=dtype)
    kernel = torch.randn(out, inside, 3, 3) / (3 * inside**0.5)
    grad = torch.randn(n, out, height, width, dtype=dtype)
    last = [value.contiguous(memory_format=torch.channels_last) for value in (x, grad)]
    x, weight = (v.double().requires_grad_() for v in (last[0], kernel.to(dtype)))
    y = F.conv2d(x, weight)
    return *last, kernel, (y.detach(), *torch.autograd.grad(y, (x, weight), last[1].double()))


def error(found, exact):
    return ((found.double() - exact).abs().max() / exact.abs().max()).item()


# One strip of tiles, several, a last one that is smaller, and rows longer than a strip.
@pytest.mark.parametrize("size", [(4, 4), (40, 64), (38, 28), (6, 600)])
@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 2e-6), (torch.bfloat16, 2e-2)])
def test_result_and_gradients_are_torchs(size, dtype, close):
    x, grad, kernel, exact = case(dtype, 2, 8, 6, *size)
    transformed = winograd.transform_kernel(kernel, dtype)
    y = winograd.convolve(x, transformed)
    assert y.dtype == dtype and y.is_contiguous(memory_format=torch.channels_last)
    gradients = winograd.gradients(grad, x, transformed, True, True)
    for found, expected in zip((y, *gradients), exact, strict=True):
        assert error(found, expected) < close


def test_a_kernel_is_rounded_once_under_autocast():
    kernel = torch.randn(64, 64, 3, 3)
    plain = winograd.transform_kernel(kernel, torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(winograd.transform_kernel(kernel, torch.bfloat16), plain)


def test_only_what_is_asked_for_is_computed():
    x, grad, kernel, _ = case(torch.float32, 1, 4, 4, 8, 8)
    transformed = winograd.transform_kernel(kernel, torch.float32)
    of_x, of_kernel = winograd.gradients(grad, x, transformed, True, False)
    assert of_x.shape == x.shape and of_kernel is None
    of_x, of_kernel = winograd.gradients(grad, x, transformed, False, True)
    assert of_x is None and of_kernel.shape == kernel.shape


@pytest.mark.parametrize(
    ("shape", "stride", "padding", "side", "chosen"),
    [
        ((64, 64, 3, 3), 1, 0, 34, True),
        ((64, 64, 3, 3), 1, 0, 33, False),  # tiles would not cover the result
        ((64, 64, 3, 3), 1, 1, 34, False),
        ((64, 64, 3, 3), 2, 0, 34, False),
        ((64, 64, 4, 4), 1, 0, 34, False),
        ((64, 32, 3, 3), 1, 0, 34, False),  # small matrices cost more than they save
    ],
)
def test_taken_where_it_pays(shape, stride, padding, side, chosen):
    x = torch.empty(1, shape[1], side, side)
    assert winograd.is_for(torch.empty(shape), stride, padding, x) is chosen
