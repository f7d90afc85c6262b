"""From a trained generator to one .onnx file, believed only after onnxruntime agreed with PyTorch.

The graph takes any number of pictures of any size. Torch's exporter by tracing is used: it is the
one that is the same in all versions of torch that requirements.txt allows.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage.data
import torch
from torch import Tensor, nn

from . import __version__
from .config import is_ours
from .files import replacing
from .inference.onnx_file import Metadata, with_metadata
from .inference.onnx_network import OnnxNetwork, load_onnx
from .inference.processed import Processed, with_own_statistics
from .inference.translator import Translator
from .inference.weights import load_trained
from .pictures import resize_image

DEFAULT_OPSET = 17
OPSETS = range(13, 21)  # 13 knows the minimum of whole numbers; the exporter ends at 20.
INPUT, OUTPUT = "image", "translated"
# Largest allowed difference between onnxruntime and PyTorch: of uint8, and of floats in [-1, 1].
UINT8_LIMIT, FLOAT_LIMIT = 1, 1e-3
# Photographs of scikit-image and the sizes they are checked at; two of one size make a batch.
CHECKED = {
    ("astronaut", "rocket"): (256, 256),
    ("chelsea",): (203, 301),
    ("coffee",): (320, 192),
}


@dataclass(frozen=True)
class Report:
    """What was exported and how well it agrees.

    Attributes:
        path: The file.
        domain: Domain that it makes.
        opset: Of the operators.
        inputs: Name, type and layout of what it takes.
        outputs: Name, type and layout of what it gives.
        checked: Shapes (N, H, W) of the photographs that it was checked with.
        difference: Largest one between onnxruntime and PyTorch, on the scale 0 to 255.
        num_bytes: Size of the file.
    """

    path: Path
    domain: str
    opset: int
    inputs: str
    outputs: str
    checked: list[tuple[int, int, int]]
    difference: float
    num_bytes: int


def export_onnx(
    config: str | os.PathLike | None,
    checkpoint: str | os.PathLike,
    out: str | os.PathLike,
    to: str | None = None,
    with_processing: bool = False,
    opset: int = DEFAULT_OPSET,
) -> Report:
    """Write the generator of one direction as ONNX, checked against PyTorch on photographs.

    Args:
        config: Config file; None or 'auto' for the one in the checkpoint.
        checkpoint: Whatever the Translator reads.
        out: `NAME.onnx`, replaced if it is there.
        to: Domain that is made; None for the model's default.
        with_processing: Whether the graph takes and gives uint8 (N, H, W, C), BGR, of any size;
            else float32 (N, C, H, W) with sides as the generator takes them.
        opset: Version of ONNX's operators, 13 to 20.

    Returns:
        What was written.

    Raises:
        ValueError: If the checkpoint is damaged, has no such domain, cannot be exported, or
            onnxruntime makes something else of it; no file is left then.
        OSError: If the file cannot be written.
    """
    out = Path(out)
    _check_arguments(out, opset)
    translator = Translator(config, checkpoint, device="cpu", precision="fp32")
    to = to or translator.default_domain
    if isinstance(translator.network(to), OnnxNetwork):
        raise ValueError(f"{checkpoint} is exported already; expected a checkpoint")
    # The Translator's own is rearranged for this machine.
    cfg, generators, *_ = load_trained(config, checkpoint)
    network = generators[to] if is_ours(cfg.model) else with_own_statistics(generators[to])
    normalization = (translator.mean, translator.std, translator.to_rgb)
    processed = Processed(network, normalization).eval()
    example = torch.from_numpy(_photographs(translator.channels(to))[0][:, :64, :64])
    graph = _trace(processed if with_processing else network, processed, example, opset)
    made = network(processed.prepare(example)).shape[1]
    metadata = _describe(translator, to, processed, made, with_processing)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as part:
        part.write_bytes(with_metadata(graph, metadata))
        _check_graph(part)
        difference, checked = _compare(part, translator, to, processed, with_processing)
        limit = UINT8_LIMIT if with_processing else FLOAT_LIMIT * 127.5
        if not difference <= limit:
            raise ValueError(
                f"{out} was not written: onnxruntime and PyTorch differ by {difference:.3g} of "
                f"255 (expected at most {limit:.3g}); try another --opset"
            )
    size = out.stat().st_size
    return Report(out, to, opset, *_layouts(metadata), checked, difference, size)


def _check_arguments(out: Path, opset: int) -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ValueError(
            'export needs onnx and onnxruntime; install them with: pip install -e ".[export]"'
        ) from error
    if out.suffix.lower() != ".onnx":
        raise ValueError(f"{out} ends in {out.suffix!r}; expected .onnx")
    if opset not in OPSETS:
        raise ValueError(f"opset {opset} is not known; expected {OPSETS[0]} to {OPSETS[-1]}")


def _trace(module: nn.Module, processed: Processed, example: Tensor, opset: int) -> bytes:
    """The serialized graph of `module`, with any batch, height and width."""
    pictures = module is processed
    names = dict(enumerate(("batch", "height", "width")))
    axes = names if pictures else {0: "batch", 2: "height", 3: "width"}
    file = io.BytesIO()
    try:
        with torch.no_grad(), warnings.catch_warnings():
            # Of the exporter's age, and of branches on sizes that any traced size takes alike.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                (example if pictures else processed.prepare(example),),
                file,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_axes={INPUT: axes, OUTPUT: axes},
                opset_version=opset,
                dynamo=False,
            )
    except Exception as error:  # The exporter's errors are of every kind.
        name = type(processed.network).__name__
        raise ValueError(f"{name} cannot be exported with opset {opset}: {error}") from error
    return file.getvalue()


def _describe(
    translator: Translator, to: str, processed: Processed, made: int, with_processing: bool
) -> Metadata:
    return Metadata(
        domain=to,
        source=_source_domain(translator.cfg.get("model") or {}, to),
        in_channels=translator.channels(to),
        out_channels=made,
        size_divisor=processed.size_divisor,
        min_size=processed.min_size,
        mean=processed.mean.flatten().tolist(),
        std=processed.std.flatten().tolist(),
        to_rgb=processed.to_rgb,
        with_processing=with_processing,
        version=__version__,
    )


def _source_domain(model: Mapping, to: str) -> str | None:
    """The other of a model's two domains."""
    names = model.get("domains") or model.get("related_domains") or ()
    others = [name for name in names if name != to]
    return others[0] if len(others) == 1 else None


