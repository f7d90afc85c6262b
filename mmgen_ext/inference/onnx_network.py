"""An .onnx file as a network of the Translator's, run by onnxruntime."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..device import pick_device
from ..pictures import tensor_to_images
from .onnx_file import Metadata, check_seal, read_metadata

_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


class OnnxNetwork(nn.Module):
    """A generator in an onnxruntime session; it has no parameters.

    Args:
        session: `onnxruntime.InferenceSession` with one input and one output.
        in_channels: Channels of its input.
        size_divisor: Both sides of its input are multiples of it.
        min_size: Smallest side of its input, in pixels.
        with_processing: Whether the graph takes and gives uint8 (N, H, W, C).

    Attributes:
        device: 'cpu' | 'cuda', where it runs.
        divisible: That its inside is out of reach, so that it takes pictures whole.
    """

    divisible = False

    def __init__(
        self,
        session,
        in_channels: int,
        size_divisor: int = 4,
        min_size: int = 8,
        with_processing: bool = False,
    ):
        super().__init__()
        self.session = session
        self.in_channels = in_channels
        self.size_divisor, self.min_size = size_divisor, min_size
        self.with_processing = with_processing
        self.device = "cuda" if session.get_providers()[0] == _CUDA else "cpu"
        # Some exporters fix the batch.
        self.max_batch = 1 if session.get_inputs()[0].shape[0] == 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """Translate x (N, in_channels, H, W) float32 in [-1, 1] to (N, C, H, W) on its device.

        Raises:
            ValueError: If the graph cannot take this size.
        """
        if self.with_processing:
            made = self.run(tensor_to_images(x)).transpose(0, 3, 1, 2).astype(np.float32)
            output = torch.from_numpy(made / 127.5 - 1)
        else:
            output = torch.from_numpy(self.run(x.detach().float().cpu().numpy()))
        return output.to(x.device)

    def run(self, batch: np.ndarray) -> np.ndarray:
        """What the graph itself makes of (N, ...), in its own layout and type.

        Raises:
            ValueError: If it fails: with onnxruntime's words.
        """
        name = self.session.get_inputs()[0].name
        step = self.max_batch or len(batch)
        try:
            made = [
                self.session.run(None, {name: np.ascontiguousarray(batch[i : i + step])})[0]
                for i in range(0, len(batch), step)
            ]
        except Exception as error:  # onnxruntime's errors share no base of their own.
            raise ValueError(
                f"the .onnx file fails on an input of shape {batch.shape}: {_first_line(error)}"
            ) from error
        return made[0] if len(made) == 1 else np.concatenate(made)


class LoadedOnnx(NamedTuple):
    """What `load_onnx` returns.

    Attributes:
        network: It takes the picture, normalised by the next but one.
        domain: Domain that it makes.
        normalization: (mean, std, to_rgb) on the scale 0 to 1.
        source: Domain of the pictures it is made for; None if not known.
    """

    network: OnnxNetwork
    domain: str
    normalization: tuple[np.ndarray, np.ndarray, bool]
    source: str | None


def load_onnx(
    path: str | os.PathLike, device: str = "auto", threads: int | None = None
) -> LoadedOnnx:
    """Load an .onnx file: of tools/export.py, or a translator that another program exported.

    The latter is taken to be float32 (N, C, H, W), RGB in [-1, 1], with any batch and any sides
    that are multiples of 4, as generators of CycleGANs are.

    Args:
        path: The file.
        device: 'auto' | 'cpu' | 'cuda' | 'cuda:N'.
        threads: Of the CPU; None for as many as PyTorch uses.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or no translator, or the device or onnxruntime is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no ONNX file {path}")
    session = _open(path, device, threads)
    metadata = read_metadata(session.get_modelmeta().custom_metadata_map, path)
    if metadata is None:
        return _load_foreign(session, path)
    check_seal(path)
    half = np.float32([0.5])
    processed = metadata.with_processing
    limits = (1, 1) if processed else (metadata.size_divisor, metadata.min_size)
    network = OnnxNetwork(session, metadata.in_channels, *limits, processed)
    normal = (half, half, False) if processed else _normalization(metadata)
    return LoadedOnnx(network.eval(), metadata.domain, normal, metadata.source)


def _open(path: Path, device: str, threads: int | None):
    """An onnxruntime session on a file."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ValueError(
            'an .onnx file needs onnxruntime; install it with: pip install -e ".[export]"'
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    # Threads that wait by spinning take the cores from reading, writing and PyTorch.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # What goes wrong is raised as well.
    providers = _providers(device, onnxruntime.get_available_providers())
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # As in OnnxNetwork.run.
        raise ValueError(f"{path} is no ONNX file, or is damaged ({_first_line(error)})") from error


def _providers(device: str, available: list[str]) -> list:
    """What onnxruntime runs on, best first."""
    chosen = pick_device(device)
    if chosen.type == "cuda" and _CUDA in available:
        return [(_CUDA, {"device_id": chosen.index or 0}), _CPU]
    if chosen.type != "cpu" and device != "auto":
        raise ValueError(
            f"onnxruntime cannot use device {device!r} here (it has {', '.join(available)}); "
            f"use --device cpu, or for CUDA: pip install onnxruntime-gpu"
        )
    return [_CPU]


def _normalization(metadata: Metadata) -> tuple[np.ndarray, np.ndarray, bool]:
    return np.float32(metadata.mean), np.float32(metadata.std), metadata.to_rgb


def _load_foreign(session, path: Path) -> LoadedOnnx:
    """A file without our metadata, if it looks like a translator."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    shape = inputs[0].shape if inputs else []
    form = ", ".join(f"{i.type} {i.shape}" for i in inputs) or "no input"
    expected = "expected one input, tensor(float) (N, 3, H, W), and one output"
    if len(inputs) != 1 or not outputs or inputs[0].type != "tensor(float)" or len(shape) != 4:
        raise ValueError(f"{path} is no translator of pictures: it takes {form}; {expected}")
    batch, channels, height, width = shape
    if channels not in (1, 3):
        raise ValueError(f"{path} is no translator of pictures: it takes {form}; {expected}")
    if isinstance(height, int) or isinstance(width, int) or batch not in (1, None, str(batch)):
        raise ValueError(
            f"{path} takes pictures of one size or number only ({form}); export it with dynamic "
            f"height, width and batch"
        )
    half = np.float32([0.5])
    # A module's name holds no dots.
    domain = path.stem.replace(".", "_")
    return LoadedOnnx(OnnxNetwork(session, channels).eval(), domain, (half, half, True), None)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]
