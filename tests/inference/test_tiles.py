"""Pictures in parts: the whole picture's statistics, no seams."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mmgen_ext.inference.fast import FewChannelsConv, OneImageNorm, speed_up
from mmgen_ext.inference.sizing import memory_free, memory_needed
from mmgen_ext.inference.strips import strips
from mmgen_ext.inference.tiles import translate_parts
from mmgen_ext.inference.translator import Translator
from mmgen_ext.models import MobileResnetGenerator, ResnetGenerator, UnetGenerator
from mmgen_ext.pictures import image_to_tensor

CPU = torch.device("cpu")


def make(network, seed=0):
    """The network with weights of contrast, as it is applied."""
    torch.manual_seed(seed)
    for parameter in network.parameters():
        if parameter.ndim == 4:
            nn.init.normal_(parameter, 0, 0.08)
        elif parameter.ndim == 1:
            nn.init.normal_(parameter, 0.5, 0.5)
    return speed_up(network.eval().requires_grad_(False), CPU)


@torch.inference_mode()
def in_parts(network, x, size):
    parts = []
    translate_parts(
        network, lambda a, b: x[:, :, a:b], lambda a, b, part: parts.append(part), x.shape[2:], size
    )
    return torch.cat(parts, 2)


@torch.inference_mode()
def whole(network, x):
    return network(x)


@pytest.fixture(scope="module")
def picture(photos):
    """(1, 3, 256, 384) in [-1, 1]: bright above, dark below, so that parts differ."""
    photo = photos["rocket"][100:356, 100:484, ::-1].astype(np.float32)
    photo *= np.linspace(1, 0.2, 256)[:, None, None]
    return image_to_tensor(photo.astype(np.uint8))[None].contiguous(
        memory_format=torch.channels_last
    )


def psnr(a, b):
    return float(10 * torch.log10(4 / ((a - b) ** 2).mean().clamp(min=1e-12)))


@pytest.mark.parametrize("rows", [16, 36, 100, 1000])
@pytest.mark.parametrize(
    "options",
    [
        {},
        dict(upsample="resize"),
        dict(upsample="subpixel"),
        dict(downsample="blur"),
        dict(downsample="blur", num_blocks=0),
        dict(global_skip=True),
        dict(global_skip=True, smoothing=4),
        dict(global_skip=True, recolor=True),
        dict(mobile=True, global_skip=True, smoothing=2, recolor=True),
        dict(semantics=1),
        dict(semantics=1, num_blocks=0),
        dict(padding_mode="zeros"),
        dict(padding_mode="replicate"),
        dict(norm="instance_affine"),
        dict(norm="batch"),
        dict(norm="none"),
        dict(num_blocks=0),
        dict(use_dropout=True),
        dict(mobile=True),
        dict(mobile=True, padding_mode="zeros", use_dropout=True),
    ],
    ids=str,
)
def test_strips_equal_the_whole_picture(picture, options, rows):
    options = {"base_channels": 8, "num_blocks": 2, **options}
    kind = MobileResnetGenerator if options.pop("mobile", False) else ResnetGenerator
    network = kind(**options)
    if network.global_skip:
        nn.init.normal_(network.model[-1].conv.weight, 0, 0.02)
    if options.get("recolor"):
        nn.init.normal_(network.recolor.weight, 0, 0.1)
    network = make(network)
    expected = whole(network, picture)
    assert expected.std() > 0.01
    # 1/255 everywhere would be 48 dB: what is left is the rounding of another order of sums.
    assert psnr(in_parts(network, picture, rows), expected) > 65


def test_parts_alone_would_differ(picture):
    """What the statistics of the whole are for."""
    network = make(ResnetGenerator(base_channels=8, num_blocks=2))
    halves = [whole(network, half) for half in picture.chunk(2, dim=2)]
    assert psnr(torch.cat(halves, 2), whole(network, picture)) < 30


def test_network_is_as_before_after_parts(picture):
    network = make(ResnetGenerator(base_channels=8, num_blocks=2))
    expected = whole(network, picture[..., :128])
    in_parts(network, picture, 64)
    assert torch.equal(whole(network, picture[..., :128]), expected)


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_tiles_of_a_unet_fade_without_seams(picture, norm):
    network = make(UnetGenerator(num_down=5, base_channels=8, norm=norm))
    expected, tiled = whole(network, picture), in_parts(network, picture, 256)
    assert psnr(tiled, expected) > 40
    # At the tiles' edges the difference does not jump.
    jump = (tiled - expected).diff(dim=3).abs().mean((0, 1, 2))
    assert jump.max() < 0.02


class Pixelwise(nn.Module):
    size_divisor = min_size = 1

    def forward(self, x):
        return torch.tanh(1.7 * x - 0.2)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 1200), st.integers(1, 1200), st.integers(1, 400))
def test_pixelwise_network_gives_the_same_in_tiles(height, width, size):
    x = torch.rand(1, 3, height, width) * 2 - 1
    assert torch.equal(in_parts(Pixelwise(), x, size), whole(Pixelwise(), x))


@given(st.integers(1, 1000), st.integers(1, 300))
def test_strips_cover_every_row_once(height, rows):
    covered = [row for start, stop in strips(height, rows) for row in range(start, stop)]
    assert covered == list(range(height))


def test_faster_layers_give_the_same(picture):
    torch.manual_seed(1)
    network = ResnetGenerator(base_channels=8, num_blocks=1, norm="instance_affine").eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0.1, 0.2)
    both = torch.cat([picture, picture.flip(3)])
    with torch.no_grad():
        expected = network(both)
        fast = speed_up(network, CPU)
        kinds = {type(module) for module in fast.modules()}
        assert {OneImageNorm, FewChannelsConv} <= kinds and nn.InstanceNorm2d not in kinds
        assert (fast(both) - expected).abs().max() < 1e-4
        assert (fast(both[:1]) - expected[:1]).abs().max() < 1e-4


def test_translator_turns_to_parts_when_memory_demands_it(trained, photos, monkeypatch):
    image = np.ascontiguousarray(photos["coffee"][:, :, ::-1])
    translator = Translator(None, trained / "latest.pth", device="cpu")
    network = translator.network()
    assert memory_free(CPU) > memory_needed(network, 400, 600) > 400 * 600 * 4
    expected = translator(image)
    calls = []
    monkeypatch.setattr(
        "mmgen_ext.inference.translator.translate_parts",
        lambda *args: (calls.append(args[-1]), translate_parts(*args)),
    )
    assert np.array_equal(translator(image), expected) and not calls
    monkeypatch.setattr("mmgen_ext.inference.translator.memory_free", lambda device: 2**20)
    assert np.abs(translator(image).astype(int) - expected).max() <= 1 and calls
    always_whole = Translator(None, trained / "latest.pth", device="cpu", tile=0)
    calls.clear()
    assert np.array_equal(always_whole(image), expected) and not calls


@pytest.mark.parametrize("tile", [16, 100])
def test_tiled_pictures_of_any_size_are_the_untiled_ones(trained, photos, tile):
    image = np.ascontiguousarray(photos["coffee"][:203, :87, ::-1])
    tiled = Translator(None, trained / "latest.pth", device="cpu", tile=tile)(image)
    untiled = Translator(None, trained / "latest.pth", device="cpu", tile=0)(image)
    assert tiled.shape == image.shape
    assert np.abs(tiled.astype(int) - untiled).max() <= 1
