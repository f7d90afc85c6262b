"""From a config to a run: data, model, optimizers, runner, hooks."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import cv2
import torch
from mmcv import Config
from mmcv.runner import HOOKS, set_random_seed
from mmcv.utils import build_from_cfg
from mmgen.core import build_optimizers
from mmgen.datasets import build_dataloader, build_dataset
from mmgen.models import build_model
from torch.utils.data import Dataset

from ..checkpoint import check_fit, find_checkpoints, read_checkpoint
from ..config import config_text, is_ours, plain_data
from ..datasets import build_loader
from ..datasets.images import check_images, list_images
from ..datasets.unpaired import find_data_root
from ..device import pick_device
from .distributed import OnDevice
from .run_dir import describe_environment, make_work_dir, start_log, write_config
from .runner import TranslationRunner

DEFAULT_SEED = 2021  # mmgen's


def train(
    cfg: Config,
    work_dir: str | os.PathLike | None = None,
    resume: str | None = None,
    seed: int | None = None,
    deterministic: bool = False,
    validate: bool = True,
    device: str = "auto",
) -> TranslationRunner:
    """Train what a config describes, ours or mmgen's.

    Args:
        cfg: From load_config.
        work_dir: Run directory; None for the config's, else work_dirs/<config name>.
        resume: Checkpoint to continue from; 'auto' for the newest in work_dir.
        seed: Of weights, data stream and pools; None for the config's, else 2021.
        deterministic: Whether to choose cuDNN's reproducible algorithms.
        validate: Whether to evaluate while training where the config asks for it.
        device: 'auto' | 'cpu' | 'cuda:N' | 'mps'.

    Returns:
        The runner, when all iterations are done.

    Raises:
        ValueError: If the config asks for what cannot be.
        OSError: If data or a checkpoint are not there, or the run cannot be written.
        Interrupted: If a signal ended the run early; its state is saved.
    """
    check_total_iters(cfg)
    name = config_name(cfg)
    choose_seed(cfg, seed)
    cfg.work_dir = str(make_work_dir(work_dir or cfg.get("work_dir") or f"work_dirs/{name}"))
    logger, timestamp = start_log(Path(cfg.work_dir), cfg.get("log_level", "INFO"))
    environment = describe_environment()
    logger.info("Environment:\n%s\n", environment)
    logger.info("Config:\n%s", config_text(cfg))
    for line in unused_requests(cfg):
        logger.warning("not done: %s", line)

    set_random_seed(cfg.seed, deterministic=deterministic)
    torch.backends.cudnn.benchmark = bool(cfg.get("cudnn_benchmark")) and not deterministic
    cv2.setNumThreads(cfg.get("opencv_num_threads", 0))
    dataset = build_train_dataset(cfg)
    model = OnDevice(build_train_model(cfg), pick_device(device))
    write_config(Path(cfg.work_dir), cfg, f"{name}.py")
    runner = TranslationRunner(
        model,
        optimizer=_build("optimizers", build_optimizers, model.module, cfg.get("optimizer")),
        work_dir=cfg.work_dir,
        logger=logger,
        meta=dict(
            env_info=environment,
            seed=cfg.seed,
            config=config_text(cfg),
            exp_name=cfg.get("exp_name", name),
        ),
        max_iters=cfg.total_iters,
        config=plain_data(cfg),
    )
    runner.timestamp = timestamp
    _build("hooks", register_hooks, runner, cfg, validate)
    start_from(runner, cfg, resume)
    loader = build_loader(
        dataset,
        cfg.data.get("samples_per_gpu", 1),
        cfg.data.get("workers_per_gpu", 2),
        cfg.seed,
        start_iter=runner.iter,
        pin_memory=model.device.type == "cuda",
    )
    runner.run([loader], [("train", 1)])
    return runner


def config_name(cfg: Config) -> str:
    """The config file's name without its suffix."""
    return Path(cfg.filename or "config.py").stem


def choose_seed(cfg: Config, seed: int | None) -> None:
    """Set cfg.seed: the given one, else the config's, else mmgen's."""
    for candidate in (seed, cfg.get("seed"), DEFAULT_SEED):
        if candidate is not None:
            cfg.seed = candidate
            return


