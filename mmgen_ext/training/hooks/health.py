"""Watches a training for its diseases."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import torch
from mmcv.runner import HOOKS, Hook
from torch import Tensor

from .. import distributed
from ..faults import open_containers
from ..health import Watch, choose_detectors
from ..health.coverage import Coverage, find_files, planned_pictures
from ..health.measures import (
    accuracy,
    change,
    checkerboard,
    luminance_correlation,
    relative_spread,
)
from ..health.step import decision_boundary, directions, from_bytes, judge, to_bytes
from ..records import append_record


@HOOKS.register_module()
class HealthHook(Hook):
    """Looks for diseases every so often, writes a record of mode `health`, and warns.

    It looks at the last `num_pictures` translations, spread over an interval, and does not change
    the training. All ranks take part.

    Args:
        interval: Iterations between two checks.
        num_pictures: Pictures of each domain that a check looks at, one of a step.
        patience: Checks in a row that agree before a disease counts as there, or as gone.
        start: Iterations before which nothing counts; None for each detector's own.
        detectors: What to change of a detector, by its name, as
            `dict(checkerboard=dict(threshold=0.3))`; None switches one off.
    """

    def __init__(
        self,
        interval: int = 100,
        num_pictures: int = 16,
        patience: int = 3,
        start: int | None = None,
        detectors: Mapping[str, dict | None] | None = None,
    ):
        for name, value in dict(
            interval=interval, num_pictures=num_pictures, patience=patience
        ).items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}={value!r} of HealthHook; expected at least 1")
        self.interval, self.every = interval, max(1, interval // num_pictures)
        chosen = choose_detectors(start, detectors or {})
        self.watches = {detector.name: Watch(detector, patience) for detector in chosen}
        self.pictures: deque[dict[str, Tensor]] = deque(maxlen=num_pictures)
        self.accuracies: deque[dict[str, Tensor]] = deque(maxlen=num_pictures)
        self.told: set[str] = set()

    def before_run(self, runner) -> None:
        """Begin; a run that goes back to a checkpoint comes here again."""
        self.pictures.clear()
        self.accuracies.clear()
        self.coverage, self.samples = None, []
        self.waited = self.worked = 0.0

    def after_train_iter(self, runner) -> None:
        """Keep what a check needs, and check if it is time."""
        # mmcv's clock: the runner starts it when all hooks are done, so that metrics and pictures
        # count neither as waiting nor as work.
        waited, whole = (
            (runner.log_buffer.val_history.get(name) or [0.0])[-1] for name in ("data_time", "time")
        )
        self.waited += waited
        self.worked += max(0.0, whole - waited)
        self._keep_samples(runner)
        results = runner.outputs.get("results")
        due = self.every_n_iters(runner, self.interval)
        taken = results and runner.outputs.get("applied", True)
        if taken and (due or self.every_n_iters(runner, self.every)):
            self._keep_pictures(runner, results)
        if due:
            self._check(runner)

    def _keep_samples(self, runner) -> None:
        """Which files were seen, under their numbers in the stream; see StreamSampler."""
        if self.coverage is None:
            loader = getattr(runner.data_loader, "_dataloader", runner.data_loader)
            self.coverage = Coverage(planned_pictures(getattr(loader, "dataset", None)))
        world, rank, pieces = distributed.world_size(), distributed.rank(), len(runner.data_batch)
        for piece, batch in enumerate(runner.data_batch):
            batch = open_containers(batch)
            for domain in self.coverage.planned:
                files = list(find_files(batch, f"img_{domain}_path"))
                first = ((runner.iter * pieces + piece) * world + rank) * len(files)
                self.samples += [(first + i, domain, path) for i, path in enumerate(files)]

    def _keep_pictures(self, runner, results: Mapping[str, Tensor]) -> None:
        """Keep the first picture of each kind as 8 bits, and how the discriminators judge."""
        names = {name for names in directions(results) for name in names}
        self.pictures.append({name: to_bytes(results[name][:1]) for name in sorted(names)})
        model, found = runner.model.module, {}
        for fake, source, target in directions(results):
            domain = fake.removeprefix("fake_")
            try:
                discriminator = model.discriminators[domain]
                boundary = decision_boundary(model.gan_loss)
                logits = [
                    judge(discriminator, results[name], results[source]) for name in (target, fake)
                ]
                found[domain] = accuracy(*logits, boundary)
            except Exception as error:  # Others' networks may want anything.
                self._tell_once(runner, f"discriminator of {domain} is not watched ({error})")
        self.accuracies.append(found)

    def _tell_once(self, runner, text: str) -> None:
        if text not in self.told:
            self.told.add(text)
            runner.logger.info("health: %s", text)

    def _check(self, runner) -> None:
        """Measure, tell the other ranks, write the record, and warn of what has changed."""
        share = self.waited / max(self.waited + self.worked, 1e-9)
        mine = {**self._measure(), "data_starvation": {f"rank {distributed.rank()}": share}}
        everyone = distributed.all_objects((mine, self.samples))
        self.coverage.add(sample for _, samples in everyone for sample in samples)
        self.samples, self.waited, self.worked = [], 0.0, 0.0
        measured = mean_by_key([values for values, _ in everyone])
        measured["domain_imbalance"] = self.coverage.values()
        checks = {}
        for name, watch in self.watches.items():
            values = measured.get(name)
            if not values:
                continue
            value = watch.detector.worst(values)
            if watch.note(value, runner.iter + 1):
                self._tell(runner, watch, values)
            checks[name] = dict(
                value=value,
                threshold=watch.detector.threshold,
                firing=watch.firing,
                values=values,
            )
        append_record(runner, "health", dict(checks=checks))

    def _measure(self) -> dict[str, dict[str, float]]:
        """This rank's values by detector and domain, of what can be measured."""
        found: dict[str, dict[str, float]] = {}
        accuracies = [each for each in self.accuracies if each]
        for domain in accuracies[-1] if accuracies else ():
            mean = torch.stack([each[domain] for each in accuracies if domain in each]).mean()
            for side in ("high", "low"):
                found.setdefault(f"discriminator_collapse_{side}", {})[domain] = float(mean)
        if not self.pictures:
            return found
        last = {name: picture.shape for name, picture in self.pictures[-1].items()}
        alike = [p for p in self.pictures if {k: v.shape for k, v in p.items()} == last]
        images = {name: from_bytes(torch.cat([p[name] for p in alike])) for name in last}
        for names in directions(images):
            fake, source, target = (images[name] for name in names)
            same = fake.shape == source.shape
            aligned = fake.shape[2:] == source.shape[2:]
            for name, value in dict(
                mode_collapse=relative_spread(fake, source, target),
                colour_inversion=luminance_correlation(source, fake).mean() if aligned else None,
                checkerboard=checkerboard(fake, source, target),
                identity=change(source, fake) if same else None,
            ).items():
                if value is not None:
                    found.setdefault(name, {})[names[0].removeprefix("fake_")] = float(value)
        return found

    def _tell(self, runner, watch: Watch, values: Mapping[str, float]) -> None:
        """One line: what has begun, or what is over."""
        detector = watch.detector
        value = detector.worst(values)
        where = next(key for key, each in values.items() if each == value)
        if watch.firing:
            runner.logger.warning(
                "health: %s in %s: %s is %.3g, %s the threshold of %g: %s; to help, %s",
                *(detector.title, where, detector.name, value, detector.direction),
                *(detector.threshold, detector.meaning, detector.remedy),
            )
        else:
            runner.logger.info(
                "health: %s is over: %s is %.3g, threshold %g",
                *(detector.title, detector.name, value, detector.threshold),
            )


def mean_by_key(everyone: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Each value's mean over the ranks that have it."""
    found: dict[str, dict[str, list[float]]] = {}
    for values in everyone:
        for name, by_key in values.items():
            for key, value in by_key.items():
                found.setdefault(name, {}).setdefault(key, []).append(value)
    return {
        name: {key: sum(each) / len(each) for key, each in by_key.items()}
        for name, by_key in found.items()
    }
