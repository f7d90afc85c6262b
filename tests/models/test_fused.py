"""The layers of CPU training against torch's plain ones."""

import statistics

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgen_ext.models import (
    MobileResnetGenerator,
    PatchDiscriminator,
    PixelDiscriminator,
    ResnetGenerator,
)
from mmgen_ext.models.chain import plain_layers, runs_fused
from mmgen_ext.models.few_channels import FewChannelsConv, input_gradient_of_few
from mmgen_ext.models.fused import (
    ActivateAndPad,
    cast_weight,
    instance_norm,
    instance_norm_back,
    weights_cast_once,
)
from mmgen_ext.models.layers import InstanceNorm

NETWORKS = {
    "resnet": lambda: ResnetGenerator(base_channels=8, num_blocks=2),
    "resnet, wide": lambda: ResnetGenerator(base_channels=16, num_blocks=2),
    "affine, resize": lambda: ResnetGenerator(
        base_channels=8, num_blocks=1, norm="instance_affine", upsample="resize"
    ),
    "subpixel": lambda: ResnetGenerator(base_channels=8, num_blocks=1, upsample="subpixel"),
    "subpixel, wide, no norm": lambda: ResnetGenerator(
        base_channels=16, num_blocks=1, norm="none", upsample="subpixel"
    ),
    "blur": lambda: ResnetGenerator(base_channels=8, num_blocks=1, downsample="blur"),
    "global skip": lambda: ResnetGenerator(base_channels=8, num_blocks=2, global_skip=True),
    "softsign": lambda: ResnetGenerator(
        base_channels=8, num_blocks=2, global_skip=True, last_activation="softsign"
    ),
    "smoothing": lambda: ResnetGenerator(
        base_channels=8, num_blocks=2, global_skip=True, smoothing=2
    ),
    "recolor": lambda: MobileResnetGenerator(
        base_channels=8, num_blocks=2, global_skip=True, recolor=True
    ),
    "semantics": lambda: ResnetGenerator(base_channels=8, num_blocks=2, semantics=2),
    "zeros, no norm": lambda: ResnetGenerator(
        base_channels=8, num_blocks=1, norm="none", padding_mode="zeros"
    ),
    "gray to five": lambda: ResnetGenerator(1, 5, base_channels=8, num_blocks=1),
    "mobile": lambda: MobileResnetGenerator(base_channels=8, num_blocks=2),
    "mobile, few channels": lambda: MobileResnetGenerator(base_channels=1, num_blocks=1),
    "mobile, zeros": lambda: MobileResnetGenerator(
        base_channels=4, num_blocks=1, norm="none", padding_mode="zeros"
    ),
    "patch": lambda: PatchDiscriminator(base_channels=8),
    "patch, spectral": lambda: PatchDiscriminator(base_channels=8, spectral_norm=True),
    "pixel": lambda: PixelDiscriminator(base_channels=8),
}


def results(network, x):
    """Output, gradient of the input, gradients of the parameters."""
    network.zero_grad()
    torch.manual_seed(1)  # dropout
    x = x.clone().requires_grad_()
    y = network(x).float()
    (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
    return {"y": y.detach(), "x": x.grad, **{n: p.grad for n, p in network.named_parameters()}}


def build(name):
    torch.manual_seed(0)
    network = NETWORKS[name]()
    network.init_cfg = dict(type="xavier", gain=1.0)
    network.init_weights()
    if getattr(network, "global_skip", False):
        # Begins with 0, which would hide the layers before. Small, so that the biases decide on
        # which side of 0 it stays: the gradient jumps there, and rounding would choose the side.
        torch.nn.init.xavier_normal_(network.model[-1].conv.weight, 0.1)
    for parameter in network.parameters():  # biases are not 0, scales not 1
        if parameter.dim() == 1:
            torch.nn.init.normal_(parameter, 0.5, 0.2)
    network.fuse()
    return network


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 24, 40)])
def test_fused_network_equals_the_plain_one(name, shape):
    network, (n, h, w) = build(name), shape
    x = torch.randn(n, 1 if name.startswith("gray") else 3, h, w)
    assert runs_fused(network, x)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with plain_layers():
        assert not runs_fused(network, x)
        expected = results(network, x)
    network.load_state_dict(before)  # spectral norm refines its estimate
    found = results(network, x)
    # One measure for all gradients of weights: those of biases that instance norm takes away are
    # noise, and 0 here.
    largest = max(value.abs().max().item() for key, value in expected.items() if "." in key)
    for key, value in expected.items():
        scale = largest if "." in key else value.abs().max().item()
        close = 1e-5
        assert torch.allclose(found[key], value, rtol=0, atol=close * scale), key


