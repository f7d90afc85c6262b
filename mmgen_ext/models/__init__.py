"""Networks, losses, CycleGAN and CUT."""

from .cut import CUT
from .cyclegan import CycleGAN
from .discriminators import MultiscaleDiscriminator, PatchDiscriminator, PixelDiscriminator
from .generators import ResnetGenerator, UnetGenerator
from .image_pool import ImagePool
from .losses import GANLoss

__all__ = [
    "CUT",
    "CycleGAN",
    "GANLoss",
    "ImagePool",
    "MultiscaleDiscriminator",
    "PatchDiscriminator",
    "PixelDiscriminator",
    "ResnetGenerator",
    "UnetGenerator",
]
