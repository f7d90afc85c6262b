"""The models that the web app offers, and the few of them that are in memory."""

from __future__ import annotations

import contextvars
import importlib.util
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from app_texts import Refused

from mmgen_ext.datasets.images import cache_dir
from mmgen_ext.inference.sheet import STYLE_SUFFIXES
from mmgen_ext.inference.translator import PRECISIONS, Translator
from mmgen_ext.inference.zoo import find_entry, find_weights, read_table

# What a domain is called if nobody has named it.
UNNAMED = ("A", "B", "input")
KEPT = 4  # models in memory
DEPTH = 3  # folders below the one that is named
# Whether whoever asked for what this thread computes wants it no more.
stopped: contextvars.ContextVar[threading.Event | None] = contextvars.ContextVar(
    "stopped", default=None
)


class Cancelled(Exception):
    """The user has cancelled, or closed the page."""


def check(*_: object) -> None:
    """Raise Cancelled if what this thread computes is wanted no more."""
    event = stopped.get()
    if event is not None and event.is_set():
        raise Cancelled


class SharedTranslator(Translator):
    """A Translator for several threads, that stops between two layers of its network."""

    def __init__(self, *args: object, **options: object):
        super().__init__(*args, **options)
        # In parts of a picture a network carries that picture's statistics.
        self._alone = threading.Lock()
        for network in self.generators.values():
            for module in network.modules():
                module.register_forward_pre_hook(check)

    def batch(self, *args: object, **options: object) -> list[np.ndarray]:
        """See Translator.batch.

        Raises:
            Cancelled: If it is wanted no more.
        """
        check()
        with self._alone:
            return super().batch(*args, **options)


class Models:
    """Trained models by the names that the page shows.

    Args:
        work_dirs: Folder of runs, whose checkpoints are offered.
        styles: Folders of published files.
        device: See Translator.
    """

    def __init__(self, work_dirs: Path, styles: list[Path], device: str):
        self._work_dirs, self._styles, self._device = work_dirs, styles, device
        self._loaded: OrderedDict[tuple, SharedTranslator] = OrderedDict()
        self._alone = threading.Lock()

    def found(self) -> dict[str, Path]:
        """Name to file, as they are now: published ones, those of packages, those of runs."""
        found: dict[str, Path] = {}
        for folder in self._styles:
            for path in model_files(folder):
                name = path.relative_to(folder).as_posix()
                found.setdefault(name if name not in found else f"{folder.name}/{name}", path)
        found |= {name: path for name, path in installed() if name not in found}
        for path in model_files(self._work_dirs):
            found.setdefault(path.relative_to(self._work_dirs).as_posix(), path)
        return {name: path for name, path in found.items() if name.isprintable()}

    def preferred(self) -> str | None:
        """What to begin with: the newest training's latest weights, or else the first of all."""
        found = self.found()
        runs = {
            name: path.stat().st_mtime
            for name, path in found.items()
            if path.name == "latest.pth" and self._work_dirs in path.parents
        }
        return max(runs, key=runs.get) if runs else next(iter(found), None)

    def styles(self) -> list[str]:
        """Names of the models that are one style each: of a run its best or latest weights."""
        found = self.found()
        best: dict[Path, str] = {}
        for name, path in found.items():
            if path.name == "latest.pth" or path.match("best_*.pth"):
                best[path.parent] = name  # The best come after the latest.
        kept = set(best.values())
        other = ("latest.pth", "best_*.pth", "iter_*.pth")
        return [n for n, p in found.items() if n in kept or not any(p.match(o) for o in other)]

    def load(self, name: object, precision: object = "auto") -> SharedTranslator:
        """The model of a name, which stays in memory for a while.

        Raises:
            Refused: If there is none, or it cannot be used.
        """
        path = self.found().get(name) if isinstance(name, str) else None
        if path is None:
            raise Refused("unknown_model", model=str(name)[:80])
        if not isinstance(precision, str) or precision not in PRECISIONS:
            raise Refused("bad_option", value=str(precision)[:80], choices=", ".join(PRECISIONS))
        try:
            state = path.stat()
            key = (path, state.st_mtime_ns, state.st_size, PRECISIONS[precision])
            # The table says which domains a file is of that does not say it itself.
            given = name if find_entry(name) else path
            with self._alone:
                return self._load(key, given, path.suffix, precision)
        except (ValueError, OSError, RuntimeError) as error:
            reason = str(error).replace(str(path), name)
            raise Refused("unusable", model=name, reason=reason) from None

    def _load(self, key: tuple, given: str | Path, suffix: str, precision: str) -> SharedTranslator:
        if key not in self._loaded:
            while len(self._loaded) >= KEPT:
                self._loaded.popitem(last=False)
            precision = "auto" if suffix.lower() == ".onnx" else precision
            self._loaded[key] = SharedTranslator(None, given, self._device, precision)
        self._loaded.move_to_end(key)
        return self._loaded[key]


def directions(translator: Translator) -> list[tuple[str, str]]:
    """(words, target domain) of what a model can do, its default first."""
    domains = list(translator.cfg.model.get("domains") or translator.domains)
    found = []
    for to in sorted(translator.domains, key=lambda domain: domain != translator.default_domain):
        others = [domain for domain in domains if domain != to]
        # "A → vintage" would say no more than "→ vintage".
        known = len(others) == 1 and (others[0] not in UNNAMED or to in UNNAMED)
        found.append((f"{others[0]} → {to}" if known else f"→ {to}", to))
    return found


def installed() -> Iterator[tuple[str, Path]]:
    """Trained weights of the table that need no network: of packages, or fetched before."""
    for entry in read_table():
        if "Package" in entry:
            here = importlib.util.find_spec(entry["Package"]) is not None
        else:
            here = (cache_dir() / "weights" / entry["Weights"].rpartition("/")[2]).is_file()
        if here:
            try:
                yield entry["Name"], find_weights(entry["Name"])
            except (ValueError, OSError):
                continue  # another version of the package, or half a file


def model_files(folder: Path) -> list[Path]:
    """Files of models in a folder and a few levels below, those of one folder as people look.

    The latest weights of a run come first, then the best, then from the newest to the oldest.
    """
    found = []
    for parent, folders, names in os.walk(folder):
        depth = len(Path(parent).relative_to(folder).parts)
        folders[:] = sorted(name for name in folders if name[0] != ".") if depth < DEPTH else []
        paths = [Path(parent, name) for name in names if name[0] != "."]
        found += sorted((p for p in paths if p.suffix.lower() in STYLE_SUFFIXES), key=_order)
    return found


def _order(path: Path) -> tuple:
    number = re.fullmatch(r"iter_(\d+)", path.stem)
    kind = 0 if path.name == "latest.pth" else 1 if path.match("best_*.pth") else 2
    return (kind, -int(number[1]) if number else 0, path.name.casefold())
