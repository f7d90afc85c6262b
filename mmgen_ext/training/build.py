"""From a config to the parts of a run: data, model, hooks; ours or mmgen's."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

from mmcv import Config
from mmcv.runner import HOOKS
from mmcv.utils import build_from_cfg
from mmgen.core import build_optimizers
from mmgen.datasets import build_dataloader, build_dataset
from mmgen.models import build_model
from torch import nn
from torch.utils.data import Dataset

from ..config import is_ours
from ..datasets.images import check_images, list_images
from ..datasets.unpaired import find_data_root
from . import distributed
from .runner import TranslationRunner


def build_part(what: str, function: Callable, *args):
    """Build from a config; an argument that is wrong or missing becomes a sentence."""
    try:
        return function(*args)
    except (TypeError, KeyError, AttributeError, AssertionError, ImportError) as error:
        if os.environ.get("MMGEN_EXT_DEBUG"):
            raise
        raise ValueError(f"cannot build the {what} from the config: {error}") from error


def build_train_dataset(cfg: Config) -> Dataset:
    """Build data.train; ours is given the run's seed, and mmgen's the folder that was meant."""
    data = deepcopy(cfg.data.train)
    if is_ours(data):
        data.setdefault("seed", cfg.seed)
    elif data.type == "UnpairedImageDataset":
        data.dataroot = str(find_data_root(data.get("dataroot"), ["trainA", "trainB"]))
        for folder in ("trainA", "trainB"):
            check_images(list_images(Path(data.dataroot, folder)))
    return build_part("data set", build_dataset, data)


def build_train_model(cfg: Config):
    """Build the model, on the CPU."""
    return build_part("model", build_model, cfg.model, cfg.get("train_cfg"), cfg.get("test_cfg"))


def build_train_optimizers(model: nn.Module, cfg: Config) -> dict:
    """Build the config's optimizers, but for those of parts that a model has nothing of."""
    wanted = cfg.get("optimizer") or {}
    empty = [k for k, part in model.named_children() if not list(part.parameters())]
    wanted = {key: value for key, value in wanted.items() if key not in empty}
    return build_part("optimizers", build_optimizers, model, wanted)


def unused_requests(cfg: Config) -> list[str]:
    """What a config, such as one of mmgen's, asks for and is not done: one line each."""
    known = [
        "train",
        "val",
        "test",
        "samples_per_gpu",
        "workers_per_gpu",
        "drop_last",
        "persistent_workers",
    ]
    lines = [f"data.{key} (no such option)" for key in cfg.data if key not in known]
    reasons = {
        "runner": "ours is used",
        "use_ddp_wrapper": "each network is wrapped by itself when there are many processes",
        "momentum_config": "not supported",
        "apex_amp": "not supported",
        "fp16": "not supported",
    }
    lines += [f"{key} ({why})" for key, why in reasons.items() if cfg.get(key)]
    for key in set(cfg.get("optimizer_config") or {}) - {"grad_clip"}:
        lines.append(f"optimizer_config.{key} (the model's train_step steps its optimizers)")
    if (cfg.get("checkpoint_config") or {}).get("out_dir"):
        lines.append("checkpoint_config.out_dir (checkpoints lie in the run directory)")
    if len(cfg.get("workflow") or []) > 1:
        lines.append("workflow (only training)")
    return lines


# Hooks that a config gives arguments to by a key of its own: the hook, what it is given by a config
# without the key (None is off), and its priority. Weights are averaged before anyone looks at them.
KEYS = {
    "loss_schedule": ("LossScheduleHook", None, "NORMAL"),
    "ema": ("GeneratorEMAHook", None, "ABOVE_NORMAL"),
    "gallery": ("GalleryHook", None, "LOW"),
    "health": ("HealthHook", {}, "LOW"),
    "report": ("ReportHook", {}, "VERY_LOW"),
}


def register_hooks(runner: TranslationRunner, cfg: Config, validate: bool) -> None:
    """Register what the config names, in mmcv's order, and the progress bar."""
    # Before the loggers, who take away what the bar shows.
    runner.register_hook_from_cfg(dict(type="ProgressHook", priority="LOW"))
    runner.register_training_hooks(
        usable_lr_config(cfg, runner.logger),
        checkpoint_config=deepcopy(cfg.get("checkpoint_config")),
        log_config=deepcopy(cfg.get("log_config")),
        custom_hooks_config=deepcopy(cfg.get("custom_hooks")),
    )
    named = [hook["type"] for hook in cfg.get("custom_hooks") or []]
    if validate and cfg.get("evaluation"):
        register_evaluation(runner, cfg)
    for key, (kind, default, priority) in KEYS.items():
        arguments = cfg.get(key, default)
        if arguments is not None and kind not in named:
            runner.register_hook_from_cfg(dict(arguments, type=kind, priority=priority))


def usable_lr_config(cfg: Config, logger: logging.Logger) -> dict | None:
    """The config's lr_config; mmgen's Linear fails in a run that ends before it begins to fall."""
    lr_config = deepcopy(cfg.get("lr_config"))
    if lr_config and lr_config.get("policy") == "Linear":
        if lr_config.get("start", 0) > cfg.total_iters:
            logger.warning(
                "the learning rate stays constant: lr_config.start=%d is beyond total_iters=%d",
                lr_config["start"],
                cfg.total_iters,
            )
            lr_config["start"] = cfg.total_iters
        span = cfg.total_iters - lr_config.get("start", 0)
        if 0 < span < lr_config.get("interval", 1):
            lr_config["interval"] = 1  # It would divide by zero.
    return lr_config


def register_evaluation(runner: TranslationRunner, cfg: Config) -> None:
    """Register ours, or mmgen's; where mmgen's cannot be built, say so once and train without."""
    if cfg.evaluation.get("type", "EvaluationHook") == "EvaluationHook":
        runner.register_hook_from_cfg(
            {"type": "EvaluationHook", **cfg.evaluation, "priority": "LOW"}
        )
        return
    if distributed.world_size() > 1:
        # Where a network cannot be fetched, its processes would wait for each other for ever.
        runner.logger.warning("not done: evaluation (mmgen's, with many processes)")
        return
    try:
        data = deepcopy(cfg.data.val)
        if data.type == "UnpairedImageDataset":
            data.dataroot = str(find_data_root(data.dataroot, ["testA", "testB"]))
        dataset = build_dataset(data, dict(test_mode=True))
        loader = build_dataloader(dataset, 1, 0, dist=False, shuffle=False)
        hook = build_from_cfg({**cfg.evaluation, "dataloader": loader}, HOOKS)
    except Exception as error:  # Metrics fetch their networks: any kind of failure.
        text = str(error).strip().splitlines() or [type(error).__name__]
        runner.logger.warning("not done: evaluation (%s)", text[0])
    else:
        runner.register_hook(hook, priority="LOW")
