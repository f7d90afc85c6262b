"""Weights of others: recognised by their tensors, and translating to their own networks' pixels."""

import importlib.util
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from mmgen.models import build_module
from torch import nn

from mmgen_ext.checkpoint import read_checkpoint
from mmgen_ext.inference.foreign import adopt
from mmgen_ext.inference.translator import Translator
from mmgen_ext.inference.weights import load_trained
from mmgen_ext.models import PatchDiscriminator
from mmgen_ext.pictures import tensor_to_images

NORMS = {
    "instance": nn.InstanceNorm2d,
    "old instance": lambda c: nn.InstanceNorm2d(c, track_running_stats=True),
    "affine": lambda c: nn.InstanceNorm2d(c, affine=True),
    "batch": nn.BatchNorm2d,
}


class Block(nn.Module):
    """A residual block under the original authors' names."""

    def __init__(self, c, norm, dropout, bias):
        super().__init__()
        layers = [nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3, bias=bias), norm(c), nn.ReLU()]
        layers += [nn.Dropout(0.5)] if dropout else []
        layers += [nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3, bias=bias), norm(c)]
        self.conv_block = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.conv_block(x)


class TheirResnet(nn.Module):
    """The original authors' ResNet generator: layers numbered through in one sequence."""

    def __init__(
        self, c=4, blocks=2, norm="instance", dropout=False, bias=True, ends=(3, 3), resize=False
    ):
        super().__init__()
        norm = NORMS[norm]

        def up(inside, out):
            if resize:
                conv = nn.Conv2d(inside, out, 3, padding=1, bias=bias)
                return [nn.Upsample(scale_factor=2), conv, norm(out), nn.ReLU()]
            conv = nn.ConvTranspose2d(inside, out, 3, 2, 1, 1, bias=bias)
            return [conv, norm(out), nn.ReLU()]

        def down(inside, out):
            return [nn.Conv2d(inside, out, 3, 2, 1, bias=bias), norm(out), nn.ReLU()]

        self.model = nn.Sequential(
            *(nn.ReflectionPad2d(3), nn.Conv2d(ends[0], c, 7, bias=bias), norm(c), nn.ReLU()),
            *down(c, 2 * c),
            *down(2 * c, 4 * c),
            *(Block(4 * c, norm, dropout, bias) for _ in range(blocks)),
            *up(4 * c, 2 * c),
            *up(2 * c, c),
            *(nn.ReflectionPad2d(3), nn.Conv2d(c, ends[1], 7), nn.Tanh()),
        )

    def forward(self, x):
        return self.model(x)


class TheirLevel(nn.Module):
    """A level of the original authors' U-Net."""

    def __init__(self, outer, inner, below=None, inputs=None, outermost=False, norm=None):
        super().__init__()
        self.outermost = outermost
        bias = norm is nn.InstanceNorm2d
        down = nn.Conv2d(inputs or outer, inner, 4, 2, 1, bias=bias)
        wide = inner if below is None else 2 * inner
        up = nn.ConvTranspose2d(wide, outer, 4, 2, 1, bias=bias or outermost)
        first, second = nn.LeakyReLU(0.2, True), nn.ReLU(True)
        if outermost:
            layers = [down, below, second, up, nn.Tanh()]
        elif below is None:
            layers = [first, down, second, up, norm(outer)]
        else:
            layers = [first, down, norm(inner), below, second, up, norm(outer), nn.Dropout(0.5)]
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


class TheirUnet(nn.Module):
    def __init__(self, c=4, halvings=6, norm="batch"):
        super().__init__()
        norm = NORMS[norm]
        level = TheirLevel(8 * c, 8 * c, norm=norm)
        for _ in range(halvings - 5):
            level = TheirLevel(8 * c, 8 * c, level, norm=norm)
        for k in (4, 2, 1):
            level = TheirLevel(k * c, 2 * k * c, level, norm=norm)
        self.model = TheirLevel(3, c, level, 3, outermost=True, norm=norm)

    def forward(self, x):
        return self.model(x)


