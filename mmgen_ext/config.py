"""From a config file to a resolved, checked mmcv Config. A config is Python and runs as code."""

from __future__ import annotations

import ast
import copy
import difflib
import inspect
import os
import pprint
import tempfile
from collections.abc import Callable, Collection, Mapping
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import torch
from mmcv import Config
from mmcv.runner import HOOKS, OPTIMIZERS
from mmcv.utils import Registry
from mmgen.datasets.builder import DATASETS, PIPELINES
from mmgen.models.builder import MODELS, MODULES

from . import registry
from .files import shipped
from .words import meant


def load_config(path: str | os.PathLike, overrides: dict | None = None) -> Config:
    """Read a config file, ours or mmgen's, and merge `overrides` (`--cfg-options`) into it.

    A file that is not there is looked for by its name among the configs of this project.

    Returns:
        The config with domains and data root filled in where the data sets leave them out.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, or names a component that does not exist.
    """
    path = Path(path)
    if not path.is_file():  # One of ours, seen from another folder.
        path = next(shipped("configs").rglob(path.name), path)
    if not path.is_file():
        raise FileNotFoundError(f"no config file {path}{meant(path, '*.py', 0.3)}")
    if path.suffix in (".pth", ".pt", ".safetensors", ".onnx"):
        raise ValueError(f"{path} holds weights; expected a config, which is a .py file")
    try:
        cfg = _read(path)
        # A copy: mmcv takes `_delete_` out of what it merges.
        cfg.merge_from_dict(copy.deepcopy(overrides or {}))
    except Exception as error:  # a config is code and can raise anything
        raise ValueError(f"cannot read config {path}: {type(error).__name__}: {error}") from error
    for key in ("model", "data", "optimizer"):
        if not isinstance(cfg.get(key, {}), dict):
            raise ValueError(f"config {path}: {key} is {cfg[key]!r}; expected a dict")
    _fill_in(cfg, overrides or {})
    check_types(cfg)
    return cfg


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


def _fill_in(cfg: Config, overrides: dict) -> None:
    """Give our model and data sets what a leaf names once: domains, data root, channels."""
    model, data = cfg.get("model") or {}, cfg.get("data") or {}
    parts = [(model, ["domains"])]
    parts += [(data.get(s) or {}, ["domains", "data_root"]) for s in ("train", "val", "test")]
    for part, keys in parts:
        for key in keys if is_ours(part) else []:
            if cfg.get(key) is not None and (key in overrides or part.get(key) is None):
                part[key] = cfg[key]
        if is_ours(part) and part is not model and model.get("channels"):
            part.setdefault("channels", model.channels)


def is_ours(part: Mapping) -> bool:
    """Whether a config part names a component of ours."""
    return str(part.get("type", "")).startswith(f"{registry.SCOPE}.")


def plain_data(value: object) -> object:
    """A Config, or what may stand in one, as dicts, lists, strings, numbers, booleans and None."""
    if isinstance(value, Config):
        value = value._cfg_dict.to_dict()
    if isinstance(value, Mapping):
        return {str(key): plain_data(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_data(item) for item in value]
    if isinstance(value, (np.generic, torch.Tensor)):
        value = value.item()
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def config_text(cfg: Config) -> str:
    """The resolved config as a file that reads back the same, whatever its strings hold.

    mmcv's own `pretty_text` does not escape quotes and backslashes, so that an apostrophe in a path
    breaks it, and so does every path of Windows.
    """
    # Tuples stay tuples: mmgen's transforms insist on them.
    entries = cfg._cfg_dict.to_dict().items()
    return "".join(f"{k} = {pprint.pformat(v, sort_dicts=False)}\n" for k, v in entries)


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
    _check(cfg.get("evaluation"), "evaluation", HOOKS)
    _check((cfg.get("log_config") or {}).get("hooks"), "log_config.hooks", HOOKS)
    policy = (cfg.get("lr_config") or {}).get("policy")
    if policy:  # as mmcv finds it
        policy = policy.title() if policy == policy.lower() else policy
        names = {n.removesuffix("LrUpdaterHook") for n in HOOKS.module_dict if "LrUpdater" in n}
        _check_name(policy, "lr_config: policy", names)
    for name, optimizer in (cfg.get("optimizer") or {}).items():
        _check(optimizer, f"optimizer.{name}", OPTIMIZERS)


def _check(part: object, where: str, known: Registry) -> None:
    if isinstance(part, (list, tuple)):
        for i, entry in enumerate(part):
            _check(entry, f"{where}[{i}]", known)
    elif isinstance(part, dict) and isinstance(part.get("type"), str):
        names = {name for own in known.module_dict for name in (own, f"{known.scope}.{own}")}
        for scope, child in known.children.items():
            names |= {f"{scope}.{name}" for name in child.module_dict}
        # mmgen takes data sets and pipelines of mmcls under a scope of its own.
        if not part["type"].startswith("mmcls."):
            _check_name(part["type"], f"{where}: type", names)
            _check_switches(part, where, known.get(part["type"]))


def _check_switches(part: dict, where: str, component: Callable) -> None:
    """Any text would count as True where a switch is expected."""
    for key, parameter in inspect.signature(component).parameters.items():
        value = part.get(key, False)
        if parameter.annotation in ("bool", bool) and value not in (True, False, None):
            raise ValueError(f"{where}: {key} is {value!r}; expected True or False")


def _check_name(name: str, where: str, names: Collection[str]) -> None:
    if name not in names:
        near = difflib.get_close_matches(name, names, 1, 0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{where} {name!r} does not exist{hint}")
