"""Text on pictures, in any script that a font of this machine knows."""

from __future__ import annotations

import functools
from importlib.metadata import PackageNotFoundError, distribution

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont
# Pillow finds them by name where Windows, macOS and Linux keep their fonts.
SYSTEM_FONTS = (
    *("msyh.ttc", "simsun.ttc", "meiryo.ttc", "malgun.ttf", "arialuni.ttf"),
    *("PingFang.ttc", "Hiragino Sans GB.ttc", "STHeiti Light.ttc", "Arial Unicode.ttf"),
    *("NotoSansCJK-Regular.ttc", "NotoSansSC-Regular.otf", "SourceHanSansSC-Regular.otf"),
    *("wqy-microhei.ttc", "wqy-zenhei.ttc", "DroidSansFallbackFull.ttf", "uming.ttc"),
)


def text_lines(text: str, width: int, size: int) -> np.ndarray:
    """Draw text black on white, wrapped at `width`.

    Args:
        text: What to write; characters that no font here knows become question marks.
        width: Of the result, in pixels.
        size: Height of the letters, in pixels.

    Returns:
        uint8 (H, width, 3), as high as the lines need.
    """
    font = pick_font(text, size)
    text = "".join(c if c.isspace() or _knows(font, c) else "?" for c in text)
    lines = _wrap(text, font, width)
    step = round(1.4 * size)
    page = Image.new("L", (width, step * len(lines)), "white")
    draw = ImageDraw.Draw(page)
    for i, line in enumerate(lines):
        draw.text((0, i * step), line, "black", font)
    return np.repeat(np.asarray(page)[:, :, None], 3, axis=2)


def pick_font(text: str, size: int) -> Font:
    """The first font that knows every character of `text`, else the one that knows most."""
    best, most = None, -1
    for name in font_names():
        font = _load(name, size)
        known = sum(_knows(font, character) for character in text) if font else -1
        if known > most:
            best, most = font, known
        if known == len(text):
            break
    return best


def font_names() -> list[str | None]:
    """Candidates, best first; None is Pillow's own, which knows little more than ASCII."""
    try:
        # mmcls brings matplotlib, whose wheel carries DejaVu: Latin, Greek and Cyrillic.
        inside = "matplotlib/mpl-data/fonts/ttf/DejaVuSans.ttf"
        first = [str(distribution("matplotlib").locate_file(inside))]
    except PackageNotFoundError:
        first = []
    return [*first, *SYSTEM_FONTS, None]


@functools.cache
def _load(name: str | None, size: int) -> Font | None:
    try:
        return ImageFont.truetype(name, size) if name else ImageFont.load_default(size)
    except OSError:
        return None


def _knows(font: Font, character: str) -> bool:
    # What a font does not know it draws as it draws this, which is no character.
    return bytes(font.getmask(character)) != bytes(font.getmask("\uffff"))


def shortened(text: str, width: int, size: int) -> str:
    """Text that fits into one line of text_lines, with an ellipsis for what does not."""
    font = pick_font(text, size)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"


def _wrap(text: str, font: Font, width: int) -> list[str]:
    """Lines no wider than `width`: broken at spaces, or anywhere, as names of files have few."""
    lines = [""]
    for character in text:
        line = lines[-1] + character
        if not lines[-1] or font.getlength(line) <= width:
            lines[-1] = line
            continue
        head, space, tail = line.rpartition(" ")
        lines[-1:] = [head, tail] if space and head.strip() else [lines[-1], character]
    return [line.strip() for line in lines]