def draw(network):
    """Weights as if trained: contrast, scales that are not 1, statistics that are not 0 and 1."""
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            value.normal_(0, 0.15 if value.ndim == 4 else 0.3)
        if name.endswith("running_var"):
            value.abs_().add_(0.3)
        if value.ndim == 1 and name.endswith("weight"):
            value.add_(1)
    return network.eval()


def own_pixels(network, photo):
    """What a network for RGB makes of an RGB picture, as uint8 RGB."""
    x = torch.from_numpy(np.ascontiguousarray(photo.transpose(2, 0, 1)[None] / 127.5 - 1)).float()
    with torch.no_grad():
        return tensor_to_images(network(x))[0]


def check_pixels(translator, network, photo, to=None):
    expected = own_pixels(network, photo)
    bgr = translator(photo[..., ::-1], to=to) if photo.shape[2] == 3 else translator(photo, to=to)
    got = bgr[..., ::-1] if bgr.shape[2] == 3 else bgr
    assert expected.std() > 10
    assert np.abs(got.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        dict(blocks=6, c=6),
        dict(dropout=True),
        dict(norm="old instance"),
        dict(norm="affine", bias=False),
        dict(norm="batch", bias=False),
        dict(norm="batch", bias=True),
        dict(resize=True, bias=False),
        dict(ends=(1, 3)),
        dict(ends=(3, 1)),
    ],
    ids=str,
)
def test_one_way_resnet_gives_its_own_pixels(options, photos, tmp_path):
    network = draw(TheirResnet(**options))
    path = tmp_path / "latest_net_G.pth"
    state = network.state_dict()
    if options.get("norm") == "old instance":
        assert any(key.endswith("running_mean") for key in state)
        network = draw(TheirResnet())  # The statistics are those of each picture all the same.
        network.load_state_dict(state, strict=False)
    torch.save(state, path)
    photo = photos["coffee"][100:148, 200:264, : options.get("ends", (3, 3))[0]]
    check_pixels(Translator(None, path, device="cpu"), network, photo)


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_one_way_unet_gives_its_own_pixels(norm, photos, tmp_path):
    network = draw(TheirUnet(norm=norm))
    torch.save(network.state_dict(), tmp_path / "latest_net_G.pth")
    translator = Translator(None, tmp_path / "latest_net_G.pth", device="cpu")
    check_pixels(translator, network, photos["coffee"][100:228, 200:328])


