"""What a run would do, before it does it."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from mmcv import Config

from ..checkpoint import by_age, iteration
from ..config import config_text, is_ours
from ..device import pick_device
from ..words import counted
from .build import build_train_dataset, build_train_model, unused_requests
from .memory import describe_memory_of
from .train import check_numbers, choose_seed, folder_of


def dry_run(
    cfg: Config,
    seed: int | None = None,
    work_dir: str | os.PathLike | None = None,
    device: str = "auto",
) -> str:
    """Build data and model and return what a run would do, without writing anything."""
    check_numbers(cfg)
    choose_seed(cfg, seed)
    dataset = build_train_dataset(cfg)
    model = build_train_model(cfg)
    batch = cfg.data.get("samples_per_gpu", 1) * cfg.get("accumulate_iters", 1)
    lines = [
        config_text(cfg),
        "",
        f"device: {describe_device(pick_device(device))}",
        f"work_dir: {describe_folder(folder_of(cfg, work_dir))}",
        f"iterations: {cfg.total_iters}",
    ]
    for domain, paths in getattr(dataset, "paths", {}).items():
        passes = cfg.total_iters * batch / len(paths)
        lines.append(f"{domain}: {counted(len(paths), 'image')}, each seen {passes:.1f} times")
    for part, network in model.named_children():
        count = sum(parameter.numel() for parameter in network.parameters())
        if count:
            lines.append(f"{part}: {count / 1e6:.2f} million parameters")
    memory = describe_memory_of(model, cfg, dataset[0]) if is_ours(cfg.model) else None
    lines += [memory] if memory else []
    lines += [f"not done: {line}" for line in unused_requests(cfg)]
    lines.append("To train: the same command without --dry-run")
    return "\n".join(lines)


def describe_folder(folder: Path) -> str:
    """A run directory, and whether there is a run in it."""
    found = by_age(folder)
    if not found:
        return f"{folder}"
    done = counted(iteration(found[0]), "iteration")
    return f"{folder}, holds a run of {done}: --resume auto goes on, without it a new one begins"


def describe_device(device: torch.device) -> str:
    """What computes, and with how many threads or what card."""
    if device.type == "cuda":
        return f"{device}, {torch.cuda.get_device_name(device)}"
    threads = counted(torch.get_num_threads(), "thread")
    return f"{device}, {threads}" if device.type == "cpu" else str(device)
