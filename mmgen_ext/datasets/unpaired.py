"""Two folders of pictures that do not belong together in pairs."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from mmcv.utils import print_log
from mmgen.datasets.pipelines import Compose
from torch.utils.data import Dataset

from ..files import tool
from ..registry import DATASETS
from ..words import counted
from .cache import CachedPixels, cached_pixels, fixed_steps
from .images import list_broken, list_images, scan_images
from .known import how_to_get
from .stream import permuted_index, sample_generator, seeded_globals


def find_data_root(data_root: str | os.PathLike | None, folders: Sequence[str]) -> Path:
    """The folder that holds `folders`: data_root, or the one folder inside it that archives add.

    Raises:
        FileNotFoundError: If neither does.
    """
    if data_root is None:
        raise ValueError("no data_root: name the folder of your pictures, data_root='data/NAME'")
    root = Path(data_root)
    for candidate in (root, root / root.name, root.parent):
        inside = candidate != root.parent or root.name == root.parent.name
        if inside and all((candidate / folder).is_dir() for folder in folders):
            return candidate
    found = sorted(p.name for p in root.iterdir() if p.is_dir()) if root.is_dir() else None
    got = f"it holds {', '.join(found) or 'no folders'}" if root.is_dir() else "it does not exist"
    raise FileNotFoundError(
        f"data_root {root}: expected the folders {' and '.join(folders)} in it, but {got}. "
        f"{how_to_make(root)}, or set --cfg-options data_root=PATH"
    )


def how_to_make(root: Path) -> str:
    """What to do about a data set that is not there."""
    known = how_to_get(root)
    return (
        f"Get it with: {known}"
        if known
        else (
            f"Put your pictures there, or make it of two folders with: "
            f"{tool('prepare_data')} own A_DIR B_DIR {root}"
        )
    )


def _list_folder(folder: Path) -> list[Path]:
    try:
        return list_images(folder)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{error}. Run: {tool('prepare_data')} check {folder.parent}"
        ) from None


@DATASETS.register_module()
class UnpairedImageDataset(Dataset):
    """Pictures of domain A in <phase>A and of domain B in <phase>B, each in its own random order.

    In training, item n is sample number n of an endless stream: a pure function of (seed, n), in
    which every picture of both domains is seen once per pass over its domain. In testing, item n
    is the n-th picture of both, around again where one domain has fewer.

    Args:
        data_root: Folder with trainA and trainB, or testA and testB.
        domains: Names of A and B.
        pipeline: Transforms of one picture (key `img`); the same for both domains.
        test_mode: Whether to take the test folders in order, without random numbers.
        seed: Of the stream.
        channels: Channels of the pictures: a number, or one by domain.
        cache: Whether decoded and resized pictures are kept in a memory-mapped file, made once;
            see cache.cached_pixels.
        only: The one domain that is read, of which a sample then is; None for both.
        on_error: What broken pictures do at the start: 'raise' lists them all, 'skip' leaves them
            out and logs each.
    """

    def __init__(
        self,
        data_root: str | os.PathLike,
        domains: Sequence[str],
        pipeline: Sequence[dict],
        test_mode: bool = False,
        seed: int = 0,
        channels: int | Mapping[str, int] = 3,
        on_error: str = "raise",
        cache: bool = False,
        only: str | None = None,
    ):
        if on_error not in ("raise", "skip"):
            raise ValueError(f"on_error={on_error!r} is not known; choose one of raise, skip")
        folders = dict(zip(domains, "AB", strict=True))
        if only not in (None, *folders):
            raise ValueError(f"only={only!r} is none of the domains {', '.join(folders)}")
        phase = "test" if test_mode else "train"
        self.folders = {d: phase + letter for d, letter in folders.items() if only in (None, d)}
        self.domains = list(self.folders)
        self.channels = (
            dict(channels) if isinstance(channels, Mapping) else dict.fromkeys(domains, channels)
        )
        self.data_root = find_data_root(data_root, list(self.folders.values()))
        self.test_mode, self.seed = test_mode, seed
        self.gone: set[Path] = set()
        self.pipeline = Compose(pipeline)
        self.paths = {d: _list_folder(self.data_root / name) for d, name in self.folders.items()}
        if not test_mode:
            self._drop_broken(on_error)
        self.pixels: dict[str, CachedPixels] = {}
        if cache:
            self._use_cache()

    def _drop_broken(self, on_error: str) -> None:
        """Scan both folders; list what is broken, and what also stands among the test pictures."""
        broken = []
        for domain, folder in self.folders.items():
            paths, channels = self.paths[domain], self.channels[domain]
            checks = scan_images(paths, channels)
            broken += [(p, c["error"]) for p, c in zip(paths, checks, strict=True) if c["error"]]
            good = {p: c["digest"] for p, c in zip(paths, checks, strict=True) if not c["error"]}
            self.paths[domain] = list(good)
            tested = self.data_root / folder.replace("train", "test")
            _warn_of_leaks(good, tested, channels)
        if not broken:
            return
        what = list_broken(broken)
        if on_error == "raise":
            raise ValueError(
                f"{what}\nRemove or replace them, or leave them out with "
                f"--cfg-options data.train.on_error=skip. All that is wrong: "
                f"{tool('prepare_data')} check {self.data_root}"
            )
        print_log(f"left out {what}", "mmgen", logging.WARNING)
        for domain, paths in self.paths.items():
            if not paths:
                raise ValueError(f"no readable image is left in domain {domain!r}")

    def _use_cache(self) -> None:
        """Let the pipeline begin after what is the same each time."""
        steps = self.pipeline.transforms
        number = fixed_steps(steps)
        for domain, paths in self.paths.items():
            self.pixels[domain] = cached_pixels(paths, steps[:number], self.channels[domain])
        self.pipeline.transforms = steps[number:]

    def __len__(self) -> int:
        """Pictures in the larger domain: the samples of one pass over it."""
        return max(map(len, self.paths.values()))

    def __getitem__(self, sample: int) -> dict:
        """Return `img_<domain>` (float32 (C, H, W) in [-1, 1]) and `img_<domain>_path` of both."""
        if self.test_mode:
            if not 0 <= sample < len(self):
                raise IndexError(sample)
            return self._load({d: p[sample % len(p)] for d, p in self.paths.items()}, None)
        chosen = {
            domain: self._choose(domain, stream, sample) for stream, domain in enumerate(self.paths)
        }
        rng = sample_generator(self.seed, sample)
        with seeded_globals(rng):
            return self._load(chosen, rng)

    def _choose(self, domain: str, stream: int, sample: int) -> Path:
        """The picture of a sample; for one that was deleted during training, the next there is."""
        paths = self.paths[domain]
        for number in range(sample, sample + len(paths)):
            path = paths[permuted_index(self.seed, stream, number, len(paths))]
            if path.exists():
                return path
            if path not in self.gone:
                self.gone.add(path)
                text = f"{path} is not there any more: the next picture takes its place"
                print_log(text, "mmgen", logging.WARNING)
        raise FileNotFoundError(f"no picture of domain {domain!r} is there any more, as {path}")

    def _load(self, chosen: dict[str, Path], rng: np.random.Generator | None) -> dict:
        sample = {}
        for domain, path in chosen.items():
            entry = {"img_path": str(path), "channels": self.channels[domain]}
            if rng is not None:
                entry["rng"] = rng
            if self.pixels:
                entry["img"] = self.pixels[domain][path]
            sample[f"img_{domain}"] = self.pipeline(entry)["img"]
            sample[f"img_{domain}_path"] = str(path)
        return sample


def _warn_of_leaks(train: dict[Path, str], test_folder: Path, channels: int) -> None:
    """Log the pictures of a domain that stand both in training and in testing."""
    try:
        test_paths = list_images(test_folder)
    except FileNotFoundError:
        return
    by_digest = {digest: path for path, digest in train.items()}
    checks = scan_images(test_paths, channels)
    pairs = [
        (by_digest[check["digest"]], path)
        for path, check in zip(test_paths, checks, strict=True)
        if check["digest"] in by_digest
    ]
    if pairs:
        lines = "".join(f"\n  {a} = {b}" for a, b in pairs[:20])
        more = f"\n  and {len(pairs) - 20} more" if len(pairs) > 20 else ""
        print_log(
            f"also trained on: {counted(len(pairs), 'test picture')} of {test_folder}. Tests on "
            f"what was trained on say nothing:{lines}{more}",
            "mmgen",
            logging.WARNING,
        )
