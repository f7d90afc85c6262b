"""From a config file to a resolved, checked mmcv Config. A config is Python and runs as code."""

from __future__ import annotations

import ast
import difflib
import os
import tempfile
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path

from mmcv import Config
from mmcv.runner import HOOKS, OPTIMIZERS
from mmcv.utils import Registry, import_modules_from_strings
from mmgen.datasets.builder import DATASETS, PIPELINES
from mmgen.models.builder import MODELS, MODULES

from . import registry


def load_config(path: str | os.PathLike, overrides: dict | None = None) -> Config:
    """Read a config file, ours or mmgen's, and merge `overrides` (`--cfg-options`) into it.

    Returns:
        The config with domains and data root filled in where the data sets leave them out.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, or names a component that does not exist.
    """
    path = Path(path)
    if not path.is_file():
        near = difflib.get_close_matches(path.name, _names_beside(path), 1, 0.3)
        hint = f"; did you mean {path.with_name(near[0])}?" if near else ""
        raise FileNotFoundError(f"no config file {path}{hint}")
    try:
        cfg = _read(path)
        if cfg.get("custom_imports"):
            import_modules_from_strings(**cfg.custom_imports)
        cfg.merge_from_dict(overrides or {})
    except (SyntaxError, NameError, KeyError, TypeError, AttributeError, OSError) as error:
        raise ValueError(f"cannot read config {path}: {type(error).__name__}: {error}") from error
    _fill_data(cfg, overrides or {})
    check_types(cfg)
    return cfg


def _names_beside(path: Path) -> list[str]:
    return [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else []


def _read(path: Path) -> Config:
    """Read a config; bases that are not beside it are taken from the installed mmgen's configs.

    So a config of the MMGeneration tutorial works wherever it lies.
    """
    tree = ast.parse(path.read_text("utf-8"), str(path))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_base_":
            bases = ast.literal_eval(node.value)
            break
    else:
        return Config.fromfile(str(path))
    bases = [bases] if isinstance(bases, str) else bases
    if all((path.parent / base).is_file() for base in bases):
        return Config.fromfile(str(path))
    node.value = (
        ast.parse(repr([str(_find_base(path.parent, base)) for base in bases])).body[0].value
    )
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        copy.write_text(ast.unparse(tree), "utf-8")
        return Config.fromfile(str(copy))


def _find_base(folder: Path, base: str) -> Path:
    beside = (folder / base).resolve()
    if beside.is_file():
        return beside
    shipped = Path(distribution("mmgen").locate_file("mmgen/.mim/configs"))
    inside = shipped / base[base.find("_base_/") :] if "_base_/" in base else beside
    if not inside.is_file():
        raise FileNotFoundError(f"_base_ {base} is neither beside it nor among mmgen's configs")
    return inside


def _fill_data(cfg: Config, overrides: dict) -> None:
    """Give our data sets what a leaf names once: `domains`, `data_root`, the model's `channels`."""
    data = cfg.get("data") or {}
    for split in ("train", "val", "test"):
        part = data.get(split)
        if part and is_ours(part):
            for key in ("domains", "data_root"):
                if cfg.get(key) is not None and (key in overrides or part.get(key) is None):
                    part[key] = cfg[key]
            if cfg.model.get("channels"):
                part.setdefault("channels", cfg.model.channels)


def is_ours(part: Mapping) -> bool:
    """Whether a config part names a component of ours."""
    return str(part.get("type", "")).startswith(f"{registry.SCOPE}.")


def plain_data(cfg: Config) -> dict:
    """The config as dicts, lists, strings, numbers, booleans and None alone: for checkpoints."""

    def plain(value: object) -> object:
        if isinstance(value, Mapping):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)

    return plain(cfg._cfg_dict.to_dict())


def check_types(cfg: Config) -> None:
    """Check every component's name before anything is built.

    Raises:
        ValueError: With where it stands and the nearest name, if one does not exist.
    """
    model = cfg.get("model") or {}
    _check(model, "model", MODELS)
    for key, value in model.items():
        if key in ("generator", "discriminator") or key.endswith("_loss"):
            _check(value, f"model.{key}", MODULES)
    for split in ("train", "val", "test"):
        part = (cfg.get("data") or {}).get(split)
        if part:
            _check(part, f"data.{split}", DATASETS)
            _check(part.get("pipeline"), f"data.{split}.pipeline", PIPELINES)
    _check(cfg.get("custom_hooks"), "custom_hooks", HOOKS)
    for name, optimizer in (cfg.get("optimizer") or {}).items():
        _check(optimizer, f"optimizer.{name}", OPTIMIZERS)


def _check(part: object, where: str, known: Registry) -> None:
    if isinstance(part, (list, tuple)):
        for i, entry in enumerate(part):
            _check(entry, f"{where}[{i}]", known)
    elif isinstance(part, dict) and isinstance(part.get("type"), str):
        names = list(known.module_dict)
        for scope, child in known.children.items():
            names += [f"{scope}.{name}" for name in child.module_dict]
        if part["type"] not in names:
            # mmgen takes data sets and pipelines of mmcls under a scope of its own.
            if part["type"].startswith("mmcls."):
                return
            near = difflib.get_close_matches(part["type"], names, 1, 0.5)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{where}: type {part['type']!r} does not exist{hint}")
