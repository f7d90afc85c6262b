"""From a config to a run: data, model, optimizers, runner, hooks."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
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
from torch.utils.data import DataLoader, Dataset

from ..checkpoint import (
    by_age,
    check_fit,
    find_checkpoints,
    newest_whole,
    read_checkpoint,
    write_pointer,
)
from ..config import config_text, is_ours, plain_data
from ..datasets import build_loader
from ..datasets.images import check_images, list_images
from ..datasets.unpaired import find_data_root
from . import distributed
from .distributed import OnDevice
from .launchers import restarted
from .run_dir import (
    check_same_config,
    config_difference,
    describe_environment,
    make_work_dir,
    start_log,
    write_config,
)
from .runner import TranslationRunner
from .state import take_our_pools

DEFAULT_SEED = 2021  # mmgen's


def train(
    cfg: Config,
    work_dir: str | os.PathLike | None = None,
    resume: str | None = None,
    seed: int | None = None,
    deterministic: bool = False,
    validate: bool = True,
    device: str = "auto",
    launcher: str = "none",
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
        launcher: 'none' | 'pytorch' | 'slurm' | 'mpi': who started this process, if it is one of
            many; torchrun is recognised without.

    Returns:
        The runner, when all iterations are done.

    Raises:
        ValueError: If the config asks for what cannot be.
        OSError: If data or a checkpoint are not there, or the run cannot be written.
        Interrupted: If a signal ended the run early; its state is saved.
    """
    check_numbers(cfg)
    choose_seed(cfg, seed)
    with distributed.process_group(launcher, device) as chosen:
        runner = build_runner(cfg, work_dir, resume, chosen, deterministic, validate)
        if runner.iter < cfg.total_iters:
            runner.run()
        else:
            runner.logger.info(
                "nothing to do: %s is finished, %d of %d iterations. For more, raise the end: "
                "--cfg-options total_iters=%d",
                *(runner.work_dir, runner.iter, cfg.total_iters, 2 * runner.iter),
            )
    return runner


def build_runner(
    cfg: Config,
    work_dir: str | os.PathLike | None,
    resume: str | None,
    device: torch.device,
    deterministic: bool,
    validate: bool,
) -> TranslationRunner:
    """Build all of a run, where it was left if it is resumed; see `train`."""
    name = config_name(cfg)
    cfg.world_size = distributed.world_size()
    folder = Path(work_dir or cfg.get("work_dir") or f"work_dirs/{name}")
    cfg.work_dir = str(distributed.on_main(lambda: make_work_dir(folder)))
    logger, timestamp = start_log(Path(cfg.work_dir), cfg.get("log_level", "INFO"))
    if distributed.largest(restarted()):  # On several machines not all of them may know it.
        resume = "auto" if by_age(cfg.work_dir) else resume
    found = distributed.on_main(lambda: find_start(cfg, resume, name, logger))
    environment, text = describe_environment(), config_text(cfg)
    logger.info("Environment:\n%s\n", environment)
    logger.info("Config:\n%s", text)
    for line in unused_requests(cfg):
        logger.warning("not done: %s", line)

    if deterministic and device.type == "cuda":
        # cuDNN's flags alone leave the backward of reflection padding and others to chance.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    set_random_seed(cfg.seed, deterministic=deterministic)
    torch.backends.cudnn.benchmark = bool(cfg.get("cudnn_benchmark")) and not deterministic
    cv2.setNumThreads(cfg.get("opencv_num_threads", 0))
    dataset = build_train_dataset(cfg)
    model = OnDevice(build_train_model(cfg), device)
    take_our_pools(model.module, cfg.seed)
    optimizers = _build("optimizers", build_optimizers, model.module, cfg.get("optimizer"))
    if distributed.world_size() > 1:
        distributed.synchronize(model.module, device)
        # Dropout must not drop the same units on every rank.
        set_random_seed(cfg.seed + distributed.rank(), deterministic=deterministic)
    logger.info(describe_step(cfg, optimizers))

    def make_loader(start_iter: int, workers: int | None = None) -> DataLoader:
        return build_loader(
            dataset,
            cfg.data.get("samples_per_gpu", 1),
            cfg.data.get("workers_per_gpu", 2) if workers is None else workers,
            cfg.seed,
            start_iter * cfg.get("accumulate_iters", 1),
            distributed.rank(),
            distributed.world_size(),
            pin_memory=device.type == "cuda",
        )

    runner = TranslationRunner(
        model,
        optimizer=optimizers,
        work_dir=cfg.work_dir,
        logger=logger,
        meta=dict(
            env_info=environment, seed=cfg.seed, config=text, exp_name=cfg.get("exp_name", name)
        ),
        max_iters=cfg.total_iters,
        config=plain_data(cfg),
        make_loader=make_loader,
        accumulate_iters=cfg.get("accumulate_iters", 1),
        max_bad_steps=cfg.get("max_bad_steps", 10),
        grad_clip=cfg.get("grad_clip") or (cfg.get("optimizer_config") or {}).get("grad_clip"),
    )
    runner.timestamp = timestamp
    _build("hooks", register_hooks, runner, cfg, validate)
    start_from(runner, cfg, found)
    if distributed.rank() == 0:
        write_config(Path(cfg.work_dir), cfg, f"{name}.py")
    return runner


