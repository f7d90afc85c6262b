"""The Translator: trained weights in, a function from picture to picture out."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmcv import Config
from torch import Tensor, nn

from ..config import is_ours
from ..device import pick_device
from ..models.generators import ResnetGenerator
from ..models.layers import check_choice
from ..pictures import resize_image, tensor_to_images
from .fast import speed_up
from .onnx_network import OnnxNetwork, load_onnx
from .sizing import memory_free, memory_needed, network_sizes, pad_to, padded_side, working_size
from .tiles import translate_parts
from .weights import Trained, load_trained, normalization, not_made

PRECISIONS = {
    "auto": torch.float32,
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
ROWS_OF_STRIP, SIDE_OF_TILE = 64, 512
# Bytes of activations above which a CPU takes longer for the memory than for the additional work:
# in bf16, strips take 0.6 of the time at 1024 x 768, and 1.3 times as long at 512 x 512.
FASTER_IN_STRIPS = 400e6


def load_exported(path: str | os.PathLike, device: str, precision: str) -> Trained:
    """What an .onnx file holds; its config names the domains alone.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be used, or not in this precision.
    """
    if precision not in ("auto", "fp32"):
        raise ValueError(f"precision={precision!r} is not for {path}; .onnx files run in fp32")
    network, domain, normal, source = load_onnx(path, device)
    domains = [name for name in (source, domain) if name]
    model = dict(type="mmgen_ext.CycleGAN", domains=domains, default_domain=domain)
    networks = nn.ModuleDict({domain: network})
    return Trained(Config(dict(model=model)), networks, normal, "exported")


class Translator:
    """Translates pictures of any size; built without any training code.

    Args:
        config: Config file or Config, ours or mmgen's; None or 'auto' takes the one in the
            checkpoint, or recognises the generator by its tensors.
        checkpoint: Checkpoint file, ours, mmgen's or another's; a name of
            configs/cyclegan/metafile.yml; or an .onnx file, which needs no config.
        device: 'auto' | 'cpu' | 'cuda' | 'cuda:N' | 'mps'.
        precision: 'fp32' | 'bf16' | 'fp16'; 'auto' is fp32.
        tile: Rows of the strips, or side of the tiles, that a picture is translated in; 0 for
            always whole; None for what memory and speed demand. See `tiles`.
        weights: 'raw' for those of the last iteration, 'ema' for their averages over the training,
            'auto' for the averages if the checkpoint holds some.

    Attributes:
        weights: 'raw' | 'ema': what was found; 'exported' for an .onnx file, which does not say.
        iteration: Iterations that the weights were trained, where the checkpoint says so.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If the checkpoint is damaged, does not fit or is of no known kind.
    """

    def __init__(
        self,
        config: str | os.PathLike | Config | None,
        checkpoint: str | os.PathLike,
        device: str = "auto",
        precision: str = "auto",
        tile: int | None = None,
        weights: str = "auto",
    ):
        check_choice("precision", precision, PRECISIONS)
        if tile is not None and tile < 0:
            raise ValueError(f"tile={tile}; expected a number of pixels, or 0 for none")
        chosen = pick_device(device)
        if os.fspath(checkpoint).lower().endswith(".onnx"):
            if weights != "auto":
                raise ValueError(f"{checkpoint} holds one kind of weights; take --weights auto")
            # It runs where onnxruntime can; tensors around it stay on the CPU.
            chosen = torch.device("cpu")
            trained = load_exported(checkpoint, device, precision)
        else:
            trained = load_trained(config, checkpoint, weights)
        self._set_up(trained, chosen, PRECISIONS[precision], tile)

    @classmethod
    def of(cls, cfg: Config, generators: nn.ModuleDict, weights: str, device: torch.device):
        """A Translator of networks in memory, which are copied: those of a training.

        Args:
            cfg: Config with `model`.
            generators: By target domain.
            weights: What they are: 'raw' | 'ema'.
            device: Where they are applied.
        """
        translator = cls.__new__(cls)
        generators = copy.deepcopy(generators).eval()
        trained = Trained(cfg, generators, normalization(cfg), weights)
        translator._set_up(trained, device, torch.float32, None)
        return translator

    def _set_up(
        self, trained: Trained, device: torch.device, dtype: torch.dtype, tile: int | None
    ) -> None:
        cfg, generators, normal, self.weights, self.iteration = trained
        self.device, self.dtype, self.tile = device, dtype, tile
        if not is_ours(cfg.model):
            # mmgen's models are applied as they are trained: by each picture's statistics.
            use_batch_statistics(generators)
        self.cfg = cfg
        self.generators = generators.requires_grad_(False).to(self.device, self.dtype)
        for network in self.generators.values():
            speed_up(network, self.device)
        self.domains = list(self.generators)
        default = cfg.model.get("default_domain")
        self.default_domain = default if default in self.domains else self.domains[-1]
        self.mean, self.std, self.to_rgb = normal
        self._in_parts_alone = threading.Lock()

    def network(self, to: str | None = None) -> nn.Module:
        """The generator that produces domain `to`; None for the default.

        Raises:
            ValueError: With the domains there are.
        """
        to = to or self.default_domain
        if to not in self.generators:
            raise ValueError(not_made(to, self.domains, self.cfg.model))
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
            images: uint8 or uint16 (H, W, C), BGR if C is 3, or gray (H, W). Any sizes.
            to: Target domain; None for the default.
            size: Short side at which to work; None for the picture's own.

        Returns:
            (H, W, C') of the same sizes and types, in the same order.
        """
        network, channels = self.network(to), self.channels(to)
        groups: dict[tuple, list[int]] = {}
        padded = []
        for i, image in enumerate(images):
            padded.append(self._fit(check_image(image, channels), network, size))
            groups.setdefault((padded[i].shape, padded[i].dtype), []).append(i)
        results: list = [None] * len(images)
        for members in groups.values():
            for i, output in zip(members, self._run(network, padded, members), strict=True):
                height, width = images[i].shape[:2]
                h, w = working_size(height, width, size)
                results[i] = resize_image(output[:h, :w], height, width, "bicubic")
        return results

    def _fit(self, image: np.ndarray, network: nn.Module, size: int | None) -> np.ndarray:
        """Bring a picture to the size at which the network translates it."""
        h, w = working_size(*image.shape[:2], size)
        image = resize_image(image, h, w, "area" if h < image.shape[0] else "bicubic")
        limits = network_sizes(network)
        return pad_to(image, padded_side(h, *limits), padded_side(w, *limits))

    @torch.inference_mode()
    def _run(
        self, network: nn.Module, images: Sequence[np.ndarray], members: Sequence[int]
    ) -> list[np.ndarray]:
        """Translate those pictures of `images` that `members` names, all of one size."""
        rows = self._rows(network, *images[members[0]].shape[:2])
        if rows:
            return [self._in_parts(network, images[i], rows) for i in members]
        # On a CPU a batch brings nothing, and one image has the faster norm.
        step = 1 if self.device.type == "cpu" else len(members)
        outputs = []
        for start in range(0, len(members), step):
            batch = np.stack([images[i] for i in members[start : start + step]])
            outputs.extend(self._to_images(network(self._to_tensor(batch)), batch.dtype))
        return outputs

    def _rows(self, network: nn.Module, height: int, width: int) -> int:
        """Rows of the parts in which to translate; 0 for whole."""
        if self.tile is not None:
            return self.tile
        # A quarter leaves room for everybody else.
        limit = memory_free(self.device) / 4
        in_strips = isinstance(network, ResnetGenerator)
        if self.device.type == "cpu" and in_strips:
            limit = min(limit, FASTER_IN_STRIPS)
        if memory_needed(network, height, width) <= limit:
            return 0
        return ROWS_OF_STRIP if in_strips else SIDE_OF_TILE

    def _in_parts(self, network: nn.Module, image: np.ndarray, rows: int) -> np.ndarray:
        output = None

        def sink(start: int, stop: int, part: Tensor) -> None:
            nonlocal output
            pixels = self._to_images(part, image.dtype)[0]
            if output is None:
                output = np.empty((*image.shape[:2], pixels.shape[2]), image.dtype)
            output[start:stop] = pixels

        with self._in_parts_alone:  # The network carries the picture's statistics meanwhile.
            translate_parts(
                network, lambda a, b: self._to_tensor(image[None, a:b]), sink, image.shape[:2], rows
            )
        return output

    def _to_tensor(self, images: np.ndarray) -> Tensor:
        """(N, H, W, C) of whole numbers to what the network takes: normalised, on its device."""
        images = images[..., ::-1] if self.to_rgb else images
        mean, scale = self.mean, self.std * np.iinfo(images.dtype).max
        scaled = (images.astype(np.float32) - mean * np.iinfo(images.dtype).max) / scale
        # As NCHW this is channels_last in memory already.
        batch = torch.from_numpy(scaled).permute(0, 3, 1, 2).to(self.device, self.dtype)
        return batch if self.device.type == "cpu" else batch.contiguous()

    def _to_images(self, output: Tensor, dtype: np.dtype) -> np.ndarray:
        # Tanh spans [-1, 1] whatever the input's normalisation.
        images = tensor_to_images(output, dtype)
        return images[..., ::-1] if self.to_rgb else images


def check_image(image: np.ndarray, channels: int) -> np.ndarray:
    """Return (H, W, channels); gray is repeated, and colour becomes gray where one is taken.

    Raises:
        ValueError: That says what was got.
    """
    image = np.asarray(image)
    image = image[:, :, None] if image.ndim == 2 else image
    if image.ndim == 3 and image.shape[2] == 1:
        image = np.repeat(image, channels, axis=2)
    elif image.ndim == 3 and (image.shape[2], channels) == (3, 1):
        image = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2GRAY)[:, :, None]
    known = image.dtype in (np.uint8, np.uint16)
    if not known or image.ndim != 3 or 0 in image.shape or image.shape[2] != channels:
        raise ValueError(
            f"got {image.dtype} of shape {image.shape}; expected uint8 (H, W, {channels})"
        )
    return image


def use_batch_statistics(network: nn.Module) -> None:
    """Let batch norms use each picture's own statistics."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats = False
            module.running_mean = module.running_var = None
