"""Which iteration is good: metrics of the test pictures while a run goes on."""

import math
import time
from collections.abc import Mapping
from pathlib import Path

from mmcv import Config
from mmcv.runner import HOOKS, Hook

from ...evaluation.evaluate import Stopped, choose_directions, evaluate
from ...evaluation.features import Extractor
from ...evaluation.image_sets import Preparation, find_images
from ...evaluation.report import metrics_table
from ...inference.translator import Translator
from ...words import counted
from .. import distributed
from ..records import append_record
from .ema import generators_to_look_at

SAVE_BEST = ("kid", "fid", None)


@HOOKS.register_module()
class EvaluationHook(Hook):
    """Evaluates both directions every so often and keeps the best weights.

    What cannot be evaluated, for want of pictures or of a package, is said once; the training goes
    on, and is the same to the bit as without. Averaged weights are evaluated if there are some.

    Args:
        interval: Iterations between two evaluations; the last iteration is evaluated too.
        to: 'both', or the one target domain.
        features: 'lite0', which needs no network, or 'inception'.
        features_weights: File of Inception's weights; None for the cache.
        save_best: 'kid' or 'fid': the lowest mean over the directions is kept as
            `best_<metric>_iter_<n>.pth`; None keeps none.
        reference: 'test' | 'train': pictures of the target domain to compare with.
        batch_size: Pictures translated at once; None for 1 on a CPU, else 8.
    """

    def __init__(
        self,
        interval: int = 5000,
        to: str = "both",
        features: str = "lite0",
        features_weights: str | None = None,
        save_best: str | None = "kid",
        reference: str = "test",
        batch_size: int | None = None,
    ):
        if save_best not in SAVE_BEST or reference not in ("test", "train"):
            raise ValueError(
                f"evaluation: save_best={save_best!r}, reference={reference!r}; expected one of "
                f"{SAVE_BEST} and one of 'test', 'train'"
            )
        if not isinstance(interval, int) or interval < 1:
            raise ValueError(f"evaluation.interval={interval!r}; expected a number of iterations")
        self.interval, self.to, self.save_best = interval, to, save_best
        self.features, self.features_weights = features, features_weights
        self.reference, self.batch_size = reference, batch_size
        self.extractor: Extractor | None = None
        self.directions: list[str] | None = None
        self.bounds: dict[str, dict] = {}

    def before_run(self, runner) -> None:
        """Find what can be evaluated; say once what cannot."""
        if self.directions is not None:  # A run that went back to a checkpoint.
            return
        self.cfg = Config(runner.config)
        self.sources = find_images(self.cfg, "test")
        self.references = find_images(self.cfg, self.reference)
        self.preparation = Preparation.of(self.cfg)
        self.directions, reasons = choose_directions(
            self._translator(runner), self.sources, self.references, self.to
        )
        for domain, reason in reasons.items():
            runner.logger.warning("not evaluated: translations to %s (%s)", domain, reason)
        error = self._load_extractor(runner) if self.directions else None
        if distributed.largest(error is not None):
            self.directions = []
            if error is not None:
                runner.logger.warning("not done: evaluation (%s)", error)

    def _load_extractor(self, runner) -> Exception | None:
        try:
            self.extractor = Extractor(self.features, runner.model.device, self.features_weights)
        except (ValueError, OSError) as error:
            return error
        return None

    def _translator(self, runner) -> Translator:
        return Translator.of(self.cfg, *generators_to_look_at(runner), runner.model.device)

    def after_train_iter(self, runner) -> None:
        """Evaluate if it is time."""
        due = self.every_n_iters(runner, self.interval) or self.is_last_iter(runner)
        if due and self.directions:
            try:
                self._evaluate(runner)
            except Stopped:
                runner.logger.info("the evaluation was left out: the run is stopping")
            except Exception as error:  # Never worth a run of days.
                runner.logger.warning("not evaluated: %s; training goes on", error)

    def _evaluate(self, runner) -> None:
        begin = time.monotonic()
        translator = self._translator(runner)
        translator.iteration = runner.iter + 1
        device = runner.model.device.type
        runner.logger.info("evaluating %s", ", ".join(f"to {domain}" for domain in self.directions))
        results = {
            domain: evaluate(
                translator, self.sources, self.references, domain, self.extractor,
                self.preparation, self.batch_size or (1 if device == "cpu" else 8),
                (distributed.rank(), distributed.world_size()), distributed.all_objects,
                lambda: bool(runner.stop_signal), self.bounds,
            )
            for domain in self.directions
        }  # fmt: skip
        if distributed.rank() == 0:
            self._note(runner, results, translator.weights, time.monotonic() - begin)

    def _note(self, runner, results: Mapping[str, dict], weights: str, seconds: float) -> None:
        """Log and record the results, and save the weights if they are the best so far."""
        for result in results.values():
            result["protocol"]["reference"] = self.reference
        runner.logger.info(
            "evaluation after %s (%s weights, %.0f s):\n%s",
            *(counted(runner.iter + 1, "iteration"), weights, seconds, metrics_table(results)),
        )
        if self.save_best:
            score = sum(result[self.save_best] for result in results.values()) / len(results)
            self._keep_best(runner, score, _scale(results))
        # For mmcv's loggers: TensorBoard, W&B and others.
        for domain, result in results.items():
            for name in ("kid", "fid", "ssim", "cycle_error"):
                if name in result:
                    runner.log_buffer.output[f"{name}_{domain}"] = result[name]
        runner.log_buffer.ready = True
        record = dict(weights=weights, features=self.features, seconds=round(seconds, 2))
        append_record(runner, "evaluation", {**record, "directions": results})

    def _keep_best(self, runner, score: float, scale: str) -> None:
        """Save the weights if no others of this folder are better on the same scale."""
        # Where mmcv's hooks keep it: it is in every checkpoint, and so survives a resume.
        found = runner.meta.setdefault("hook_msgs", {})
        comparable = found.get("best_scale") == scale
        there = Path(runner.work_dir, found.get("best_checkpoint", "none")).exists()
        best = found.get(f"best_{self.save_best}", math.inf) if comparable and there else math.inf
        if not score < best:
            return
        name = f"best_{self.save_best}_iter_{runner.iter + 1}.pth"
        runner.save_checkpoint(runner.work_dir, name)
        if not Path(runner.work_dir, name).exists():
            return  # A full disk: what was best before stays.
        for path in Path(runner.work_dir).glob(f"best_{self.save_best}_iter_*.pth"):
            if path.name != name:
                path.unlink()
        found |= {f"best_{self.save_best}": score, "best_checkpoint": name, "best_scale": scale}
        runner.logger.info(
            "the best so far: mean %s %.4f, saved as %s", self.save_best.upper(), score, name
        )


def _scale(results: Mapping[str, dict]) -> str:
    """What must agree for scores to be compared: extractor, sizes, references and counts."""
    keys = ("features", "resize", "reference", "num_source", "num_reference")
    return "; ".join(
        f"{to}: " + ", ".join(str(result["protocol"][key]) for key in keys)
        for to, result in sorted(results.items())
    )
