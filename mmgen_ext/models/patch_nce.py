"""Patches of a picture that know each other again in its translation (Park et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def patch_nce(query: Tensor, key: Tensor, temperature: float) -> Tensor:
    """How badly each patch is recognised among all patches of its picture: (N,), 0 is perfectly.

    Args:
        query: Features (N, P, C) of P patches of the translations, of length 1.
        key: Features (N, P, C) of the same places of the sources, of length 1.
        temperature: tau of the paper's eq. 2.
    """
    logits = query @ key.transpose(1, 2) / temperature  # (N, P, P)
    # Eq. 2 and 3, E[-log(exp(q . k+ / tau) / sum_k exp(q . k / tau))]: the positive of patch s is
    # patch s of the source, the negatives are the others.
    return (logits.logsumexp(2) - logits.diagonal(dim1=1, dim2=2)).mean(1)


def choose_patches(places: int, count: int, numbers: Sequence[int]) -> Tensor:
    """`count` different places of `places`, or all if there are not so many: (P,), int64.

    A function of `numbers` (at most three, the first a seed) and of nothing else: so a resumed run
    takes the patches that an undisturbed one takes, and all processes those of one process, which
    torch's own generator would not give: each process has another, for dropout.
    """
    seed, *counter = numbers
    rng = np.random.Generator(
        np.random.Philox(key=seed, counter=counter + [0] * (4 - len(counter)))
    )
    return torch.from_numpy(rng.choice(places, min(count, places), replace=False))


def take_patches(features: Tensor, places: Tensor) -> Tensor:
    """Features (N, C, H, W) at `places` (P,), numbered row by row: (N, P, C)."""
    # In channels_last that is a view, and a patch lies in one piece.
    return features.permute(0, 2, 3, 1).flatten(1, 2).index_select(1, places)


class PatchProjection(nn.Module):
    """A network of two layers for each kind of features, to vectors of length 1.

    Args:
        channels: Of each kind.
        width: Of the hidden layer and of the vectors.
    """

    def __init__(self, channels: Sequence[int], width: int = 256):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(c, width), nn.ReLU(), nn.Linear(width, width)) for c in channels
        )
        for module in self.layers.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0.0, 0.02)
                nn.init.zeros_(module.bias)

    def forward(self, patches: Sequence[Tensor]) -> list[Tensor]:
        """Project (N, P, C) of each kind to float32 (N, P, width)."""
        # In float32 also where the networks compute in 16 bits: divided by a small temperature,
        # their rounding would count.
        with torch.autocast(patches[0].device.type, enabled=False):
            return [
                F.normalize(layers(x.float()), dim=2, eps=1e-7)
                for layers, x in zip(self.layers, patches, strict=True)
            ]
