"""Many pictures through a Translator: reading, translating, writing, and what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from ..datasets.images import read_image
from ..pictures import side_by_side, write_image
from .media import find_inputs, is_image_name, output_path
from .translator import Translator


def plan(inputs: Sequence[str], out: Path) -> dict[Path, Path]:
    """Which picture goes where: input to output.

    Raises:
        FileNotFoundError: If an input matches nothing.
        ValueError: If two would be written to one file, or one over its own input.
    """
    found = find_inputs(inputs)
    as_file = is_image_name(out) and not out.is_dir()
    if as_file and len(found) > 1:
        raise ValueError(
            f"--out {out} is one file, but there are {len(found)} images; name a folder"
        )
    jobs: dict[Path, Path] = {}
    taken: dict[Path, Path] = {}
    for source, relative in found:
        target = output_path(out, relative, as_file)
        if target in taken:
            raise ValueError(
                f"{taken[target]} and {source} would both be written to {target}; "
                f"translate them into different folders"
            )
        if target.resolve() == source.resolve():
            raise ValueError(f"--out would overwrite the input {source}; name another place")
        taken[target] = source
        jobs[source] = target
    return jobs


def translate_files(
    translator: Translator,
    jobs: dict[Path, Path],
    to: str | None = None,
    size: int | None = None,
    batch_size: int = 1,
    compare: bool = False,
) -> dict[Path, str]:
    """Translate picture files; one that fails does not stop the others.

    Args:
        translator: Built already.
        jobs: Input to output, as `plan` returns.
        to: Target domain; None for the translator's default.
        size: Short side at which to work; None for each picture's own.
        batch_size: Pictures of one size that go through the network together.
        compare: Whether to write input and output side by side.

    Returns:
        What failed: input to reason.
    """
    translator.network(to)  # An unknown domain is no fault of a picture.
    failed: dict[Path, str] = {}
    with tqdm(total=len(jobs), unit="image", disable=not sys.stderr.isatty()) as bar:
        for batch in _batches(list(jobs), batch_size):
            images = {}
            for source in batch:
                try:
                    images[source] = read_image(source, translator.channels(to))
                except (ValueError, OSError) as error:
                    failed[source] = str(error)
            results = translator.batch(list(images.values()), to, size)
            for (source, image), result in zip(images.items(), results, strict=True):
                try:
                    jobs[source].parent.mkdir(parents=True, exist_ok=True)
                    write_image(jobs[source], side_by_side(image, result) if compare else result)
                except (ValueError, OSError) as error:
                    failed[source] = f"cannot write {jobs[source]}: {error}"
            bar.update(len(batch))
    return failed


def _batches(items: list[Path], size: int) -> Iterator[list[Path]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