def test_vintagify_gives_its_own_pixels(photos):
    spec = importlib.util.find_spec("vintagify")
    folder = Path(spec.submodule_search_locations[0])
    # Its package draws windows when it is imported: the file of the network alone.
    spec = importlib.util.spec_from_file_location("vintagifys_generator", folder / "generator.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.ResnetGenerator()
    weights = torch.load(folder / "resources" / "G_A2B_epoch33.pth", "cpu", weights_only=True)
    network.load_state_dict(weights)
    translator = Translator("auto", "vintagify", device="cpu")
    assert translator.default_domain == "vintage"
    check_pixels(translator, network.eval(), photos["coffee"][100:196, 200:328])


@pytest.mark.parametrize(
    ("wrap", "name", "domains"),
    [
        (lambda a, b: a, "latest_net_G.pth", ["output"]),
        (lambda a, b: a, "horse2zebra.pth", ["zebra"]),
        (lambda a, b: a, "latest_horse2zebra_net_G.pth", ["zebra"]),
        (lambda a, b: a, "horse2zebra/latest_net_G_B.pth", ["horse"]),
        (lambda a, b: a, "horse2zebra/latest_net_G_A.pth", ["zebra"]),
        (lambda a, b: a, "G_A2B_epoch33.pth", ["B"]),
        (lambda a, b: a, "G_BA_7.pth", ["A"]),
        (lambda a, b: {f"module.{k}": v for k, v in a.items()}, "x.pth", ["output"]),
        (lambda a, b: {"state_dict": a}, "x.pth", ["output"]),
        (lambda a, b: {"epoch": 3, "netG": a, "optimizer": {}}, "x.pth", ["output"]),
        (lambda a, b: {"G_A2B": a, "G_B2A": b}, "x.pth", ["B", "A"]),
        (lambda a, b: {"net": {"G_A": a, "G_B": b}}, "apple2orange.pth", ["orange", "apple"]),
        (
            lambda a, b: {
                **{f"G_A.{k}": v for k, v in a.items()},
                **{f"G_B.{k}": v for k, v in b.items()},
            },
            "x.pth",
            ["B", "A"],
        ),
        (lambda a, b: {"gen_winter": a, "gen_summer": b}, "x.pth", ["gen_winter", "gen_summer"]),
        (
            lambda a, b: {"gen_horse": a, "gen_zebra": b},
            "horse2zebra.pth",
            ["gen_horse", "gen_zebra"],
        ),
        (lambda a, b: {"trained": {"G_A": a}, "ema": {"G_A": b}}, "x.pth", ["B"]),
    ],
)
def test_generators_are_found_wherever_they_are_in_a_file(wrap, name, domains, photos, tmp_path):
    networks = [draw(TheirResnet(blocks=1)) for _ in range(2)]
    path = tmp_path / "in a folder" / name
    path.parent.mkdir(parents=True)
    torch.save(wrap(*(n.state_dict() for n in networks)), path)
    translator = Translator(None, path, device="cpu")
    assert set(translator.domains) == set(domains)
    for network, domain in zip(networks, domains, strict=False):
        check_pixels(translator, network, photos["chelsea"][100:132, 200:232], domain)


def test_the_old_file_format_of_torch_is_read(photos, tmp_path):
    network = draw(TheirResnet(blocks=1))
    path = tmp_path / "latest_net_G.pth"
    torch.save(network.state_dict(), path, _use_new_zipfile_serialization=False)
    check_pixels(Translator(None, path, device="cpu"), network, photos["rocket"][100:140, 200:240])


def test_layers_sorted_as_texts_are_put_in_the_order_of_their_numbers(photos, tmp_path):
    network = draw(TheirResnet(blocks=9))
    state = network.state_dict()
    assert sorted(state) != list(state)
    torch.save({key: state[key] for key in sorted(state)}, tmp_path / "x.pth")
    translator = Translator(None, tmp_path / "x.pth", device="cpu")
    check_pixels(translator, network, photos["chelsea"][100:132, 200:232])


MMGENS = dict(type="ResnetGenerator", in_channels=3, out_channels=3, base_channels=4, num_blocks=1)


def mmgens_file(path, domains=("horse", "zebra"), prefix="generators", norm=None, **content):
    """A checkpoint under mmgen's names; the generators by domain."""
    norm_cfg = norm or dict(type="IN")
    networks = {d: draw(build_module({**MMGENS, "norm_cfg": norm_cfg})) for d in domains}
    judge = PatchDiscriminator(in_channels=3, base_channels=4).state_dict()
    state = OrderedDict()
    for domain, network in networks.items():
        state |= {f"{prefix}.{domain}.{k}": v for k, v in network.state_dict().items()}
        state |= {f"discriminators.{domain}.{k}": v for k, v in judge.items()}
    torch.save({"state_dict": state, **content}, path)
    return networks


@pytest.mark.parametrize(
    "prefix", ["generators", "module.generators", "generators.module", "generators_ema"]
)
@pytest.mark.parametrize("norm", [dict(type="IN"), dict(type="IN", affine=True)], ids=str)
def test_mmgens_names_without_a_config_are_bgr(prefix, norm, photos, tmp_path):
    networks = mmgens_file(tmp_path / "iter_5.pth", prefix=prefix, norm=norm)
    translator = Translator(None, tmp_path / "iter_5.pth", device="cpu")
    assert translator.domains == ["horse", "zebra"] and translator.default_domain == "zebra"
    bgr = np.ascontiguousarray(photos["coffee"][100:132, 200:232, ::-1])
    for domain, network in networks.items():
        got = translator(bgr, to=domain)
        assert np.abs(got.astype(int) - own_pixels(network, bgr)).max() <= 1


CONFIG_TEXT = """
model = dict(
    type='CycleGAN',
    generator=dict(type='ResnetGenerator', in_channels=3, out_channels=3, base_channels=4,
                   num_blocks=1, padding_mode='zeros', norm_cfg=dict(type='IN')),
    discriminator=None,
    default_domain='horse',
    reachable_domains=['horse', 'zebra'],
    related_domains=['horse', 'zebra'])
test_pipeline = [dict(type='Normalize', keys=['img'], to_rgb=True,
                      mean=[0.5, 0.5, 0.5], std=[0.5, 0.5, 0.5])]
"""


def test_the_config_that_mmgen_writes_into_meta_is_read_as_data(tmp_path):
    mmgens_file(tmp_path / "x.pth", meta=dict(mmgen_version="0.7.3", config=CONFIG_TEXT))
    translator = Translator(None, tmp_path / "x.pth", device="cpu")
    assert translator.to_rgb and translator.default_domain == "horse"
    assert translator.network("zebra").model[0].conv.padding_mode == "zeros"
    evil = CONFIG_TEXT + f"\nimport os\nowned = open({str(tmp_path / 'owned')!r}, 'w')\n"
    mmgens_file(tmp_path / "evil.pth", meta=dict(mmgen_version="0.7.3", config=evil))
    assert Translator(None, tmp_path / "evil.pth", device="cpu").default_domain == "zebra"
    assert not (tmp_path / "owned").exists()


def test_a_named_config_takes_the_names_of_a_wrapped_model_too(photos, tmp_path):
    config = tmp_path / "config.py"
    config.write_text(CONFIG_TEXT)
    mmgens_file(tmp_path / "x.pth", prefix="module.generators")
    assert Translator(config, tmp_path / "x.pth", device="cpu").domains == ["horse", "zebra"]


def old(direction="a2b"):
    config = f"model = dict(type='CycleGAN')\ntrain_cfg = dict(direction='{direction}')\n"
    return dict(mmgen_version="0.2.0+abc", config=config)


@pytest.mark.parametrize(
    ("name", "meta", "makes"),
    [
        # Before 0.3 a generator was called by what it takes: `a` makes B.
        ("x.pth", old(), dict(a="b", b="a")),
        ("horse2zebra.pth", old(), dict(a="zebra", b="horse")),
        # Trained backwards, `a` takes images of B.
        ("x.pth", old("b2a"), dict(a="a", b="b")),
        ("cyclegan_lsgan_resnet_in_horse2zebra_20210411_181443-HASH.pth", None,
         dict(a="zebra", b="horse")),
        # Newer ones may be called so too.
        ("x.pth", dict(mmgen_version="0.7.3"), dict(a="a", b="b")),
        ("x.pth", dict(config="model = dict(reachable_domains=f())"), dict(a="a", b="b")),
        ("x.pth", None, dict(a="a", b="b")),
    ],
)  # fmt: skip
def test_names_from_before_mmgen_0_3_are_turned(name, meta, makes, photos, tmp_path):
    path = tmp_path / "x.part"
    networks = mmgens_file(path, ("a", "b"), meta=meta or {})
    if "HASH" in name:
        from mmgen_ext.checkpoint import file_digest

        name = name.replace("HASH", file_digest(path)[:8])
    path = path.rename(tmp_path / name)
    translator = Translator(None, path, device="cpu")
    bgr = np.ascontiguousarray(photos["coffee"][100:132, 200:232, ::-1])
    assert set(translator.domains) == set(makes.values())
    for key, target in makes.items():
        got = translator(bgr, to=target)
        assert np.abs(got.astype(int) - own_pixels(networks[key], bgr)).max() <= 1


def test_a_named_config_binds_also_for_names_from_before_mmgen_0_3(photos, tmp_path):
    config = tmp_path / "config.py"
    config.write_text(
        CONFIG_TEXT.replace("to_rgb=True", "to_rgb=False").replace("'zeros'", "'reflect'")
    )
    networks = mmgens_file(tmp_path / "x.pth", ("a", "b"), meta=old())
    translator = Translator(config, tmp_path / "x.pth", device="cpu")
    bgr = np.ascontiguousarray(photos["coffee"][100:132, 200:232, ::-1])
    got = translator(bgr, to="zebra")  # B, which `a` made
    assert np.abs(got.astype(int) - own_pixels(networks["a"], bgr)).max() <= 1
    # The config of its own days, too.
    generator = {**MMGENS, "norm_cfg": dict(type="IN")}
    config.write_text(
        f"model = dict(type='CycleGAN', generator={generator})\ntrain_cfg = dict(direction='b2a')\n"
    )
    translator = Translator(config, tmp_path / "x.pth", device="cpu")
    got = translator(bgr, to="a")
    assert np.abs(got.astype(int) - own_pixels(networks["a"], bgr)).max() <= 1


def test_a_config_of_ours_binds_too_and_is_left_as_it_is(tmp_path):
    config = tmp_path / "config.py"
    config.write_text(
        "model = dict(type='mmgen_ext.CycleGAN', domains=['day', 'night'], generator=dict("
        "type='mmgen_ext.ResnetGenerator', base_channels=4, num_blocks=1))\n"
    )
    networks = mmgens_file(tmp_path / "x.pth", ("a", "b"), meta=old())
    cfg, generators, *_ = load_trained(config, tmp_path / "x.pth")
    assert "reachable_domains" not in cfg.model
    first = next(networks["a"].parameters())
    assert torch.equal(next(generators["night"].parameters()), first)


def their_state(**changes):
    state = TheirResnet(blocks=3).state_dict()
    return {**state, **changes}


def spectral():
    network = TheirResnet(blocks=1)
    torch.nn.utils.spectral_norm(network.model[1])
    return network.state_dict()


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (lambda: their_state(**{"model.5.filt": torch.ones(8, 1, 3, 3)}),
         ["looks like the ResNet generator with 3 blocks and 4 channels",
          "anti-aliasing filters (model.5.filt)"]),
        (spectral, ["looks like the ResNet generator with 1 blocks", "spectral norm (model.1."]),
        (lambda: PatchDiscriminator(in_channels=3, base_channels=4).state_dict(),
         ["it is a PatchGAN discriminator"]),
        (lambda: {"mapping.0.weight": torch.ones(8, 8), "conv.weight": torch.ones(8, 8, 3, 3)},
         ["convolution 1 has weights (8, 8, 3, 3); expected (8, 8, 7, 7)"]),
        (lambda: {"fc.weight": torch.ones(8, 8)}, ["it has no convolutions"]),
        (lambda: dict(list(their_state().items())[:-2]),
         ["begins like the ResNet generator", "has 11 convolutions; expected 12"]),
        (lambda: {k: v for k, v in their_state().items() if "12.conv_block.5" not in k},
         ["5 convolutions in its blocks"]),
        (lambda: their_state(**{"model.2.weight": torch.ones(4), "model.2.bias": torch.ones(4)}),
         ["has a norm after it; expected none there"]),
        (lambda: {k.replace("block.1.", "block.0."): v for k, v in their_state().items()},
         ["pads with zeros"]),
    ],
)  # fmt: skip
def test_what_is_no_generator_of_ours_is_answered_with_the_nearest(state, words, tmp_path):
    torch.save(state(), tmp_path / "x.pth")
    with pytest.raises(ValueError) as error:
        load_trained(None, tmp_path / "x.pth")
    for word in [*words, "x.pth holds no config"]:
        assert word in str(error.value)


def test_two_generators_that_differ_are_not_one_model(tmp_path):
    content = {"G_A": TheirResnet(blocks=1).state_dict(), "G_B": TheirResnet().state_dict()}
    with pytest.raises(ValueError, match="two generators that do not fit one another"):
        adopt(content, tmp_path / "x.pth")
    three = {name: TheirResnet(blocks=1).state_dict() for name in ("x", "y", "z")}
    with pytest.raises(ValueError, match=r"holds 3 generators \(x, y, z\)"):
        adopt(three, tmp_path / "x.pth")
    networks = {"G_A": TheirResnet(ends=(3, 1)), "G_B": TheirResnet(ends=(1, 3))}
    torch.save({k: n.state_dict() for k, n in networks.items()}, tmp_path / "photo2map.pth")
    translator = Translator(None, tmp_path / "photo2map.pth", device="cpu")
    assert (translator.channels("map"), translator.channels("photo")) == (3, 1)
    assert read_checkpoint(tmp_path / "photo2map.pth")
