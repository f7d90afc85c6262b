"""Losses of CycleGAN: pure functions of tensors, and the one module that a config names."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..registry import MODULES
from .chain import plain_layers
from .layers import check_choice, pass_together

GAN_TYPES = ("lsgan", "vanilla", "hinge", "wgan-gp")


def set_requires_grad(network: nn.Module, requires_grad: bool) -> None:
    """Switch gradients of all parameters on or off."""
    for parameter in network.parameters():
        parameter.requires_grad = requires_grad


def l1_loss(prediction: Tensor, target: Tensor, weight: float) -> Tensor:
    """Weight * E[|prediction - target|], for two tensors of one shape.

    Weighted before the mean, as in mmgen, so that both libraries round alike.
    """
    return (weight * (prediction - target).abs()).mean()


def gan_loss(
    gan_type: str, logits: Tensor, target_is_real: bool, is_disc: bool = False, labels=(0.0, 1.0)
) -> Tensor:
    """Adversarial loss of logits of any shape, averaged to a scalar.

    Args:
        gan_type: 'lsgan' (Mao et al. 2017), 'vanilla' (Goodfellow et al. 2014), 'hinge'
            (Miyato et al. 2018) or 'wgan-gp' (Gulrajani et al. 2017; see gradient_penalty).
        logits: The discriminator's raw output.
        target_is_real: Whether the logits ought to say "real".
        is_disc: Whether this is the discriminator's loss; only hinge differs.
        labels: Regression targets of fake and real, for lsgan and vanilla.
    """
    sign = -1.0 if target_is_real else 1.0
    label = labels[target_is_real]
    if gan_type == "lsgan":
        # E[(D(x) - label)^2]
        return (logits - label).square().mean()
    if gan_type == "vanilla":
        # E[-label log s(D(x)) - (1 - label) log(1 - s(D(x)))]
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
    if gan_type == "hinge":
        # E[max(0, 1 -+ D(x))]; generators, which only ever aim at real: E[-D(x)]
        return F.relu(1 + sign * logits).mean() if is_disc else -logits.mean()
    # wgan: E[-+ D(x)]
    return sign * logits.mean()


def gradient_penalty(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """E[(||grad D(x)|| - 1)^2] at random points x between real and fake (Gulrajani et al. 2017).

    Args:
        discriminator: Maps images to logits.
        real: Real images (N, C, H, W).
        fake: As many generated images.
    """
    mix = torch.rand(real.shape[0], 1, 1, 1, device=real.device, dtype=real.dtype)
    scales = image_gradients(discriminator, mix * real + (1 - mix) * fake)
    return sum((g.norm(dim=1) - 1).square().mean() for g, _ in scales) / len(scales)


def r1_penalty(discriminator: nn.Module, real: Tensor) -> Tensor:
    """E[||grad D(x)||^2] at real images x (Mescheder et al. 2018, https://arxiv.org/abs/1801.04406).

    With P logits for an image it is E[||grad sum_p D_p(x)||^2] / P: the mean over the patches, if
    these do not overlap, so that the weight does not depend on the size of the images.

    Args:
        discriminator: Maps images to logits.
        real: Real images (N, C, H, W).
    """
    scales = image_gradients(discriminator, real)
    return sum(g.square().sum(1).mean() / logits for g, logits in scales) / len(scales)


def image_gradients(discriminator: nn.Module, images: Tensor) -> list[tuple[Tensor, int]]:
    """Gradient (N, C * H * W) of an image's logits' sum, and how many these are, by scale.

    It can be differentiated again, and is float32, also where networks compute in 16 bits.
    """
    images = images.detach().requires_grad_()
    with plain_layers(), torch.autocast(images.device.type, enabled=False):
        logits = discriminator(images)
        scales = [logits] if isinstance(logits, Tensor) else logits
        gradients = [
            torch.autograd.grad(each.sum(), images, create_graph=True)[0] for each in scales
        ]
    return [(g.flatten(1), each[0].numel()) for g, each in zip(gradients, scales, strict=True)]


@MODULES.register_module()
class GANLoss(nn.Module):
    """The adversarial loss that a config names; see gan_loss for the formulas.

    Args:
        gan_type: 'lsgan' | 'vanilla' | 'hinge' | 'wgan-gp'.
        real_label_val: Regression target of real images (lsgan, vanilla).
        fake_label_val: Regression target of generated images (lsgan, vanilla).
        loss_weight: Factor of the generators' loss; the discriminators' is never weighted.
        gp_weight: Factor of the gradient penalty, for 'wgan-gp'.
        r1_weight: Factor of half of r1_penalty, gamma in its paper; 0 is off.
        r1_interval: Iterations from one r1_penalty to the next, which counts as many times
            (lazy regularisation: Karras et al. 2020, https://arxiv.org/abs/1912.04958).
    """

    def __init__(
        self,
        gan_type: str = "lsgan",
        real_label_val: float = 1.0,
        fake_label_val: float = 0.0,
        loss_weight: float = 1.0,
        gp_weight: float = 10.0,
        r1_weight: float = 0.0,
        r1_interval: int = 16,
    ):
        super().__init__()
        if r1_weight < 0 or r1_interval < 1:
            raise ValueError(
                f"r1_weight={r1_weight} and r1_interval={r1_interval}; expected a weight of 0 or "
                f"more, and at least 1 iteration"
            )
        self.r1_weight, self.r1_interval = r1_weight, r1_interval
        check_choice("gan_type", gan_type, GAN_TYPES)
        self.gan_type = gan_type
        self.labels = (fake_label_val, real_label_val)
        self.loss_weight = loss_weight
        self.gp_weight = gp_weight if gan_type == "wgan-gp" else 0.0

    def forward(
        self, logits: Tensor | Sequence[Tensor], target_is_real: bool, is_disc: bool = False
    ) -> Tensor:
        """Return the scalar loss of logits, of several scales the mean of their losses.

        The generators' is multiplied by `loss_weight`.
        """
        scales = [logits] if isinstance(logits, Tensor) else logits
        losses = [  # in float32 also where the networks compute in 16 bits
            gan_loss(self.gan_type, each.float(), target_is_real, is_disc, self.labels)
            for each in scales
        ]
        loss = sum(losses) / len(losses)
        return loss if is_disc else loss * self.loss_weight

    def discriminator_loss(
        self,
        discriminator: nn.Module,
        real: Tensor,
        fake: Tensor,
        iteration: int = 0,
        logits: Sequence | None = None,
    ) -> Tensor:
        """Half the sum of the losses on real and fake images (N, C, H, W), as the paper's code.

        With the penalties that are on in this iteration. `logits` are those of real and of fake,
        where they are known.
        """
        fake = fake.detach()
        of_real, of_fake = logits or pass_together(discriminator, real, fake)
        loss = 0.5 * (self(of_fake, False, is_disc=True) + self(of_real, True, is_disc=True))
        if self.gp_weight:
            loss = loss + self.gp_weight * gradient_penalty(discriminator, real, fake)
        if self.r1_weight and iteration % self.r1_interval == 0:
            weight = self.r1_weight / 2 * self.r1_interval
            loss = loss + weight * r1_penalty(discriminator, real)
        return loss
