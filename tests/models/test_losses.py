"""Losses against mmgen's, and against the formula written out."""

import pytest
import torch
from mmgen.models import build_module
from mmgen.models.losses import gradient_penalty_loss

from mmgen_ext.models.losses import GANLoss, gradient_penalty


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


def test_unknown_loss_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="choose one of lsgan, vanilla, hinge, wgan-gp"):
        GANLoss("wgan")
