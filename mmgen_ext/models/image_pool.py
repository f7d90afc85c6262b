"""A history of generated images for the discriminators (Shrivastava et al. 2017)."""

from __future__ import annotations

import copy

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor


class ImagePool:
    """Returns, once it is full, an image of the past instead of the new one half of the time.

    What happens to the n-th image is a function of (seed, n), so that the images and the count are
    the whole state. Many processes have one pool together: each holds all of it, is told the images
    of all, and returns its own share of what one process would return for the joint batch.

    Args:
        size: Images kept; 0 returns every image as it came.
        seed: Of the pool's own random numbers.
    """

    def __init__(self, size: int = 50, seed: int = 0):
        if size < 0:
            raise ValueError(f"pool_size={size} is negative; the paper takes 50, and 0 is off")
        self.size = size
        self.seed = seed
        self.images: list[Tensor] = []
        self.count = 0

    def query(self, images: Tensor) -> Tensor:
        """Exchange generated images (N, C, H, W) for as many, partly of the past, detached."""
        if self.size == 0:
            return images.detach()
        # Pictures of another size cannot stand in one batch with the past: start anew.
        if self.images and self.images[0].shape != images.shape[1:]:
            self.images.clear()
        everyone, first = gather_images(images.detach())
        exchanged = [self._exchange(image) for image in everyone]
        return torch.stack(exchanged[first : first + len(images)])

    def copy(self) -> ImagePool:
        """A pool that goes on from here without changing this one."""
        other = copy.copy(self)
        other.images = list(self.images)
        return other

    def _exchange(self, image: Tensor) -> Tensor:
        n, self.count = self.count, self.count + 1
        if len(self.images) < self.size:
            self.images.append(image.clone())
            return image
        rng = np.random.Generator(np.random.Philox(key=self.seed, counter=n))
        if rng.random() < 0.5:
            return image
        slot = int(rng.integers(self.size))
        past, self.images[slot] = self.images[slot], image.clone()
        return past

    def state_dict(self) -> dict:
        """The pool as plain data: {'images': (n, C, H, W) or None, 'count': int, 'seed': int}."""
        images = torch.stack(self.images) if self.images else None
        return {"images": images, "count": self.count, "seed": self.seed}

    def load_state_dict(self, state: dict, device: torch.device | str = "cpu") -> None:
        """Continue from what state_dict returned; images beyond `size` are dropped."""
        images = state["images"]
        self.images = [] if images is None else list(images[: self.size].to(device))
        self.count = state["count"]
        self.seed = state["seed"]


def gather_images(images: Tensor) -> tuple[Tensor, int]:
    """The images (W * N, C, H, W) that all W processes give, by rank, and where one's own begin."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return images, 0
    everyone = [torch.empty_like(images) for _ in range(dist.get_world_size())]
    dist.all_gather(everyone, images.contiguous())
    return torch.cat(everyone), dist.get_rank() * len(images)
