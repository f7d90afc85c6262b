"""A trained generator as a part that a config names: what others are trained with."""

from __future__ import annotations

import os

import numpy as np
from torch import nn

from ..registry import MODULES
from .translator import Translator


@MODULES.register_module(name="Teacher")
def load_teacher(
    checkpoint: str | os.PathLike, to: str | None = None, weights: str = "auto"
) -> nn.Module:
    """The frozen generator of a checkpoint, as the Translator applies it.

    Args:
        checkpoint: Whatever the Translator reads with the config `auto`.
        to: Domain that it makes; None for its default.
        weights: 'auto' | 'raw' | 'ema'.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, or has no such domain or other pictures.
    """
    translator = Translator(None, checkpoint, device="cpu", weights=weights)
    half = np.float32(0.5)
    if translator.to_rgb or not all(np.all(v == half) for v in (translator.mean, translator.std)):
        raise ValueError(
            f"teacher {checkpoint} takes pictures that are normalised otherwise than to BGR in "
            f"[-1, 1]; train it with a config of mmgen_ext's"
        )
    return translator.network(to).eval()