def check_total_iters(cfg: Config) -> None:
    """Raise a ValueError unless total_iters is a positive whole number."""
    total = cfg.get("total_iters")
    if not isinstance(total, int) or total < 1:
        raise ValueError(
            f"total_iters={total!r}; expected a whole number of at least 1, "
            f"for example --cfg-options total_iters=80000"
        )


def _build(what: str, function: Callable, *args):
    """Build from a config; an argument that is wrong or missing becomes a sentence."""
    try:
        return function(*args)
    except (TypeError, KeyError, AttributeError, AssertionError) as error:
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
    return _build("data set", build_dataset, data)


def build_train_model(cfg: Config):
    """Build the model, on the CPU."""
    return _build("model", build_model, cfg.model, cfg.get("train_cfg"), cfg.get("test_cfg"))


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
        "optimizer_config": "the model's train_step steps its optimizers",
        "momentum_config": "not supported",
        "apex_amp": "not supported",
        "fp16": "not supported",
    }
    lines += [f"{key} ({why})" for key, why in reasons.items() if cfg.get(key)]
    if (cfg.get("checkpoint_config") or {}).get("out_dir"):
        lines.append("checkpoint_config.out_dir (checkpoints lie in the run directory)")
    if len(cfg.get("workflow") or []) > 1:
        lines.append("workflow (only training)")
    return lines


def register_hooks(runner: TranslationRunner, cfg: Config, validate: bool) -> None:
    """Register what the config names, in mmcv's order, and the progress bar."""
    checkpoints = deepcopy(cfg.get("checkpoint_config"))
    if checkpoints is not None:
        checkpoints.pop("out_dir", None)  # Ours lie in the run directory itself.
        # mmcv's hook would delete old ones even if the new one could not be written.
        checkpoints["keep"] = checkpoints.pop("max_keep_ckpts", -1)
    runner.register_training_hooks(
        usable_lr_config(cfg, runner.logger),
        checkpoint_config=checkpoints,
        log_config=deepcopy(cfg.get("log_config")),
        custom_hooks_config=deepcopy(cfg.get("custom_hooks")),
    )
    runner.register_hook_from_cfg(dict(type="ProgressHook", priority="VERY_LOW"))
    if validate and cfg.get("evaluation"):
        register_evaluation(runner, cfg)


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
    """Register mmgen's evaluation hook; where it cannot be built, say so once and train without."""
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


def start_from(runner: TranslationRunner, cfg: Config, resume: str | None) -> None:
    """Resume, or load only weights (`load_from`), as asked by the caller or the config."""
    resume = resume or cfg.get("resume_from")
    if resume == "auto":
        resume = next(reversed(find_checkpoints(runner.work_dir)), None)
        if resume is None:
            runner.logger.info("nothing to resume in %s: starting anew", runner.work_dir)
    if resume:
        runner.resume(str(resume))
    elif cfg.get("load_from"):
        content = read_checkpoint(cfg.load_from)
        state = content.get("state_dict", content)
        check_fit(runner.model.module, state, cfg.load_from)
        runner.model.module.load_state_dict(state)
        runner.logger.info("weights of %s", cfg.load_from)


def dry_run(cfg: Config, seed: int | None = None) -> str:
    """Build data and model and return what a run would do, without writing anything."""
    check_total_iters(cfg)
    choose_seed(cfg, seed)
    dataset = build_train_dataset(cfg)
    model = build_train_model(cfg)
    batch = cfg.data.get("samples_per_gpu", 1)
    lines = [
        config_text(cfg),
        "",
        f"work_dir: {cfg.get('work_dir') or 'work_dirs/' + config_name(cfg)}",
    ]
    for domain, paths in getattr(dataset, "paths", {}).items():
        passes = cfg.total_iters * batch / len(paths)
        lines.append(f"{domain}: {len(paths)} images, each seen {passes:.1f} times")
    for part, network in model.named_children():
        count = sum(parameter.numel() for parameter in network.parameters())
        if count:
            lines.append(f"{part}: {count / 1e6:.2f} million parameters")
    lines += [f"not done: {line}" for line in unused_requests(cfg)]
    return "\n".join(lines)
