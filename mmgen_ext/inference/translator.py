"""The Translator: trained weights in, a function from picture to picture out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import torch
from mmcv import Config
from torch import nn

from ..checkpoint import read_checkpoint
from ..config import is_ours, load_config
from ..device import pick_device
from ..pictures import resize_image, tensor_to_images
from .onnx_network import OnnxNetwork, load_onnx
from .sizing import network_sizes, pad_to, padded_side, working_size
from .weights import load_generators


def config_of(
    config: str | os.PathLike | Config | None, content: Mapping, name: str | os.PathLike
) -> Config:
    """The config that is named, or for None or 'auto' the one in a checkpoint's content.

    Raises:
        ValueError: If there is none.
    """
    if isinstance(config, Config):
        return config
    if config not in (None, "auto"):
        return load_config(config)
    plain = (content.get("mmgen_ext") or {}).get("config")
    if plain is None:
        raise ValueError(
            f"checkpoint {name} holds no config (it is not one of mmgen_ext's): name the "
            f"config file it was trained with instead of auto"
        )
    if not isinstance(plain, Mapping) or not isinstance(plain.get("model"), Mapping):
        raise ValueError(f"the config in checkpoint {name} is damaged: it describes no model")
    return Config(dict(plain))


def load_trained(
    config: str | os.PathLike | Config | None, checkpoint: str | os.PathLike
) -> tuple[Config, nn.ModuleDict, tuple]:
    """Config, generators by target domain, and `normalization` of a checkpoint.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If they do not fit, or describe nothing that can be built.
    """
    content = read_checkpoint(checkpoint)
    try:
        cfg = config_of(config, content, checkpoint)
        return cfg, load_generators(cfg, content, str(checkpoint)), normalization(cfg)
    except (ValueError, OSError):
        raise
    except Exception as error:  # A config in a checkpoint can hold anything.
        raise ValueError(
            f"checkpoint {checkpoint}: no generator can be built of its config and weights "
            f"({type(error).__name__}: {error})"
        ) from error


def load_exported(
    path: str | os.PathLike, device: str, precision: str
) -> tuple[Config, nn.ModuleDict, tuple]:
    """The same three of an .onnx file; its config names the domains alone.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be used, or not in this precision.
    """
    if precision not in ("auto", "fp32"):
        raise ValueError(f"precision={precision!r} is not for {path}; .onnx files run in fp32")
    network, domain, normal, source = load_onnx(path, device)
    domains = [name for name in (source, domain) if name]
    model = dict(type="mmgen_ext.CycleGAN", domains=domains, default_domain=domain)
    return Config(dict(model=model)), nn.ModuleDict({domain: network}), normal


def normalization(cfg: Config) -> tuple[np.ndarray, np.ndarray, bool]:
    """(mean, std, to_rgb) on the scale 0 to 1 that mmgen's Normalize in the test pipeline names."""
    for step in cfg.get("test_pipeline") or []:
        if step.get("type") == "Normalize":
            mean, std = (np.float32(step[key]) for key in ("mean", "std"))
            return mean, std, bool(step.get("to_rgb", False))
    half = np.float32([0.5])
    return half, half, False


