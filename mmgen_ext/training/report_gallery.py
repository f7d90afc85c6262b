"""The pictures of a run, small and few enough for a page."""

from __future__ import annotations

import base64
import functools
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from .sheet import KINDS

SNAPSHOTS = 24
PICTURES = 8  # of a direction in a snapshot
# Longest side of a picture and WebP's quality: the first with which the gallery fits.
SIZES = ((256, 80), (256, 70), (224, 70), (192, 70), (160, 66), (128, 60), (96, 50), (64, 40))
CHARACTERS = 3_200_000  # of all pictures


def find_sheets(
    work_dir: Path, iteration: int, start: int = 0, began: float = 0.0
) -> list[tuple[int, Path, int]]:
    """Iteration, path and time of change of at most SNAPSHOTS sheets, with the first and the last.

    Every second, fourth, ... stays, not ever others: what was made small for the last report can
    be taken again for the next.
    """
    sheets = []
    for path in work_dir.glob("training_samples/iter_*.png"):
        number = re.fullmatch(r"iter_(\d+)\.png", path.name)
        if number and int(number[1]) <= iteration:
            changed = path.stat().st_mtime_ns
            # Beyond the start and older than it: of a former run in this folder.
            if int(number[1]) < start or changed >= began * 1e9:
                sheets.append((int(number[1]), path, changed))
    sheets = sorted(sheet for sheet in sheets if read_layout(*sheet[1:]))
    step = 1
    while len(sheets) > 1 + step * (SNAPSHOTS - 1):
        step *= 2
    return sheets[:-1:step] + sheets[-1:]


def gallery(sheets: Sequence[tuple[int, Path, int]]) -> dict:
    """Pictures of the run, as large as their budget allows.

    Returns:
        `images`, each once, as data URIs, and `snapshots` of `iter` and `rows`: `source`, `target`
        and the place in `images` of `real`, `fake` and, where they were made, `cycle`, `identity`.
    """
    found: dict = dict(images=[], snapshots=[])
    for size in SIZES if sheets else ():
        last = small_rows(*sheets[-1][1:], size)
        # Test pictures are the same in every sheet, translations are not.
        new = sum(len(row[key]) for row in last for key in KINDS[1:] if key in row)
        if new * len(sheets) > CHARACTERS and size != SIZES[-1]:
            continue
        places: dict[str, int] = {}
        snapshots = []
        for number, *sheet in sheets:
            rows = [
                {k: places.setdefault(v, len(places)) if k in KINDS else v for k, v in row.items()}
                for row in small_rows(*sheet, size)
            ]
            if rows:
                snapshots.append(dict(iter=number, rows=rows))
        found = dict(images=list(places), snapshots=snapshots)
        if sum(map(len, places)) <= CHARACTERS:
            break
    return found


@functools.lru_cache(maxsize=4 * SNAPSHOTS)
def small_rows(path: Path, changed: int, size: tuple[int, int]) -> tuple[dict[str, str], ...]:
    """The rows of a sheet with data URIs; none if it cannot be read."""
    counts: dict[tuple, int] = {}
    rows = []
    try:
        with Image.open(path) as file:
            sheet = file.convert("RGB")
        for row in json.loads(read_layout(path, changed))["rows"]:
            direction = dict(source=str(row["source"]), target=str(row["target"]))
            key = tuple(direction.values())
            counts[key] = counts.get(key, 0) + 1
            if counts[key] <= PICTURES:
                boxes = {name: row[name] for name in KINDS if name in KINDS[:2] or row.get(name)}
                rows.append(direction | {n: data_uri(sheet, n, b, *size) for n, b in boxes.items()})
    except (OSError, SyntaxError, ValueError, KeyError, TypeError):
        return ()  # a picture of another program, or half of one
    return tuple(rows)


def data_uri(sheet: Image.Image, name: str, box: Sequence[int], side: int, quality: int) -> str:
    """A cell of a sheet as WebP; half as large if it is only looked at in passing."""
    x, y, width, height = box
    cell = sheet.crop((x, y, x + width, y + height))
    side = side if name in KINDS[:2] else side // 2
    cell.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    cell.save(file, "WEBP", quality=quality, method=2)  # 4, the default, takes eight times as long
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


@functools.lru_cache(maxsize=10_000)
def read_layout(path: Path, changed: int) -> str | None:
    """Where the pictures lie in a sheet, as JSON; None if it does not say."""
    try:
        with Image.open(path) as file:
            return file.info.get("layout")  # not `text`: that would decode the picture
    except OSError:
        return None
