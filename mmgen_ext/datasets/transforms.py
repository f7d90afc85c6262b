"""One-image transforms: they work on `results['img']` and draw from `results['rng']`.

`img` is uint8 (H, W, C), BGR if C is 3, until ToTensor. `rng` is the sample's own generator;
without one (at inference) random transforms raise a KeyError.
"""

from __future__ import annotations

from ..pictures import INTERPOLATIONS, image_to_tensor, resize_image
from ..registry import PIPELINES
from .images import read_image


@PIPELINES.register_module()
class LoadImage:
    """Read `img_path` to `img`; see images.decode_image for what is read how.

    Under mmgen's own functions, which name the file `img_<domain>_path`, the first such key counts.

    Args:
        channels: 3 for colour (BGR), 1 for gray, others from .npy or multi-channel TIFF.
        at_least: Decode a JPEG at a half, quarter or eighth of its size if both sides are still
            this long then: several times faster where photographs are large, and other pixels than
            those of the whole picture resized. None for the whole.
    """

    def __init__(self, channels: int = 3, at_least: int | None = None):
        self.channels, self.at_least = channels, at_least

    def __call__(self, results: dict) -> dict:
        """Add `img`, uint8 (H, W, channels)."""
        if "img_path" not in results:
            results["img_path"] = next(
                v for k, v in results.items() if k.startswith("img_") and k.endswith("_path")
            )
        channels = results.get("channels", self.channels)
        return {**results, "img": read_image(results["img_path"], channels, self.at_least)}


@PIPELINES.register_module()
class Resize:
    """Resize `img`.

    Args:
        size: Side of the square it becomes (squashed, as in the paper), or its short side.
        keep_ratio: Whether `size` is the short side and the aspect stays.
        interpolation: 'nearest' | 'bilinear' | 'bicubic' | 'area' | 'lanczos'.
    """

    def __init__(self, size: int, keep_ratio: bool = False, interpolation: str = "bicubic"):
        if interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"interpolation={interpolation!r} is not known; choose one of "
                f"{', '.join(INTERPOLATIONS)}"
            )
        self.size, self.keep_ratio, self.interpolation = size, keep_ratio, interpolation

    def __call__(self, results: dict) -> dict:
        """Replace `img`."""
        h, w = results["img"].shape[:2]
        scale = self.size / min(h, w)
        height, width = (
            (round(h * scale), round(w * scale)) if self.keep_ratio else (self.size, self.size)
        )
        return {**results, "img": resize_image(results["img"], height, width, self.interpolation)}


@PIPELINES.register_module()
class RandomCrop:
    """Cut a square at a random place.

    Args:
        size: Side of the square.
    """

    def __init__(self, size: int):
        self.size = size

    def __call__(self, results: dict) -> dict:
        """Replace `img`.

        Raises:
            ValueError: If the picture is smaller than the square.
        """
        image, rng = results["img"], results["rng"]
        h, w = image.shape[:2]
        if min(h, w) < self.size:
            raise ValueError(
                f"{results.get('img_path', 'the image')} has {h} x {w} pixels here, smaller than "
                f"the crop of {self.size}; put a Resize of at least {self.size} before RandomCrop"
            )
        y, x = (int(rng.integers(side - self.size + 1)) for side in (h, w))
        return {**results, "img": image[y : y + self.size, x : x + self.size]}


@PIPELINES.register_module()
class RandomFlip:
    """Mirror left and right with a probability.

    Args:
        prob: Probability of mirroring.
    """

    def __init__(self, prob: float = 0.5):
        self.prob = prob

    def __call__(self, results: dict) -> dict:
        """Replace `img`."""
        flip = results["rng"].random() < self.prob
        return {**results, "img": results["img"][:, ::-1]} if flip else results


@PIPELINES.register_module()
class ToTensor:
    """The end of a pipeline: `img` as float32 (C, H, W) in [-1, 1], and nothing else.

    Where mmgen's own functions named the file `img_<domain>_path`, the tensor is there under
    `img_<domain>` as well.
    """

    def __call__(self, results: dict) -> dict:
        """Return the tensors."""
        tensor = image_to_tensor(results["img"])
        names = [k.removesuffix("_path") for k in results if k.endswith("_path")]
        return {**dict.fromkeys(names, tensor), "img": tensor}