def find_start(
    cfg: Config, resume: str | None, name: str, logger: logging.Logger
) -> tuple[Path, dict] | None:
    """Which checkpoint a run starts from, and its content; None to start anew.

    Raises:
        ValueError: If the folder holds a run of another config, or no checkpoint of it is whole.
    """
    resume = resume or cfg.get("resume_from")
    folder = Path(cfg.work_dir)
    here = None
    if resume == "auto":
        here = newest_whole(folder, logger.warning)
    elif find_checkpoints(folder):
        try:
            here = newest_whole(folder, logger.warning)
        except ValueError as error:
            logger.warning("starting anew: %s", error)
    if here and "config" in here[1].get("mmgen_ext", {}):
        check_same_config(cfg, here[1]["mmgen_ext"]["config"], here[0], f"{name}.py")
    if resume == "auto":
        if here is None:
            there = [path.name for path in find_checkpoints(folder)]
            former = f" ({', '.join(there)} are of a former run)" if there else ""
            logger.info("nothing to resume in %s%s: starting anew", folder, former)
        return here
    if resume:
        content = read_checkpoint(resume)
        before = content.get("mmgen_ext", {}).get("config")
        for line in config_difference(before, plain_data(cfg)) if before else []:
            logger.warning("other than in %s:%s", resume, line)
        return Path(resume), content
    if here:
        logger.warning(
            "starting anew in %s, which holds a run of %d iterations; --resume auto continues it",
            *(folder, here[1]["meta"]["iter"]),
        )
    return None


def describe_step(cfg: Config, optimizers: Mapping) -> str:
    """How many pictures make a step, and that the learning rate is the user's."""
    ranks, batch = distributed.world_size(), cfg.data.get("samples_per_gpu", 1)
    pieces = cfg.get("accumulate_iters", 1)
    rates = ", ".join(f"{k} {o.param_groups[0]['lr']:g}" for k, o in optimizers.items())
    return (
        f"a step takes {ranks * batch * pieces} pictures of each domain: {ranks} processes x "
        f"{batch} (samples_per_gpu) x {pieces} (accumulate_iters). Learning rates are the "
        f"config's, not scaled by that: {rates}"
    )


def config_name(cfg: Config) -> str:
    """The config file's name without its suffix."""
    return Path(cfg.filename or "config.py").stem


def choose_seed(cfg: Config, seed: int | None) -> None:
    """Set cfg.seed: the given one, else the config's, else mmgen's."""
    for candidate in (seed, cfg.get("seed"), DEFAULT_SEED):
        if candidate is not None:
            cfg.seed = candidate
            return


def check_numbers(cfg: Config) -> None:
    """Raise a ValueError unless the counts of a config are whole numbers that make sense."""
    for key, least, example in (
        ("total_iters", 1, 80000),
        ("accumulate_iters", 1, 2),
        ("max_bad_steps", 0, 10),
    ):
        value = cfg.get(key, None if key == "total_iters" else least)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(
                f"{key}={value!r}; expected a whole number of at least {least}, "
                f"for example --cfg-options {key}={example}"
            )
    if cfg.get("accumulate_iters", 1) > 1 and not is_ours(cfg.get("model") or {}):
        raise ValueError(
            f"accumulate_iters={cfg.accumulate_iters} works with models of mmgen_ext; mmgen's step "
            f"their optimizers by themselves. Take model.type=mmgen_ext.CycleGAN, or more "
            f"data.samples_per_gpu"
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


def register_hooks(runner: TranslationRunner, cfg: Config, validate: bool) -> None:
    """Register what the config names, in mmcv's order, and the progress bar."""
    runner.register_training_hooks(
        usable_lr_config(cfg, runner.logger),
        checkpoint_config=deepcopy(cfg.get("checkpoint_config")),
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


def start_from(runner: TranslationRunner, cfg: Config, found: tuple[Path, dict] | None) -> None:
    """Restore a checkpoint, or load only weights (`load_from`) as the config asks."""
    folder = Path(runner.work_dir)
    if found:
        path, content = found
        runner.restore(content, path)
    if distributed.rank() == 0 and find_checkpoints(folder):
        # Later ones, if there are any, are of a former life.
        ours = found is not None and found[0].absolute() in find_checkpoints(folder)
        write_pointer(folder / (found[0].name if ours else "iter_0.pth"))
    if not found and cfg.get("load_from"):
        content = distributed.on_main(lambda: read_checkpoint(cfg.load_from))
        state = content.get("state_dict", content)
        check_fit(runner.model.module, state, cfg.load_from)
        runner.model.module.load_state_dict(state)
        runner.logger.info("weights of %s", cfg.load_from)


def dry_run(cfg: Config, seed: int | None = None) -> str:
    """Build data and model and return what a run would do, without writing anything."""
    check_numbers(cfg)
    choose_seed(cfg, seed)
    dataset = build_train_dataset(cfg)
    model = build_train_model(cfg)
    batch = cfg.data.get("samples_per_gpu", 1) * cfg.get("accumulate_iters", 1)
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
