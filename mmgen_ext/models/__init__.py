"""Networks, losses, CycleGAN and CUT."""

from .cut import CUT
from .cyclegan import CycleGAN
from .discriminators import PatchDiscriminator, PixelDiscriminator
from .generators import ResnetGenerator, UnetGenerator
from .image_pool import ImagePool
from .losses import GANLoss

__all__ = [
    "CUT",
    "CycleGAN",
    "GANLoss",
    "ImagePool",
    "PatchDiscriminator",
    "PixelDiscriminator",
    "ResnetGenerator",
    "UnetGenerator",
]
