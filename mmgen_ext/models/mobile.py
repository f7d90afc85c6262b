"""A light generator for videos on CPUs: the paper's ResNet with separable convolutions inside."""

from __future__ import annotations

from ..registry import MODULES
from .generators import ResidualBlock, ResnetGenerator
from .layers import ConvBlock


class MobileResidualBlock(ResidualBlock):
    """A residual block of separable convolutions: depthwise 3x3, norm, then 1x1 over the channels.

    Of 256 channels a convolution takes 9 times fewer multiplications (Howard et al. 2017,
    MobileNets, https://arxiv.org/abs/1704.04861).
    """

    @staticmethod
    def convolution(channels: int, activation: str | None, **kwargs) -> list[ConvBlock]:
        """The two parts of one convolution; `kwargs` are ConvBlock's."""
        own = dict(kernel_size=3, padding=1, groups=channels, activation=None)
        return [
            ConvBlock(channels, channels, **own, **kwargs),
            ConvBlock(channels, channels, 1, norm=kwargs["norm"], activation=activation),
        ]


@MODULES.register_module()
class MobileResnetGenerator(ResnetGenerator):
    """The generator of GAN Compression (Li et al. 2020, https://arxiv.org/abs/2003.08936).

    ResnetGenerator's arguments and layers, whose residual blocks are MobileResidualBlocks. With
    fewer channels it is the student of a Distiller.
    """

    block_type = MobileResidualBlock
