"""Where a run starts: anew, from weights, or where it was left."""

from __future__ import annotations

import logging
from pathlib import Path

from mmcv import Config

from ..checkpoint import (
    by_age,
    check_fit,
    find_checkpoints,
    iteration,
    newest_whole,
    read_checkpoint,
    without_averages,
    write_pointer,
)
from ..config import plain_data
from ..words import counted
from . import distributed
from .run_dir import check_same_config, config_difference
from .runner import TranslationRunner


def find_start(
    cfg: Config, resume: str | None, name: str, logger: logging.Logger
) -> tuple[tuple[Path, dict] | None, list[str]]:
    """Which checkpoint a run starts from, and its content, None to start anew; and warnings of it.

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
            logger.info("nothing to resume in %s: starting anew", folder)
        former = sorted(set(find_checkpoints(folder)) - set(by_age(folder)), key=iteration)
        if former:
            text = f"{former[-1].name} is of a former run in this folder; --resume {former[-1]} "
            return here, [text + "would go back to that"]
        return here, []
    if resume:
        content = read_checkpoint(resume)
        before = content.get("mmgen_ext", {}).get("config")
        for line in config_difference(before, plain_data(cfg)) if before else []:
            logger.warning("other than in %s:%s", resume, line)
        return (Path(resume), content), []
    if here:
        text = (
            f"starting anew in {folder}, which holds a run of "
            f"{counted(here[1]['meta']['iter'], 'iteration')}"
        )
        return None, [f"{text}; --resume auto continues it"]
    return None, []


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
        state = without_averages(content.get("state_dict", content))
        check_fit(runner.model.module, state, cfg.load_from)
        runner.model.module.load_state_dict(state)
        runner.logger.info("weights of %s", cfg.load_from)
