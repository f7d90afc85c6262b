"""Hooks that configs name; registered in mmcv's HOOKS."""

from .gallery import GalleryHook
from .lr import ConstantThenLinearLrUpdaterHook
from .progress import ProgressHook

__all__ = ["ConstantThenLinearLrUpdaterHook", "GalleryHook", "ProgressHook"]
