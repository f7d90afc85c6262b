"""Discriminators: PatchGAN and its 1 x 1 form, under mmgen's parameter names, and many of them."""

from __future__ import annotations

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor, nn

from ..registry import MODULES
from .chain import way_through
from .layers import ConvBlock, Network, add_spectral_norm


class Discriminator(Network):
    """Layers whose last convolution gives the logits."""

    model: nn.Sequential

    def forward(self, x: Tensor) -> Tensor:
        """Judge x (N, in_channels, H, W) in [-1, 1]: logits (N, 1, H', W')."""
        return way_through(self, x)(self.model, x)

    def features(self, x: Tensor) -> list[Tensor]:
        """What the last convolution reads of x: one (N, C, H', W')."""
        return [way_through(self, x)(self.model[:-1], x)]


@MODULES.register_module()
class PatchDiscriminator(Discriminator):
    """PatchGAN (Isola et al. 2017): one logit per patch, 70 x 70 pixels with num_conv=3.

    Its logits are (N, 1, about H/8, about W/8).

    Args:
        in_channels: Channels of the images it judges.
        base_channels: Channels after the first convolution.
        num_conv: Convolutions between the first and the last; each but the last of them halves.
        norm: 'instance' | 'instance_affine' | 'batch' | 'none'.
        spectral_norm: Spectral norm on every convolution (Miyato et al. 2018).
        init_cfg: `dict(type='normal'|'xavier'|'kaiming'|'orthogonal', gain=0.02)`.
    """

    def __init__(
        self,
        in_channels: int = 3,
        base_channels: int = 64,
        num_conv: int = 3,
        norm: str = "instance",
        spectral_norm: bool = False,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        conv = dict(kernel_size=4, padding=1, activation="leaky_relu", spectral_norm=spectral_norm)
        width = [base_channels * min(2**n, 8) for n in range(num_conv + 1)]
        # No block around the last convolution: it has none in mmgen, and that names its weights.
        last = nn.Conv2d(width[-1], 1, 4, padding=1)
        if spectral_norm:
            add_spectral_norm(last)
        self.model = nn.Sequential(
            ConvBlock(in_channels, width[0], stride=2, **conv),
            *(
                ConvBlock(
                    width[n - 1], width[n], stride=2 if n < num_conv else 1, norm=norm, **conv
                )
                for n in range(1, num_conv + 1)
            ),
            last,
        )
        self.init_weights()


@MODULES.register_module()
class PixelDiscriminator(Discriminator):
    """The 1 x 1 PatchGAN of pix2pix: judges every pixel by its colour alone.

    Its logits are (N, 1, H, W).

    Args:
        in_channels: Channels of the images it judges.
        base_channels: Channels after the first convolution.
        norm: 'instance' | 'instance_affine' | 'batch' | 'none'.
        spectral_norm: Spectral norm on every convolution.
        init_cfg: `dict(type='normal'|'xavier'|'kaiming'|'orthogonal', gain=0.02)`.
    """

    def __init__(
        self,
        in_channels: int = 3,
        base_channels: int = 64,
        norm: str = "instance",
        spectral_norm: bool = False,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        conv = dict(kernel_size=1, spectral_norm=spectral_norm)
        self.model = nn.Sequential(
            ConvBlock(in_channels, base_channels, activation="leaky_relu", **conv),
            ConvBlock(base_channels, 2 * base_channels, norm=norm, activation="leaky_relu", **conv),
            ConvBlock(2 * base_channels, 1, activation=None, **conv),
        )
        self.init_weights()


@MODULES.register_module()
class MultiscaleDiscriminator(Network):
    """PatchGANs at full, half and so on of the size: the coarse ones see more of the picture.

    Each loss is the mean over the scales (pix2pixHD: Wang et al. 2018,
    https://arxiv.org/abs/1711.11585, section 3.2).

    Args:
        num_scales: Networks; each sees half of the size that the one before sees.
        init_cfg: Of each.
        **patch: Arguments of PatchDiscriminator.
    """

    def __init__(self, num_scales: int = 2, init_cfg: dict | None = None, **patch):
        super().__init__(init_cfg)
        if num_scales < 1:
            raise ValueError(f"num_scales={num_scales}; expected at least 1, as 2")
        self.scales = nn.ModuleList(
            PatchDiscriminator(init_cfg=init_cfg, **patch) for _ in range(num_scales)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Judge x (N, in_channels, H, W) in [-1, 1]: logits (N, 1, H', W') of each scale."""
        return [network(y) for network, y in zip(self.scales, self._halved(x), strict=True)]

    def features(self, x: Tensor) -> list[Tensor]:
        """What the last convolution of each scale reads of x."""
        pairs = zip(self.scales, self._halved(x), strict=True)
        return [features for network, y in pairs for features in network.features(y)]

    def _halved(self, x: Tensor) -> Iterator[Tensor]:
        for network in self.scales:
            yield x
            if network is not self.scales[-1]:
                x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
