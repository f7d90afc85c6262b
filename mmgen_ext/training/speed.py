"""What makes a training fast on the machine that it runs on."""

from __future__ import annotations

import ctypes
import shutil
import sys

import torch
from mmcv import Config
from torch import nn

from ..config import is_ours
from ..models.layers import Network
from ..models.precision import PRECISIONS, LossScale


def choose_precision(cfg: Config, device: torch.device) -> str:
    """The config's `precision`: 'fp32', 'bf16' or 'fp16'.

    'auto' is bf16 for our models where the device has it: at 128 x 128 its KID lies between those
    of two seeds in fp32, see docs/performance.md.

    Raises:
        ValueError: If it is not known, or does not work with this model or device.
    """
    chosen = cfg.get("precision", "fp32")
    if chosen not in ("auto", *PRECISIONS):
        raise ValueError(
            f"precision={chosen!r} is not known; choose one of auto, {', '.join(PRECISIONS)}"
        )
    if chosen == "auto":
        return "bf16" if is_ours(cfg.get("model") or {}) and has_bf16(device) else "fp32"
    if chosen != "fp32" and not is_ours(cfg.get("model") or {}):
        raise ValueError(
            f"precision={chosen!r} works with models of mmgen_ext; mmgen's compute in fp32. "
            f"Take model.type=mmgen_ext.CycleGAN, or precision=fp32"
        )
    if chosen == "fp16" and device.type != "cuda":
        raise ValueError(
            f"precision='fp16' needs a CUDA GPU, and this run is on {device.type}. Set "
            f"--cfg-options precision=bf16 (as fast, and without a loss scale) or precision=fp32"
        )
    return chosen


def has_bf16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 by itself; emulated it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # not in PyTorch 2.6
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def make_fast(model: nn.Module, cfg: Config, device: torch.device) -> None:
    """Give a model its precision and memory format, before optimizers are built; see docs.

    Raises:
        ValueError: If the config asks for what this machine cannot do.
    """
    precision = choose_precision(cfg, device)
    if device.type == "cpu":
        keep_freed_memory()
    if not is_ours(cfg.model):
        return
    model.precision = precision
    model.loss_scale = LossScale() if precision == "fp16" else None
    if device.type == "cpu":
        for network in model.modules():
            if isinstance(network, Network):  # mmgen's are slower in channels_last
                network.fuse()
    if cfg.get("compile"):
        compile_networks(model, device)


def compile_networks(model: nn.Module, device: torch.device) -> None:
    """Let torch.compile make the networks' code at their first pass; their names stay."""
    if model.gan_loss.gp_weight or model.gan_loss.r1_weight:
        raise ValueError(
            "torch.compile cannot differentiate a gradient, which wgan-gp and r1_weight need; set "
            "compile=False, or choose another gan_type and r1_weight=0"
        )
    if device.type == "cpu" and not any(map(shutil.which, ("g++", "clang++", "c++", "cl"))):
        raise ValueError(
            "compile=True needs a C++ compiler on a CPU, and there is none; set compile=False"
        )
    for networks in (model.generators, model.discriminators):
        for network in networks.values():
            network.compile()
            sight = getattr(network, "sight", None)
            if sight is not None:  # Of several it looks at once, by itself; see pass_all.
                sight.compile()


def keep_freed_memory() -> None:
    """Let glibc keep what is freed, for the next step to take again.

    By default large blocks go back to the system at once, and each step is given tens of thousands
    of pages anew, which the system fills with zeros first.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library, as musl
        return
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3
    mallopt(mmap_threshold, 32 * 2**20)  # the most it takes
    mallopt(trim_threshold, 2**30)
    mallopt(top_pad, 64 * 2**20)
