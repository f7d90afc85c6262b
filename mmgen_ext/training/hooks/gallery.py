"""Pictures of the training as it goes on."""

from pathlib import Path

import numpy as np
from mmcv import Config
from mmcv.runner import HOOKS, Hook
from mmcv.runner.dist_utils import master_only

from ...evaluation.image_sets import Preparation, find_images
from ...inference.translator import Translator
from ...pictures import tensor_to_images, write_image
from ..sheet import gallery_sheet
from .ema import generators_to_look_at


@HOOKS.register_module()
class GalleryHook(Hook):
    """Translates the same test pictures every so often: a labelled grid of both directions.

    real, fake, there and back (cycle), and what the way back makes of a picture that is of its
    domain already (identity). With averaged weights if there are some. Where there are no test
    pictures training pictures are taken, and where the data are not two folders the batch.

    Args:
        interval: Iterations between two sheets.
        output_dir: Folder inside the run's.
        num_pictures: Of each domain, evenly over its folder.
    """

    def __init__(
        self, interval: int = 1000, output_dir: str = "training_samples", num_pictures: int = 3
    ):
        self.interval, self.output_dir, self.num_pictures = interval, output_dir, num_pictures
        self.pictures: dict[str, list[np.ndarray]] = {}

    @master_only
    def before_run(self, runner) -> None:
        """Choose and read the pictures."""
        cfg = Config(runner.config)
        preparation = Preparation.of(cfg)
        test, train = (find_images(cfg, split) for split in ("test", "train"))
        translator = Translator.of(cfg, *generators_to_look_at(runner), runner.model.device)
        for domain in test:
            paths = test[domain] or train[domain]
            chosen = [paths[i] for i in _spread(len(paths), self.num_pictures)]
            takers = [other for other in translator.domains if other != domain]
            if chosen and takers:
                channels = translator.channels(takers[0])
                try:
                    images = [preparation.read(path, channels) for path in chosen]
                except (ValueError, OSError) as error:
                    runner.logger.warning("not shown in the gallery: %s", error)
                else:
                    self.pictures[domain] = images

    @master_only
    def after_train_iter(self, runner) -> None:
        """Write `<output_dir>/iter_<n>.png`, and add it to TensorBoard's images if that is on."""
        if not (self.every_n_iters(runner, self.interval) or self.is_last_iter(runner)):
            return
        rows = self._translate(runner) if self.pictures else self._batch(runner)
        if not rows:  # a step of mmgen's models that was not taken
            return
        sheet, layout = gallery_sheet(rows)
        path = Path(runner.work_dir, self.output_dir, f"iter_{runner.iter + 1}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, sheet, dict(layout=layout))
        _show_elsewhere(runner, sheet)

    def _translate(self, runner) -> list[dict]:
        generators, weights = generators_to_look_at(runner)
        translator = Translator.of(Config(runner.config), generators, weights, runner.model.device)
        rows = []
        for source, pictures in self.pictures.items():
            target = next(domain for domain in translator.domains if domain != source)
            for real in pictures:
                row = dict(source=source, target=target, real=real, fake=translator(real, target))
                if source in translator.domains:
                    row["cycle"] = translator(row["fake"], source)
                    if real.shape[2] == translator.channels(source):
                        row["identity"] = translator(real, source)
                rows.append(row)
        return rows

    def _batch(self, runner) -> list[dict]:
        """The training batch and its translations."""
        results = runner.outputs["results"]
        reals = [name for name in results if name.startswith("real_")]
        fakes = [name for name in results if name.startswith("fake_")]
        rows = []
        for real, fake in zip(reals, reversed(fakes), strict=False):
            images = (tensor_to_images(results[name][: self.num_pictures]) for name in (real, fake))
            names = dict(source=real.removeprefix("real_"), target=fake.removeprefix("fake_"))
            rows += [dict(names, real=a, fake=b) for a, b in zip(*images, strict=True)]
        return rows


def _spread(length: int, count: int) -> list[int]:
    """`count` places evenly over `length`."""
    return [i * length // min(count, length) for i in range(min(count, length))]


def _show_elsewhere(runner, sheet: np.ndarray) -> None:
    """Give the sheet to the hooks of TensorBoard and W&B that the config names."""
    rgb = np.ascontiguousarray(sheet[:, :, ::-1])
    for hook in runner.hooks:
        kind = type(hook).__name__
        if kind == "TensorboardLoggerHook":
            hook.writer.add_image("gallery", rgb, runner.iter + 1, dataformats="HWC")
        elif kind == "WandbLoggerHook":
            hook.wandb.log({"gallery": hook.wandb.Image(rgb)}, commit=False)
