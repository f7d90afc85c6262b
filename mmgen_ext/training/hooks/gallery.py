"""Pictures of the training as it goes on."""

from pathlib import Path

import numpy as np
from mmcv.runner import HOOKS, Hook
from mmcv.runner.dist_utils import master_only
from torch import Tensor

from ...pictures import labelled_grid, tensor_to_images, write_image


@HOOKS.register_module()
class GalleryHook(Hook):
    """Writes the training batch and its translations as a labelled grid every so often.

    Args:
        interval: Iterations between two pictures.
        output_dir: Folder inside the run's.
        max_rows: Pictures of a batch that are shown.
    """

    def __init__(
        self, interval: int = 1000, output_dir: str = "training_samples", max_rows: int = 4
    ):
        self.interval, self.output_dir, self.max_rows = interval, output_dir, max_rows

    @master_only
    def after_train_iter(self, runner) -> None:
        """Write `<output_dir>/iter_<n>.png`."""
        if not (self.every_n_iters(runner, self.interval) or self.is_last_iter(runner)):
            return
        results = runner.outputs["results"]
        if not results:  # a step of mmgen's models that was not taken
            return
        # Each picture beside its translation: real_a, fake_b, real_b, fake_a.
        reals = [name for name in results if name.startswith("real_")]
        fakes = [name for name in results if name.startswith("fake_")]
        names = [name for pair in zip(reals, reversed(fakes), strict=False) for name in pair]
        columns = {name: self._images(results[name]) for name in names}
        path = Path(runner.work_dir, self.output_dir, f"iter_{runner.iter + 1}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, labelled_grid(columns))

    def _images(self, batch: Tensor) -> list[np.ndarray]:
        return list(tensor_to_images(batch[: self.max_rows]))
