"""A picture, a folder or a video in one line of Python."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mmcv import Config

from .inference.translate import translate_files
from .inference.translator import Translator

__all__ = ["Translator", "translate"]


def translate(
    checkpoint: str | os.PathLike | Translator,
    inputs: str | os.PathLike | Sequence[str | os.PathLike],
    out: str | os.PathLike,
    to: str | None = None,
    config: str | os.PathLike | Config | None = None,
    device: str = "auto",
    precision: str = "auto",
    **options,
) -> list[Path]:
    """Translate pictures, folders and videos to files.

    Args:
        checkpoint: Whatever the Translator reads, or a Translator that is built already.
        inputs: A file, folder or pattern, or several.
        out: Folder, or a file for one input.
        to: Target domain; None for the model's default.
        config: See Translator.
        device: See Translator.
        precision: See Translator.
        **options: More of translate_files' and translate_video's: `size`, `compare`, `overwrite`,
            `start`, `end`, `fps`, `stabilise`, ...

    Returns:
        The translations, also those that were there before.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If the checkpoint cannot be used, or after all is done: with what failed.
    """
    if not isinstance(checkpoint, Translator):
        checkpoint = Translator(config, checkpoint, device, precision)
    inputs = [inputs] if isinstance(inputs, (str, os.PathLike)) else inputs
    report = translate_files(checkpoint, inputs, out, to, **options)
    if report.failed:
        raise ValueError("\n".join(report.failed.values()))
    return [*report.kept, *report.done]
