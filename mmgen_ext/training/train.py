"""From a config to a run: data, model, optimizers, runner, hooks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import cv2
import torch
from mmcv import Config
from mmcv.runner import set_random_seed
from torch.utils.data import DataLoader

from ..checkpoint import by_age
from ..config import config_text, is_ours, plain_data
from ..datasets import build_loader
from ..words import counted
from . import distributed
from .build import (
    build_part,
    build_train_dataset,
    build_train_model,
    build_train_optimizers,
    register_hooks,
    unused_requests,
)
from .distributed import OnDevice
from .launchers import restarted
from .run_dir import (
    describe_environment,
    make_work_dir,
    start_log,
    write_config,
)
from .runner import TranslationRunner
from .speed import make_fast
from .start import find_start, start_from
from .state import take_our_pools
from .synchronize import synchronize

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
    folder = folder_of(cfg, work_dir)
    cfg.work_dir = str(distributed.on_main(lambda: make_work_dir(folder)))
    logger, timestamp = start_log(Path(cfg.work_dir), cfg.get("log_level", "INFO"))
    if distributed.largest(restarted()):  # On several machines not all of them may know it.
        resume = "auto" if by_age(cfg.work_dir) else resume
    found, notes = distributed.on_main(lambda: find_start(cfg, resume, name, logger))
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
    network = build_train_model(cfg)
    make_fast(network, cfg, device)
    model = OnDevice(network, device)
    take_our_pools(model.module, cfg.seed)
    optimizers = build_train_optimizers(model.module, cfg)
    if distributed.world_size() > 1:
        synchronize(model.module, device)
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
    build_part("hooks", register_hooks, runner, cfg, validate)
    start_from(runner, cfg, found)
    for note in notes:  # Again: what came first has scrolled away under config and hooks.
        logger.warning(note)
    if distributed.rank() == 0:
        write_config(Path(cfg.work_dir), cfg, f"{name}.py")
    return runner


def describe_step(cfg: Config, optimizers: Mapping) -> str:
    """How many pictures make a step, and that the learning rate is the user's."""
    ranks, batch = distributed.world_size(), cfg.data.get("samples_per_gpu", 1)
    pieces = cfg.get("accumulate_iters", 1)
    rates = ", ".join(f"{k} {o.param_groups[0]['lr']:g}" for k, o in optimizers.items())
    return (
        f"a step takes {counted(ranks * batch * pieces, 'picture')} of each domain: "
        f"{counted(ranks, 'process')} x "
        f"{batch} (samples_per_gpu) x {pieces} (accumulate_iters). Learning rates are the "
        f"config's, not scaled by that: {rates}"
    )


def folder_of(cfg: Config, work_dir: str | os.PathLike | None) -> Path:
    """The run directory: the given one, else the config's, else one of the config's name."""
    return Path(work_dir or cfg.get("work_dir") or f"work_dirs/{config_name(cfg)}")


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
