"""Which pictures are compared: test and training folders of a config, and their sizes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmcv import Config

from ..config import is_ours
from ..datasets.images import list_images, read_image
from ..datasets.unpaired import find_data_root
from ..pictures import resize_image

DEFAULT_SIZE = 256


@dataclass(frozen=True)
class Preparation:
    """How sources and references are sized before they are translated and compared.

    Attributes:
        size: Side of the square they become, or their short side; None to leave them as they are.
        keep_ratio: Whether `size` is the short side.
    """

    size: int | None = DEFAULT_SIZE
    keep_ratio: bool = False

    @classmethod
    def of(cls, cfg: Config) -> Preparation:
        """That of a config's test pipeline, ours or mmgen's; the paper's 256 x 256 without one."""
        part = (cfg.get("data") or {}).get("test") or {}
        pipeline = part.get("pipeline") or cfg.get("test_pipeline")
        for step in pipeline or []:
            if str(step.get("type")).rpartition(".")[2] == "Resize":
                size = step.get("size", step.get("scale"))
                size = max(size) if isinstance(size, (list, tuple)) else size
                if isinstance(size, int) and size > 0:  # not a factor
                    return cls(size, bool(step.get("keep_ratio", False)))
        return cls(None) if pipeline else cls()

    def __str__(self) -> str:
        if self.size is None:
            return "as they are"
        return f"short side {self.size}" if self.keep_ratio else f"{self.size} x {self.size}"

    def read(self, path: Path, channels: int = 3) -> np.ndarray:
        """A file's picture: uint8 (H, W, channels), BGR if there are 3."""
        image = read_image(path, channels)
        if self.size is None:
            return image
        height, width = image.shape[:2]
        scale = self.size / min(height, width)
        h, w = (round(height * scale), round(width * scale)) if self.keep_ratio else [self.size] * 2
        # Without aliasing where it becomes smaller.
        return resize_image(image, h, w, "area" if h * w < height * width else "bicubic")

    def read_all(self, paths: Sequence[Path], channels: int = 3) -> Iterator[np.ndarray]:
        """One after the other, so that no more than one is in memory."""
        return (self.read(path, channels) for path in paths)


def find_images(
    cfg: Config,
    split: str,
    data_root: str | os.PathLike | None = None,
    domains: Sequence[str] | None = None,
) -> dict[str, list[Path]]:
    """The pictures of a split by domain; none where there is no folder or nothing in it.

    Args:
        cfg: Config, ours or mmgen's.
        split: 'test' | 'train'.
        data_root: Folder with testA, testB and so on; None for the config's.
        domains: Names of A and B; None for the config's.
    """
    data = cfg.get("data") or {}
    parts = [p for p in (data.get(split), data.get("train"), data.get("test")) if p]
    root = data_root or next(
        (p[key] for p in parts for key in ("data_root", "dataroot") if p.get(key)),
        cfg.get("data_root"),
    )
    found = {}
    for domain, letter in zip(domains or _domains(cfg, parts), "AB", strict=False):
        folder = f"{split}{letter}"
        try:
            found[domain] = list_images(find_data_root(root, [folder]) / folder)
        except (FileNotFoundError, ValueError):
            found[domain] = []
    return found


def _domains(cfg: Config, parts: Sequence[Mapping]) -> Sequence[str]:
    """The names of A and B."""
    for part in parts:
        if part.get("domain_a"):  # mmgen's
            return part["domain_a"], part["domain_b"]
    model = cfg.model
    if is_ours(model):
        return model.get("domains", ("a", "b"))
    return model.get("reachable_domains") or ()