def _layouts(metadata: Metadata) -> tuple[str, str]:
    """What the graph takes and gives, in words."""
    c, made, divisor = metadata.in_channels, metadata.out_channels, metadata.size_divisor
    order = "RGB" if metadata.to_rgb else "BGR"
    if metadata.with_processing:
        return f"{INPUT}, uint8 (N, H, W, {c}) BGR", f"{OUTPUT}, uint8 (N, H, W, {made}) BGR"
    sides = f"H and W multiples of {divisor}, at least {metadata.min_size}"
    return (
        f"{INPUT}, float32 (N, {c}, H, W) {order}, normalised, {sides}",
        f"{OUTPUT}, float32 (N, {made}, H, W) {order} in [-1, 1]",
    )


def _photographs(channels: int) -> list[np.ndarray]:
    """Batches of photographs, uint8 (N, H, W, channels)."""
    batches = []
    for names, (height, width) in CHECKED.items():
        images = [getattr(skimage.data, name)()[..., ::-1] for name in names]
        images = [resize_image(image, height, width, "area") for image in images]
        # More or fewer than three channels are filled from these in turn.
        batches.append(np.stack(images)[..., np.arange(channels) % 3])
    return batches


def _check_graph(path: Path) -> None:
    import onnx

    try:
        onnx.checker.check_model(onnx.load(path, format="protobuf"), full_check=True)
    except Exception as error:  # of onnx's C++ code
        raise ValueError(f"the exported graph is not valid ONNX: {error}") from error


@torch.no_grad()
def _compare(
    path: Path, translator: Translator, to: str, processed: Processed, with_processing: bool
) -> tuple[float, list[tuple[int, int, int]]]:
    """Largest difference on the scale 0 to 255, and the shapes (N, H, W) that were compared."""
    exported = load_onnx(path, "cpu").network
    differences, shapes = [], []
    for images in _photographs(translator.channels(to)):
        if with_processing:
            got = exported.run(images).astype(float)
            expected = np.stack(translator.batch(list(images), to))
        else:
            batch = processed.prepare(torch.from_numpy(images))
            got = exported(batch).numpy() * 127.5
            expected = processed.network(batch).numpy() * 127.5
        differences.append(np.abs(got - expected).max())
        shapes.append(images.shape[:3])
    return float(np.max(differences)), shapes
