"""Differentiable augmentation of what discriminators see, against overfitting on few pictures.

Real and generated pictures are augmented alike in every pass, and the gradient of the generators
goes through it, so that they do not learn to augment (DiffAugment: Zhao et al. 2020,
https://arxiv.org/abs/2006.10738). Random numbers are torch's, which checkpoints hold.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .layers import check_choice


def shift_colours(x: Tensor) -> Tensor:
    """Brightness by -0.5 to 0.5, then saturation times 0 to 2, then contrast times 0.5 to 1.5."""
    by = [torch.rand(len(x), 1, 1, 1, device=x.device, dtype=x.dtype) for _ in range(3)]
    x = x + (by[0] - 0.5)
    gray = x.mean(1, keepdim=True)
    x = gray + (x - gray) * (2 * by[1])
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * (by[2] + 0.5)


def translate(x: Tensor) -> Tensor:
    """Moved by up to an eighth of each side; zeros follow."""
    places = []
    for side in x.shape[2:]:
        most = (side + 4) // 8
        by = torch.randint(-most, most + 1, (len(x), 1), device=x.device)
        # Place 0 and the last one are the zeros around.
        places.append((torch.arange(1, side + 1, device=x.device) + by).clamp(0, side + 1))
    images = torch.arange(len(x), device=x.device)[:, None, None]
    pixels = F.pad(x, (1, 1, 1, 1)).permute(0, 2, 3, 1)
    return pixels[images, places[0][:, :, None], places[1][:, None]].permute(0, 3, 1, 2)


def cut_out(x: Tensor) -> Tensor:
    """Zero in a rectangle of half of each side, whose middle lies anywhere."""
    inside = []
    for side in x.shape[2:]:
        middle = torch.randint(side + 1, (len(x), 1), device=x.device)
        first = middle - (side + 2) // 4
        places = torch.arange(side, device=x.device)
        inside.append((places >= first) & (places < first + (side + 1) // 2))
    hole = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return x.masked_fill(hole, 0.0)


def rescale(x: Tensor) -> Tensor:
    """All of them resized by the same 0.75 to 1.25: a pattern of pixels becomes another one."""
    by = 0.75 + torch.rand(()).item() / 2
    size = [max(1, round(side * by)) for side in x.shape[2:]]
    return F.interpolate(x, size, mode="bilinear")


def add_noise(x: Tensor) -> Tensor:
    """With normal noise of deviation 0.05."""
    return x + 0.05 * torch.randn_like(x)


AUGMENTS = {
    "color": shift_colours,
    "translation": translate,
    "cutout": cut_out,
    "scale": rescale,
    "noise": add_noise,
}


def parse_augments(names: str | Sequence[str] | None) -> tuple[str, ...]:
    """Names of AUGMENTS from 'color,cutout', a list of them or nothing.

    Raises:
        ValueError: If one is not known.
    """
    names = names.split(",") if isinstance(names, str) else names or ()
    names = tuple(name.strip() for name in names if name.strip())
    for name in names:
        check_choice("discriminator_augment", name, AUGMENTS)
    return names


def augment(batches: Sequence[Tensor], names: Sequence[str]) -> list[Tensor]:
    """Augment each picture of batches (N, C, H, W) in [-1, 1], in the order of `names`.

    Batches of one size have one size after it.
    """
    if not names:
        return list(batches)
    if len({x.shape[1:] for x in batches}) > 1:
        return [augment([x], names)[0] for x in batches]
    x = torch.cat(batches)
    for name in names:
        x = AUGMENTS[name](x)
    return list(x.split([len(batch) for batch in batches]))
