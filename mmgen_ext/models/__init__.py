"""Networks, losses and CycleGAN itself."""

from .cyclegan import CycleGAN
from .discriminators import MultiscaleDiscriminator, PatchDiscriminator, PixelDiscriminator
from .generators import ResnetGenerator, UnetGenerator
from .image_pool import ImagePool
from .losses import GANLoss

__all__ = [
    "CycleGAN",
    "GANLoss",
    "ImagePool",
    "MultiscaleDiscriminator",
    "PatchDiscriminator",
    "PixelDiscriminator",
    "ResnetGenerator",
    "UnetGenerator",
]
