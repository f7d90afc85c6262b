"""Networks, losses and CycleGAN itself."""

from .cyclegan import CycleGAN
from .discriminators import PatchDiscriminator, PixelDiscriminator
from .generators import ResnetGenerator, UnetGenerator
from .image_pool import ImagePool
from .losses import GANLoss

__all__ = [
    "CycleGAN",
    "GANLoss",
    "ImagePool",
    "PatchDiscriminator",
    "PixelDiscriminator",
    "ResnetGenerator",
    "UnetGenerator",
]
