"""Networks, losses, CycleGAN and CUT."""

from .cut import CUT
from .cyclegan import CycleGAN
from .discriminators import MultiscaleDiscriminator, PatchDiscriminator, PixelDiscriminator
from .distill import Distiller
from .generators import ResnetGenerator, UnetGenerator
from .image_pool import ImagePool
from .losses import GANLoss
from .mobile import MobileResnetGenerator
from .projected import ProjectedDiscriminator

__all__ = [
    "CUT",
    "CycleGAN",
    "Distiller",
    "GANLoss",
    "ImagePool",
    "MobileResnetGenerator",
    "MultiscaleDiscriminator",
    "PatchDiscriminator",
    "PixelDiscriminator",
    "ProjectedDiscriminator",
    "ResnetGenerator",
    "UnetGenerator",
]