class Translator:
    """Translates pictures of any size; built without any training code.

    Args:
        config: Config file or Config, ours or mmgen's; None or 'auto' takes the one in the
            checkpoint.
        checkpoint: Checkpoint file, ours or mmgen's; or an .onnx file, which needs no config.
        device: 'auto' | 'cpu' | 'cuda' | 'cuda:N' | 'mps'.
        precision: 'fp32' | 'bf16' | 'fp16'; 'auto' is fp32.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If the checkpoint is damaged, does not fit or holds no config.
    """

    def __init__(
        self,
        config: str | os.PathLike | Config | None,
        checkpoint: str | os.PathLike,
        device: str = "auto",
        precision: str = "auto",
    ):
        precisions = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16, "auto": None}
        if precision not in precisions:
            raise ValueError(f"precision={precision!r} is not known; choose of {list(precisions)}")
        self.device, self.dtype = pick_device(device), precisions[precision]
        if os.fspath(checkpoint).lower().endswith(".onnx"):
            # It runs where onnxruntime can; tensors around it stay on the CPU.
            self.device = torch.device("cpu")
            cfg, generators, normal = load_exported(checkpoint, device, precision)
        else:
            cfg, generators, normal = load_trained(config, checkpoint)
        self.cfg = cfg
        self.generators = generators.to(self.device).requires_grad_(False)
        self.domains = list(self.generators)
        default = cfg.model.get("default_domain")
        self.default_domain = default if default in self.domains else self.domains[-1]
        self.mean, self.std, self.to_rgb = normal
        # mmgen's models are applied as they are trained: batch norm by each picture's statistics.
        self.one_by_one = not is_ours(cfg.model) and use_batch_statistics(self.generators)

    def network(self, to: str | None = None) -> nn.Module:
        """The generator that produces domain `to`; None for the default.

        Raises:
            ValueError: With the domains there are.
        """
        to = to or self.default_domain
        if to not in self.generators:
            raise ValueError(f"unknown domain {to!r}; this model makes {', '.join(self.domains)}")
        return self.generators[to]

    def channels(self, to: str | None = None) -> int:
        """Channels of the pictures that the generator of domain `to` takes."""
        network = self.network(to)
        if isinstance(network, OnnxNetwork):
            return network.in_channels
        return next(p for p in network.parameters() if p.ndim == 4).shape[1]

    def __call__(
        self, image: np.ndarray, to: str | None = None, size: int | None = None
    ) -> np.ndarray:
        """Translate one picture; see `batch`."""
        return self.batch([image], to, size)[0]

    def batch(
        self, images: Sequence[np.ndarray], to: str | None = None, size: int | None = None
    ) -> list[np.ndarray]:
        """Translate pictures, those of one padded size together.

        Args:
            images: uint8 (H, W, C), BGR if C is 3, or gray (H, W). Any sizes.
            to: Target domain; None for the default.
            size: Short side at which to work; None for the picture's own.

        Returns:
            uint8 (H, W, C') of the same sizes, in the same order.
        """
        network = self.network(to)
        limits = network_sizes(network)
        groups: dict[tuple, list[int]] = {}
        padded = []
        for i, image in enumerate(images):
            image = check_image(image, self.channels(to))
            h, w = working_size(*image.shape[:2], size)
            image = resize_image(image, h, w, "area" if h < image.shape[0] else "bicubic")
            padded.append(pad_to(image, padded_side(h, *limits), padded_side(w, *limits)))
            groups.setdefault(padded[-1].shape, []).append(i)
        results: list = [None] * len(images)
        for members in groups.values():
            size_of_batch = 1 if self.one_by_one else len(members)
            stacked = np.stack([padded[i] for i in members])
            outputs = [
                output
                for start in range(0, len(members), size_of_batch)
                for output in self._run(network, stacked[start : start + size_of_batch])
            ]
            for i, output in zip(members, outputs, strict=True):
                height, width = images[i].shape[:2]
                h, w = working_size(height, width, size)
                results[i] = resize_image(output[:h, :w], height, width, "bicubic")
        return results

    @torch.inference_mode()
    def _run(self, network: nn.Module, images: np.ndarray) -> np.ndarray:
        """uint8 (N, H, W, C) through the network to uint8 (N, H, W, C')."""
        images = images[..., ::-1] if self.to_rgb else images
        scaled = (images.astype(np.float32) / 255 - self.mean) / self.std
        batch = torch.from_numpy(np.ascontiguousarray(scaled.transpose(0, 3, 1, 2)))
        batch = batch.to(self.device)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
            output = network(batch)
        # Tanh spans [-1, 1] whatever the input's normalisation.
        translated = tensor_to_images(output)
        return translated[..., ::-1] if self.to_rgb else translated


def check_image(image: np.ndarray, channels: int) -> np.ndarray:
    """Return uint8 (H, W, channels); gray is repeated, and colour becomes gray where one is taken.

    Raises:
        ValueError: That says what was got.
    """
    image = np.asarray(image)
    image = image[:, :, None] if image.ndim == 2 else image
    if image.ndim == 3 and image.shape[2] == 1:
        image = np.repeat(image, channels, axis=2)
    elif image.ndim == 3 and (image.shape[2], channels) == (3, 1):
        image = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2GRAY)[:, :, None]
    if image.dtype != np.uint8 or image.ndim != 3 or 0 in image.shape or image.shape[2] != channels:
        raise ValueError(
            f"got {image.dtype} of shape {image.shape}; expected uint8 (H, W, {channels})"
        )
    return image


def use_batch_statistics(network: nn.Module) -> bool:
    """Let batch norms use each batch's own statistics; return whether there are any."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for module in norms:
        module.track_running_stats = False
        module.running_mean = module.running_var = None
    return bool(norms)
