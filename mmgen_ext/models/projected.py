"""A discriminator that sees pictures through a network trained on ImageNet."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..registry import MODULES
from .efficientnet_lite import ImageNetFeatures
from .layers import ConvBlock, Network


@MODULES.register_module()
class ProjectedDiscriminator(Network):
    """Small judges, under spectral norm, of what a frozen network makes of a picture.

    After Projected GAN (Sauer et al. 2021, https://arxiv.org/abs/2111.01007), without its random
    mixing. It computes in float32, and the network is no part of checkpoints.

    Args:
        in_channels: Channels of the images it judges: 3, BGR, or 1, gray.
        base_channels: Channels of each judge.
        num_conv: 3 x 3 convolutions of each judge.
        stages: Stages that are judged; see ImageNetFeatures.
        enlarge: See ImageNetFeatures.
        init_cfg: `dict(type='normal'|'xavier'|'kaiming'|'orthogonal', gain=0.02)`.
    """

    def __init__(
        self,
        in_channels: int = 3,
        base_channels: int = 64,
        num_conv: int = 1,
        stages: Sequence[int] = (2, 3, 5, 7),
        enlarge: int = 1,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        if in_channels not in (1, 3):
            raise ValueError(
                f"in_channels={in_channels}; a network trained on photographs takes 3 or 1. Take "
                f"mmgen_ext.PatchDiscriminator"
            )
        if not stages or list(stages) != sorted(set(stages) & set(range(1, 8))) or enlarge < 1:
            raise ValueError(
                f"got stages={tuple(stages)} and enlarge={enlarge}; expected rising numbers from 1 "
                f"to 7, as (2, 3, 5, 7), and at least 1"
            )
        self.features = ImageNetFeatures(stages, enlarge)
        conv = dict(spectral_norm=True, activation="leaky_relu")
        self.heads = nn.ModuleList(
            nn.Sequential(
                ConvBlock(channels, base_channels, 1, **conv),
                *(
                    ConvBlock(base_channels, base_channels, 3, padding=1, **conv)
                    for _ in range(num_conv)
                ),
                ConvBlock(base_channels, 1, 1, spectral_norm=True, activation=None),
            )
            for channels in self.features.channels
        )
        self.init_weights()

    @property
    def sight(self) -> ImageNetFeatures:
        """What pictures are seen through."""
        return self.features

    def forward(self, x: Tensor, seen: Sequence[Tensor] | None = None) -> list[Tensor]:
        """Judge x (N, in_channels, H, W) in [-1, 1]: logits (N, 1, H', W') of each stage.

        `seen` is what `sight` makes of x, or None to look.
        """
        seen = self.features(x) if seen is None else seen
        with torch.autocast(x.device.type, enabled=False):
            return [head(y) for head, y in zip(self.heads, seen, strict=True)]
