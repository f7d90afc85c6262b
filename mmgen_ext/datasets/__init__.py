"""From files to batches."""

from . import transforms
from .loader import build_loader
from .unpaired import UnpairedImageDataset

__all__ = ["UnpairedImageDataset", "build_loader", "transforms"]
