"""Losses against mmgen's, and against the formula written out."""

import pytest
import torch
from mmgen.models import build_module
from mmgen.models.losses import gradient_penalty_loss, r1_gradient_penalty_loss

from mmgen_ext.models import MultiscaleDiscriminator, PatchDiscriminator
from mmgen_ext.models.losses import GANLoss, gradient_penalty, r1_penalty


@pytest.mark.parametrize("gan_type", ["lsgan", "vanilla", "hinge", "wgan-gp"])
@pytest.mark.parametrize("target_is_real", [True, False])
@pytest.mark.parametrize("is_disc", [True, False])
def test_adversarial_losses_equal_mmgens(gan_type, target_is_real, is_disc):
    options = dict(real_label_val=0.9, fake_label_val=0.1, loss_weight=2.0)
    name = "wgan" if gan_type == "wgan-gp" else gan_type
    theirs = build_module(dict(type="GANLoss", gan_type=name, **options))
    ours = build_module(dict(type="mmgen_ext.GANLoss", gan_type=gan_type, **options))
    logits = torch.randn(2, 1, 5, 7)
    expected = theirs(logits, target_is_real, is_disc)
    assert ours(logits, target_is_real, is_disc).item() == pytest.approx(expected.item(), abs=1e-6)


def test_gradient_penalty_equals_mmgens():
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.Tanh(), torch.nn.Conv2d(4, 1, 3)
    )
    real, fake = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8)
    torch.manual_seed(5)
    ours = gradient_penalty(network, real, fake)
    torch.manual_seed(5)
    # mmgen multiplies by 1 / (patches) only for a mask; 'HWC' is the norm of the whole image.
    theirs = gradient_penalty_loss(network, real, fake, norm_mode="HWC")
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)


def test_gradient_penalty_is_zero_for_slope_one_and_reaches_the_weights():
    class Slope(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(()))

        def forward(self, x):
            return self.weight * x.flatten(1)[:, 0]

    network = Slope()
    loss = gradient_penalty(network, torch.randn(3, 1, 4, 4), torch.randn(3, 1, 4, 4))
    assert loss.item() == pytest.approx(0, abs=1e-6)
    network.weight.data.fill_(3.0)
    loss = gradient_penalty(network, torch.randn(3, 1, 4, 4), torch.randn(3, 1, 4, 4))
    loss.backward()
    assert loss.item() == pytest.approx(4.0, rel=1e-5)  # (3 - 1)^2
    assert network.weight.grad.item() == pytest.approx(4.0, rel=1e-5)


def test_r1_penalty_of_a_single_logit_equals_mmgens():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 8), torch.nn.Tanh())
    network.append(torch.nn.Linear(8, 1))
    real = torch.randn(3, 3, 8, 8)
    theirs = r1_gradient_penalty_loss(network, real, norm_mode="HWC")
    assert r1_penalty(network, real).item() == pytest.approx(theirs.item(), rel=1e-5)


def test_r1_penalty_of_many_logits_is_the_mean_over_patches():
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 4, 4), torch.nn.Tanh(), torch.nn.Conv2d(4, 1, 1)
    )
    real = torch.randn(2, 3, 8, 12, requires_grad=True)
    squares = []
    for logit in network(real).flatten():
        (gradient,) = torch.autograd.grad(logit, real, retain_graph=True)
        squares.append(gradient.square().sum())
    expected = sum(squares) / len(squares)
    assert r1_penalty(network, real).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("interval", [1, 4])
def test_r1_is_added_every_interval_and_counts_as_many_times(interval):
    network = PatchDiscriminator(base_channels=4, num_conv=2)
    real, fake = torch.randn(2, 1, 3, 32, 32)
    plain = GANLoss().discriminator_loss(network, real, fake)
    loss = GANLoss(r1_weight=3.0, r1_interval=interval)
    expected = 3.0 / 2 * interval * r1_penalty(network, real)
    for iteration in range(8):
        added = loss.discriminator_loss(network, real, fake, iteration) - plain
        due = iteration % interval == 0
        assert added.item() == pytest.approx(expected.item() if due else 0, rel=1e-3)
    for parameter in network.parameters():  # It can be learned from.
        parameter.grad = None
    expected.backward()
    assert network.model[0].conv.weight.grad.abs().max() > 0


def test_losses_and_penalties_of_scales_are_their_means():
    network = MultiscaleDiscriminator(base_channels=4, num_conv=2)
    real, fake = torch.randn(2, 2, 3, 32, 32)
    fine, coarse = network.scales
    halve = torch.nn.AvgPool2d(3, 2, 1, count_include_pad=False)
    parts = [fine, torch.nn.Sequential(halve, coarse)]
    for loss in (GANLoss(), GANLoss("hinge"), GANLoss("wgan-gp"), GANLoss(r1_weight=2.0)):
        found, *each = ([] for _ in range(3))
        for judge, values in zip((network, *parts), (found, *each), strict=True):
            torch.manual_seed(3)
            values.append(loss.discriminator_loss(judge, real, fake).item())
        assert found[0] == pytest.approx((each[0][0] + each[1][0]) / 2, rel=1e-4)


def test_r1_is_the_same_in_bf16_and_fused():
    network = PatchDiscriminator(base_channels=4, num_conv=2)
    real = torch.randn(1, 3, 32, 32)
    expected = r1_penalty(network, real).item()
    network.fuse()
    with torch.autocast("cpu", torch.bfloat16):
        found = r1_penalty(network, real)
    assert found.item() == pytest.approx(expected, rel=1e-4)
    found.backward()  # which fused layers could not


def test_impossible_r1_is_answered_with_the_possible():
    with pytest.raises(ValueError, match="r1_interval=0; expected a weight of 0 or more"):
        GANLoss(r1_weight=1.0, r1_interval=0)


def test_unknown_loss_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="choose one of lsgan, vanilla, hinge, wgan-gp"):
        GANLoss("wgan")
