"""Networks: equal to mmgen's to the bit, and what mmgen's cannot."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmgen.models import build_module

from mmgen_ext.models import (
    MobileResnetGenerator,
    MultiscaleDiscriminator,
    PatchDiscriminator,
    PixelDiscriminator,
    ResnetGenerator,
    UnetGenerator,
)
from mmgen_ext.models.layers import BlurPool, ConvBlock, init_weights
from mmgen_ext.pictures import image_to_tensor

PAIRS = {
    "resnet": (
        dict(type="ResnetGenerator", base_channels=6, num_blocks=2),
        dict(norm_cfg=dict(type="IN")),
        dict(norm="instance"),
    ),
    "resnet, affine instance norm": (
        dict(type="ResnetGenerator", base_channels=6, num_blocks=2),
        dict(norm_cfg=dict(type="IN", affine=True)),
        dict(norm="instance_affine"),
    ),
    "resnet, batch norm, dropout, zero padding": (
        dict(
            type="ResnetGenerator",
            base_channels=6,
            num_blocks=2,
            use_dropout=True,
            padding_mode="zeros",
        ),
        dict(norm_cfg=dict(type="BN")),
        dict(norm="batch"),
    ),
    "unet": (
        dict(type="UnetGenerator", base_channels=6, num_down=6, use_dropout=True),
        dict(norm_cfg=dict(type="BN")),
        dict(norm="batch"),
    ),
    "unet, instance norm": (
        dict(type="UnetGenerator", base_channels=6, num_down=5),
        dict(norm_cfg=dict(type="IN")),
        dict(norm="instance"),
    ),
    "unet, affine instance norm": (
        dict(type="UnetGenerator", base_channels=6, num_down=5),
        dict(norm_cfg=dict(type="IN", affine=True)),
        dict(norm="instance_affine"),
    ),
    "patch": (
        dict(type="PatchDiscriminator", base_channels=6, num_conv=3),
        dict(norm_cfg=dict(type="IN")),
        dict(norm="instance"),
    ),
    "patch, batch norm, 4 convolutions": (
        dict(type="PatchDiscriminator", base_channels=6, num_conv=4),
        dict(norm_cfg=dict(type="BN")),
        dict(norm="batch"),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_network_with_mmgens_weights_equals_mmgens(name, mode):
    common, theirs, ours = PAIRS[name]
    channels = dict(in_channels=3)
    if "Generator" in common["type"]:
        channels["out_channels"] = 2
    reference = build_module({**common, **channels, **theirs})
    reference.init_weights()
    network = build_module({**common, **channels, **ours, "type": f"mmgen_ext.{common['type']}"})
    reference.load_state_dict(network.state_dict(), strict=True)
    for parameter in reference.parameters():
        torch.nn.init.normal_(parameter, std=0.1)  # no scale is 1, no shift 0
    network.load_state_dict(reference.state_dict(), strict=True)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    outputs, gradients = [], []
    for net in (network, reference):
        getattr(net, mode)()
        torch.manual_seed(1)  # the same dropout
        source = x.clone().requires_grad_()
        output = net(source * 1)  # U-Nets work in place
        output.square().sum().backward()
        outputs.append(output.detach())
        gradients.append([source.grad, *(p.grad for p in net.parameters())])
    close = 1e-6
    assert torch.allclose(*outputs, atol=close, rtol=0)
    largest = max(1.0, *(gradient.abs().max().item() for gradient in gradients[1]))
    for a, b in zip(*gradients, strict=True):
        assert torch.allclose(a, b, atol=close * largest, rtol=1e-5)


@pytest.mark.parametrize("type", ["normal", "xavier", "kaiming", "orthogonal"])
def test_initialisers_draw_what_mmgens_draw(type):
    ours = ResnetGenerator(base_channels=8, num_blocks=1, init_cfg=dict(type=type, gain=0.05))
    theirs = build_module(
        dict(
            type="ResnetGenerator",
            in_channels=3,
            out_channels=3,
            base_channels=8,
            num_blocks=1,
            init_cfg=dict(type=type, gain=0.05),
        )
    )
    torch.manual_seed(3)
    ours.init_weights()
    torch.manual_seed(3)
    theirs.init_weights()
    expected = theirs.state_dict()
    for name, value in ours.state_dict().items():
        assert torch.equal(value, expected[name]), name


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(2, 12),
    st.integers(2, 12),
    st.sampled_from(["instance", "batch", "none"]),
    st.sampled_from(["reflect", "replicate", "zeros"]),
    st.sampled_from(["deconv", "resize", "subpixel"]),
    st.sampled_from(["stride", "blur"]),
)
def test_resnet_keeps_every_size_and_takes_any_channels(
    cin, cout, h, w, norm, padding, upsample, downsample
):
    form = dict(norm=norm, padding_mode=padding, upsample=upsample, downsample=downsample)
    network = ResnetGenerator(cin, cout, 2, 1, **form).eval()
    with torch.no_grad():
        y = network(torch.randn(1, cin, 4 * h, 4 * w))
    assert y.shape == (1, cout, 4 * h, 4 * w)
    assert y.abs().max() <= 1


@pytest.mark.parametrize("kind", [ResnetGenerator, MobileResnetGenerator])
def test_global_skip_begins_with_the_picture_and_learns_its_change(kind):
    network = kind(base_channels=4, num_blocks=1, global_skip=True)
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    assert torch.equal(network(x), x)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        loss = (network(x) + x).abs().mean()  # the negative
        loss.backward()
        optimizer.step()
    y = network(x)
    assert loss < 0.8 * 2 * x.abs().mean()
    assert y.abs().max() <= 1 and (y - x).abs().max() > 0.1
    assert "skip" in network.state_dict() and "skip" not in kind(base_channels=4).state_dict()


@pytest.mark.parametrize("activation", ["tanh", "softsign"])
def test_a_pattern_can_be_taken_away_without_painting_it_over(activation):
    network = ResnetGenerator(
        base_channels=4, num_blocks=1, global_skip=True, smoothing=3, last_activation=activation
    )
    # A zebra's stripes on one half, and nothing on the other.
    x = torch.full((1, 3, 32, 48), 0.5)
    x[..., :24] = torch.tensor([1.0, 1, -1, -1]).repeat(6)
    first = network(x)
    assert 0.01 < (first - x).abs()[..., :20].mean() < 0.06  # it begins nearly with the picture
    assert torch.allclose(first[..., 36:], x[..., 36:], atol=1e-6)
    network.model[-1].conv.bias.data[-1] = 20
    soft = network(x)
    assert soft[..., 7:17].abs().max() < 0.1 and torch.allclose(soft[..., 36:], x[..., 36:])
    # How much of it is learned for each place, and 4 channels tell these weights from others.
    first.square().sum().backward()
    assert network.model[-1].conv.weight.grad[-1].abs().max() > 0
    assert len(network.model[-1].conv.weight) == 4
    assert network(torch.zeros(1, 3, 8, 8)).shape == (1, 3, 8, 8)
    assert [
        ResnetGenerator(base_channels=2, global_skip=True, smoothing=n).min_size for n in (7, 8)
    ] == [8, 12]


def test_colours_go_through_a_matrix_of_their_place():
    network = ResnetGenerator(base_channels=2, num_blocks=1, global_skip=True, recolor=True)
    x = torch.rand(2, 3, 16, 24) - 0.5
    assert torch.equal(network(x), x)
    network(x).square().sum().backward()
    assert network.recolor.weight.grad.abs().max() > 0
    # Each pixel as what its matrix, between those of the nearest places, makes of it.
    torch.nn.init.normal_(network.recolor.weight, 0, 0.02)
    with torch.no_grad():
        network.recolor.bias.view(4, 3)[:3] = -torch.eye(3)  # gray, but for what is added
        network.recolor.bias.view(4, 3)[3] = torch.tensor([0.5, 0.0, -0.5])
        _, (features,) = network(x, [network.trunk.stop])
        matrices = torch.einsum("oc,nchw->nohw", network.recolor.weight[..., 0, 0], features)
        matrices = matrices + network.recolor.bias[:, None, None]
        matrices = torch.nn.functional.interpolate(matrices, (16, 24), mode="bilinear")
        y = network(x)
    assert (y.mean((0, 2, 3)) - torch.tensor([0.5, 0.0, -0.5])).abs().max() < 0.1
    for at in ((0, 0, 0), (1, 7, 13), (1, 15, 23)):
        n, i, j = at
        matrix = matrices[n, :, i, j].view(4, 3)
        expected = x[n, :, i, j] + x[n, :, i, j] @ matrix[:3] + matrix[3]
        assert torch.allclose(y[n, :, i, j], expected.clamp(-1, 1), atol=1e-5)
    assert y.abs().max() <= 1


@pytest.mark.parametrize("activation", ["tanh", "softsign"])
def test_what_was_painted_black_can_be_taken_back_with_softsign(activation):
    network = ResnetGenerator(base_channels=4, global_skip=True, last_activation=activation)
    with torch.no_grad():
        network.model[-1].conv.bias.fill_(-20)
    y = network(torch.zeros(1, 3, 16, 16))
    y.sum().backward()
    assert y.min() >= -1 and y.mean() < -0.95
    assert (network.model[-1].conv.bias.grad.abs().max() > 0.1) == (activation == "softsign")


def test_semantics_tell_a_generator_where_things_are(photos):
    torch.manual_seed(0)
    network = ResnetGenerator(base_channels=4, num_blocks=1, norm="none", semantics=2).eval()
    x = image_to_tensor(photos["chelsea"][:128, :192, ::-1].copy())[None]
    seen = network.semantics(network.sight(x), (32, 48))
    assert seen.shape == (1, 16, 32, 48) and 0.1 < seen.std() < 2
    # Added to what the residual blocks are given, and to nothing else.
    before = network.model[:3](x)
    assert torch.equal(network(x), network.model[3:](before + seen))
    made, given = network(x, (3, 4))
    assert torch.equal(given[0], before)
    assert torch.equal(given[1], network.model[3:4](before + seen))
    assert torch.equal(made, network(x))
    assert torch.equal(network(x, (1, 3), to_end=False)[0], before)
    # Where the network looks is learned, and the network itself is neither learned nor kept.
    made.sum().backward()
    assert all(conv.weight.grad.abs().max() > 0 for conv in network.semantics.convs)
    names = {name for name in network.state_dict() if name.startswith("semantics")}
    assert names == {f"semantics.convs.{i}.weight" for i in range(3)}
    # The smallest pictures, and large ones, which are shown smaller.
    assert network(torch.zeros(1, 3, network.min_size, network.min_size)).shape[2] == 16
    assert [ResnetGenerator(base_channels=2, semantics=n).min_size for n in (0, 1, 3, 9)] == [
        8, 32, 12, 8
    ]  # fmt: skip
    features = network.semantics.features
    assert features.shown(torch.zeros(1, 3, 8, 12)).shape[2:] == (32, 48)
    assert features.shown(torch.zeros(1, 3, 512, 512)).shape[2:] == (1024, 1024)
    assert features.shown(torch.zeros(1, 3, 800, 800)).shape[2:] == (1024, 1024)
    x = torch.rand(1, 3, 2048, 4096)
    shown = features.shown(x)
    assert shown.shape[2:] == (724, 1448) and abs(shown.mean() - x.mean()) < 1e-3


def test_resize_has_no_checkerboard_and_subpixel_begins_with_none_where_deconvolution_has():
    # A constant picture has no edges: what alternates from pixel to pixel comes from upsampling.
    def alternation(upsample):
        torch.manual_seed(0)
        network = ResnetGenerator(3, 3, 8, 1, norm="none", upsample=upsample)
        network.init_cfg = dict(type="xavier", gain=1.0)
        network.init_weights()
        with torch.no_grad():
            middle = network(torch.full((1, 3, 128, 128), 0.5))[..., 56:72, 56:72]
        return (middle[..., 1:] - middle[..., :-1]).abs().mean().item()

    assert alternation("resize") < 1e-6
    assert alternation("subpixel") < 1e-6
    assert alternation("deconv") > 1e-3


def test_subpixel_block_deals_channels_out_to_neighbouring_pixels():
    block = ConvBlock(3, 2, 3, 2, 1, upsample="subpixel", activation=None)
    torch.nn.init.normal_(block.conv.bias)
    x = torch.randn(2, 3, 4, 5)
    many, found = block.conv(x), block(x)
    assert found.shape == (2, 2, 8, 10)
    for n, c, h, w in itertools.product(range(2), range(2), range(8), range(10)):
        channel = 4 * c + 2 * (h % 2) + w % 2
        assert found[n, c, h, w] == many[n, channel, h // 2, w // 2]


@pytest.mark.parametrize("type", ["normal", "xavier", "kaiming", "orthogonal"])
def test_subpixel_block_begins_as_a_nearest_neighbour_resize(type):
    block = ConvBlock(8, 4, 3, 2, 1, upsample="subpixel", activation=None)
    init_weights(block, type, 0.5)
    assert block.conv.weight.std() > 0.05
    x = torch.randn(1, 8, 6, 6)
    small = torch.nn.functional.conv2d(x, block.conv.weight[::4], padding=1)
    expected = torch.nn.functional.interpolate(small, scale_factor=2)
    assert torch.allclose(block(x), expected, atol=1e-6)


def test_blur_pool_is_the_binomial_mean_of_mirrored_surroundings():
    x = torch.randn(2, 3, 6, 8)
    found = BlurPool(3)(x)
    assert found.shape == (2, 3, 3, 4)
    for h, w in itertools.product(range(3), range(4)):
        total = 0
        for i, j in itertools.product((-1, 0, 1), repeat=2):
            total += (2 - abs(i)) * (2 - abs(j)) / 16 * x[:, :, abs(2 * h + i), abs(2 * w + j)]
        assert torch.allclose(found[:, :, h, w], total, atol=1e-6)


def test_blurred_downsampling_changes_less_when_the_picture_moves_by_a_pixel():
    # Moved by 4 pixels, the quarter-size features move by one; by less, they should follow.
    def jump(downsample):
        torch.manual_seed(0)
        network = ResnetGenerator(3, 3, 8, 0, norm="none", downsample=downsample).eval()
        head = network.model[: len(network.model) - 3]
        x = torch.randn(1, 3, 64, 64)
        with torch.no_grad():
            still, moved = head(x), head(x.roll((1, 1), (2, 3)))
        inside = (..., slice(4, 12), slice(4, 12))
        return ((moved - still)[inside].norm() / still[inside].std()).item()

    assert jump("blur") < 0.7 * jump("stride")


def test_patch_discriminator_sees_seventy_pixels():
    network = PatchDiscriminator(3, 4, norm="none").eval()
    x = torch.randn(1, 3, 128, 128, requires_grad=True)
    logits = network(x)
    logits[0, 0, 7, 7].backward()
    seen = x.grad.abs().sum((0, 1)).nonzero()
    assert (seen.max(0).values - seen.min(0).values + 1).tolist() == [70, 70]


def test_multiscale_discriminator_is_patch_discriminators_of_halved_pictures():
    network = MultiscaleDiscriminator(num_scales=3, base_channels=4, num_conv=2)
    x = torch.randn(2, 3, 48, 64)
    half = torch.empty(2, 3, 24, 32)
    for h, w in itertools.product(range(24), range(32)):
        around = x[:, :, max(0, 2 * h - 1) : 2 * h + 2, max(0, 2 * w - 1) : 2 * w + 2]
        half[:, :, h, w] = around.mean((2, 3))
    logits = network(x)
    assert [tuple(each.shape[1:]) for each in logits] == [(1, 10, 14), (1, 4, 6), (1, 1, 2)]
    assert torch.equal(logits[0], network.scales[0](x))
    assert torch.allclose(logits[1], network.scales[1](half), atol=1e-5)
    assert len(network.features(x)) == 3
    with pytest.raises(ValueError, match="num_scales=0; expected at least 1"):
        MultiscaleDiscriminator(num_scales=0)


def test_pixel_discriminator_judges_each_pixel_alone():
    network = PixelDiscriminator(3, 4, norm="none").eval()
    x = torch.randn(1, 3, 9, 7)
    shuffled = x.flip(2)
    with torch.no_grad():
        assert network(x).shape == (1, 1, 9, 7)
        assert torch.allclose(network(shuffled), network(x).flip(2), atol=1e-6)


def test_spectral_norm_bounds_every_kernel():
    network = PatchDiscriminator(3, 4, spectral_norm=True)
    for _ in range(30):
        network(torch.randn(1, 3, 32, 32))  # each pass refines the estimate of the singular value
    kernels = [m.weight.detach() for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(kernels) == 5
    for kernel in kernels:
        assert torch.linalg.matrix_norm(kernel.flatten(1), 2) == pytest.approx(1, abs=0.05)


def test_unet_says_which_sizes_it_takes():
    with pytest.raises(ValueError, match=r"60 x 64 pixels; both sides must be multiples of 32"):
        UnetGenerator(base_channels=2, num_down=5)(torch.randn(1, 3, 60, 64))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            dict(norm="layer"),
            "norm='layer' is not known; choose one of instance, instance_affine, batch, none",
        ),
        (dict(upsample="bicubic"), "choose one of deconv, resize, subpixel"),
        (dict(downsample="max"), "downsample='max' is not known; choose one of stride, blur"),
        (dict(last_activation="relu"), "choose one of tanh, softsign"),
        (dict(global_skip=True, in_channels=1), "got in_channels=1, out_channels=3"),
        (dict(smoothing=2), "got smoothing=2, recolor=False and global_skip=False"),
        (dict(smoothing=-1, global_skip=True), "got smoothing=-1"),
        (dict(recolor=True), "got smoothing=0, recolor=True and global_skip=False"),
        (dict(semantics=1, in_channels=2), "got semantics=1 and in_channels=2"),
        (dict(semantics=-1), "got semantics=-1"),
        (dict(padding_mode="wrap"), "choose one of reflect, replicate, zeros"),
        (dict(num_blocks=-1), "got num_blocks=-1; expected 0 or more"),
        (
            dict(num_blocks=0, global_skip=True, recolor=True),
            "got num_blocks=0; expected 1 or more",
        ),
        (dict(init_cfg=dict(type="he")), "choose one of normal, xavier, kaiming, orthogonal"),
    ],
)
def test_wrong_arguments_are_answered_with_the_right_ones(arguments, message):
    with pytest.raises(ValueError, match=message):
        ResnetGenerator(**{"base_channels": 2, **arguments})
