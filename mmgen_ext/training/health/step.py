"""What a training step leaves to be measured: pictures, and what the discriminators say."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.parallel import DistributedDataParallel

CROP = 256  # pixels at most of the pictures that are kept


def directions(results: Mapping[str, Tensor]) -> list[tuple[str, str, str]]:
    """Names of (fake, source, target) pictures in a step's results, where all three are known."""
    reals = [name for name in results if name.startswith("real_")]
    found = []
    for fake in results:
        target = fake.replace("fake_", "real_", 1)
        sources = [name for name in reals if name != target]
        if fake.startswith("fake_") and target in reals and len(sources) == 1:
            found.append((fake, sources[0], target))
    return found


def decision_boundary(gan_loss: nn.Module) -> float | None:
    """Logit between fake and real of a GANLoss, ours or mmgen's; None for a critic's score."""
    if gan_loss.gan_type == "lsgan":
        labels = getattr(gan_loss, "labels", None)
        return sum(labels or (gan_loss.fake_label_val, gan_loss.real_label_val)) / 2
    return 0.0 if gan_loss.gan_type in ("vanilla", "hinge", "wgan-logistic-ns") else None


@torch.no_grad()
def judge(discriminator: nn.Module, image: Tensor, source: Tensor) -> Tensor:
    """Logits of pictures, as in training, leaving no trace in the network.

    Batch norm and spectral norm write into copies of their buffers, and dropout's draws are taken
    back. A conditional discriminator, as pix2pix's, is given the source as well.
    """
    if isinstance(discriminator, DistributedDataParallel):
        discriminator = discriminator.module  # It would make the ranks wait for each other.
    parameter = next(p for p in discriminator.parameters() if p.dim() == 4)
    if parameter.shape[1] == image.shape[1] + source.shape[1]:
        image = torch.cat([source, image], 1)
    buffers = {name: buffer.clone() for name, buffer in discriminator.named_buffers()}
    devices = [parameter.device] if parameter.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        logits = functional_call(discriminator, buffers, (image.to(parameter),))
    if isinstance(logits, Tensor):
        return logits
    return torch.cat([scale.flatten(1) for scale in logits], 1)


def to_bytes(images: Tensor) -> Tensor:
    """The middle of pictures in [-1, 1] as they would stand in a file: uint8, 256 x 256 at most."""
    top, left = (max(0, side - CROP) // 2 for side in images.shape[2:])
    images = images[:, :, top : top + CROP, left : left + CROP].detach().float()
    return (images.clamp(-1, 1) * 127.5 + 127.5).round().to(torch.uint8)


def from_bytes(images: Tensor) -> Tensor:
    """Pictures in [-1, 1] of bytes."""
    return images.float() / 127.5 - 1