@pytest.mark.parametrize(
    "name", ["resnet", "resnet, wide", "affine, resize", "subpixel", "blur", "patch"]
)
def test_bf16_is_as_near_to_float32_fused_as_it_is_plain(name):
    network, x = build(name), torch.randn(2, 3, 32, 32)
    exact = results(network, x)
    with torch.autocast("cpu", torch.bfloat16):
        fused = results(network, x)
        with plain_layers():
            plain = results(network, x)

    def error(found):
        return {k: (found[k] - v).norm().item() for k, v in exact.items() if v.norm() > 1e-2}

    ours, theirs = error(fused), error(plain)
    worst = {k: ours[k] / theirs[k] for k in ours if theirs[k] > 1e-3}
    assert statistics.median(worst.values()) < 1.2
    assert max(worst.values()) < 3


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 5),
    st.integers(4, 9),
    st.integers(4, 9),
    st.integers(0, 3),
    st.sampled_from([None, 0.0, 0.2]),
)
def test_activation_and_padding_equal_torchs(n, c, h, w, pad, slope):
    x = torch.randn(n, c, h, w, requires_grad=True)
    y = x if slope is None else F.leaky_relu(x, slope)
    expected = F.pad(y, (pad,) * 4, mode="reflect")
    grad = torch.randn_like(expected)
    found = ActivateAndPad.apply(x, slope, pad, torch.float32)
    assert torch.allclose(found, expected)
    (of_x,) = torch.autograd.grad(expected, x, grad)
    assert torch.allclose(torch.autograd.grad(found, x, grad)[0], of_x, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(2, 7),
    st.integers(7, 12),
    st.integers(7, 12),
)
def test_convolution_to_few_channels_equals_torchs(n, c, few, height, width, h, w):
    x = torch.randn(n, c, h, w).to(memory_format=torch.channels_last).requires_grad_()
    kernel = torch.randn(few, c, height, width, requires_grad=True)
    expected = F.conv2d(x, kernel)
    found = FewChannelsConv.apply(x, kernel)
    grad = torch.randn_like(expected)
    assert torch.allclose(found, expected, atol=1e-4)
    pairs = zip(
        *(torch.autograd.grad(y, (x, kernel), grad) for y in (found, expected)), strict=True
    )
    for ours, theirs in pairs:
        assert torch.allclose(ours, theirs, atol=1e-3, rtol=1e-4)


def test_gradient_of_few_input_channels_equals_torchs():
    x, kernel = torch.randn(2, 3, 13, 15, requires_grad=True), torch.randn(6, 3, 7, 5)
    y = F.conv2d(x, kernel)
    grad = torch.randn_like(y)
    (expected,) = torch.autograd.grad(y, x, grad)
    assert torch.allclose(input_gradient_of_few(grad, kernel), expected, atol=1e-4)


def test_weights_are_cast_once_inside_and_anew_after_a_step():
    weight = torch.randn(4, 3, 3, 3)
    with weights_cast_once():
        first = cast_weight(weight, torch.bfloat16)
        assert cast_weight(weight, torch.bfloat16) is first
    weight.add_(1)
    with weights_cast_once():
        assert not torch.equal(cast_weight(weight, torch.bfloat16), first)


def test_inference_and_gradients_of_gradients_run_plain():
    network, x = build("patch"), torch.randn(1, 3, 32, 32)
    assert not runs_fused(NETWORKS["patch"](), x)  # mmgen's numbers, to the bit
    with torch.no_grad():
        assert not runs_fused(network, x)
    assert not runs_fused(network.eval(), x)
    network.train()
    assert not runs_fused(network, x.double())
    batch_norm = ResnetGenerator(base_channels=4, num_blocks=1, norm="batch")
    batch_norm.fuse()
    assert not runs_fused(batch_norm, x)


def test_dropout_is_applied_in_the_fused_network():
    network = ResnetGenerator(base_channels=8, num_blocks=2, use_dropout=True)
    network.fuse()
    x = torch.randn(1, 3, 32, 32)
    assert runs_fused(network, x)
    assert not torch.equal(network(x), network(x))


def test_plain_instance_norm_has_the_right_gradient_of_one_image_in_channels_last():
    x = torch.randn(1, 8, 6, 6, dtype=torch.double, requires_grad=True)
    grad = torch.randn(1, 8, 6, 6, dtype=torch.double)
    exact = (x - x.mean((2, 3), True)) / (x.var((2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
    (expected,) = torch.autograd.grad(exact, x, grad)
    y = x.detach().float().to(memory_format=torch.channels_last).requires_grad_()
    grad = grad.float().to(memory_format=torch.channels_last)
    (found,) = torch.autograd.grad(InstanceNorm(8)(y), y, grad)
    assert torch.allclose(found, expected.float(), atol=1e-5)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_recomputed_blocks_give_the_same_gradients_and_keep_less(fused, precision):
    x, found, kept = torch.randn(1, 3, 32, 32), [], []
    for recompute in (False, True):
        torch.manual_seed(0)
        network = ResnetGenerator(
            base_channels=8, num_blocks=3, use_dropout=True, recompute=recompute
        )
        if fused:
            network.fuse()
        sizes = []

        def note(tensor, sizes=sizes):
            sizes.append(tensor.numel())
            return tensor

        autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16)
        with autocast, weights_cast_once():
            with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
                torch.manual_seed(1)
                loss = network(x).square().sum()
            kept.append(sum(sizes))
            loss.backward()
        found.append([p.grad for p in network.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert kept[1] < 0.8 * kept[0]


def test_norm_of_a_large_picture_is_as_exact_as_torchs():
    y = (torch.randn(1, 4, 256, 256) * 2 + 1.5).to(memory_format=torch.channels_last)
    grad = (torch.randn_like(y) + 0.3).contiguous(memory_format=torch.channels_last)
    exact = y.double().contiguous().requires_grad_()
    expected = F.instance_norm(exact)
    (of_exact,) = torch.autograd.grad(expected, exact, grad.double().contiguous())
    z, mean, inverse = instance_norm(y, torch.ones(4), torch.zeros(4), 1e-5)
    of_y, *_ = instance_norm_back(grad, y, torch.ones(4), mean, inverse, 1e-5, False)
    assert torch.allclose(z.double(), expected, rtol=0, atol=4e-6)
    assert torch.allclose(of_y.double(), of_exact, rtol=0, atol=4e-6)
