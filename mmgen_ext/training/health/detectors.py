"""The diseases that are looked for: measure, threshold, meaning and remedy of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace


@dataclass(frozen=True)
class Detector:
    """One disease; it is there when the worst of its values is beyond the threshold for long.

    Args:
        name: Key in records and configs.
        title: What people call it.
        measure: What the value is, with its range.
        threshold: Of the value.
        direction: 'above' or 'below': the side of the threshold that is ill.
        meaning: What it does to the run.
        remedy: Which keys of a config to change.
        start: Iterations before which it does not count: new networks are no patients.
    """

    name: str
    title: str
    measure: str
    threshold: float
    direction: str
    meaning: str
    remedy: str
    start: int = 100

    def is_ill(self, value: float) -> bool:
        """Whether a value lies beyond the threshold."""
        return value > self.threshold if self.direction == "above" else value < self.threshold

    def worst(self, values: Mapping[str, float]) -> float:
        """Of values by domain, the one nearest to or farthest beyond the threshold."""
        return (max if self.direction == "above" else min)(values.values())


# The thresholds lie between what healthy runs and diseases made on purpose show; see the ranges in
# tests/training/test_health.py.
DETECTORS = (
    Detector(
        name="discriminator_collapse_high",
        title="Discriminator collapse (never wrong)",
        measure="accuracy of the discriminator on the kind of patches, real or generated, that it "
        "judges worse, from 0 to 1",
        threshold=0.985,
        direction="above",
        meaning="the discriminator tells every generated picture from a real one, so the generator "
        "is given no direction in which to improve",
        remedy="lower optimizer.discriminators.lr or raise optimizer.generators.lr, and check that "
        "optimizer.generators.lr is not 0",
    ),
    Detector(
        name="discriminator_collapse_low",
        title="Discriminator collapse (never right)",
        measure="accuracy of the discriminator on the kind of patches, real or generated, that it "
        "judges worse, from 0 to 1",
        threshold=0.1,
        direction="below",
        meaning="the discriminator gives real and generated pictures the same verdict, so what the "
        "generator learns from it is worth nothing",
        remedy="check that optimizer.discriminators.lr is neither 0 nor far above 2e-4 (1e-3 with "
        "ProjectedDiscriminator), or lower optimizer.generators.lr",
    ),
    Detector(
        name="mode_collapse",
        title="Mode collapse",
        measure="difference between generated pictures / difference between their sources or, if "
        "lower, between real pictures of the domain: 0 is one picture for all, 1 is healthy",
        threshold=0.3,
        direction="below",
        meaning="the generator makes nearly the same picture of every input",
        remedy="raise model.cycle_weight (of CUT model.nce_weight), lower optimizer.generators.lr, "
        "or go on from an earlier checkpoint with another seed",
        start=200,
    ),
    Detector(
        name="colour_inversion",
        title="Colour inversion",
        measure="correlation of brightness between a source and its translation, from -1 to 1",
        threshold=-0.2,
        direction="below",
        meaning="what is bright in the source becomes dark, as in a negative: cycle consistency "
        "holds for that as well",
        remedy="raise model.identity_weight (5.0 is the paper's; of CUT model.nce_weight), or "
        "start anew with another seed",
        start=200,
    ),
    Detector(
        name="checkerboard",
        title="Checkerboard",
        measure="amplitude of a grid of 2 and 4 pixels on generated pictures from -1 to 1, above "
        "that of real ones: 0 is healthy, 0.1 is 13 grey levels of 255",
        threshold=0.1,
        direction="above",
        meaning="transposed convolutions leave a grid on the generated pictures that training has "
        "not removed",
        remedy='set model.generator.upsample="resize" and train anew, as the weights do not fit',
        # A new transposed convolution has a grid that the first few hundred iterations remove.
        start=300,
    ),
    Detector(
        name="data_starvation",
        title="Data starvation",
        measure="share of an iteration's time that is spent waiting for data, from 0 to 1, on the "
        "process that waits longest",
        threshold=0.5,
        direction="above",
        meaning="the networks wait for pictures more than they compute",
        remedy="raise data.workers_per_gpu, put the data set on a faster disk, or store its "
        "pictures at the size that the pipeline resizes them to",
    ),
    Detector(
        name="domain_imbalance",
        title="Domain imbalance",
        measure="different pictures of a domain / its samples within one pass over it, from 0 to "
        "1; 1 is as planned",
        threshold=0.9,
        direction="below",
        meaning="some pictures of a domain come again before others of it have come once, so part "
        "of the domain is seen less than planned or never",
        remedy="check that no files of data.train.data_root were removed during training, and that "
        "data.train.type draws each picture once per pass, as mmgen_ext.UnpairedImageDataset does",
    ),
    Detector(
        name="identity",
        title="Identity",
        measure="mean difference between a translation and its source / contrast of the source; "
        "0 is no change",
        threshold=0.06,
        direction="below",
        meaning="the translator hands its input through: nothing is translated",
        remedy="lower model.cycle_weight and model.identity_weight (of CUT model.nce_weight), "
        "raise model.gan_loss.loss_weight, and check that the two folders of data.train.data_root "
        "do hold different domains",
        start=200,
    ),
)


def describe() -> list[dict]:
    """All detectors as plain data, in the order in which a report shows them."""
    return [asdict(detector) for detector in DETECTORS]


def choose_detectors(start: int | None, changes: Mapping[str, dict | None]) -> list[Detector]:
    """The table with a config's changes.

    Raises:
        ValueError: If a change names no detector.
    """
    names = [detector.name for detector in DETECTORS]
    for name in changes:
        if name not in names:
            raise ValueError(
                f"detectors.{name} of HealthHook is not known; choose of {', '.join(names)}"
            )
    common = {} if start is None else dict(start=start)
    return [
        replace(detector, **{**common, **(changes.get(detector.name) or {})})
        for detector in DETECTORS
        if changes.get(detector.name, {}) is not None
    ]


class Watch:
    """What one detector has seen: it fires, and recovers, after `patience` checks in a row.

    Args:
        detector: What to look for.
        patience: Checks.
    """

    def __init__(self, detector: Detector, patience: int):
        self.detector, self.patience = detector, patience
        self.firing, self.against = False, 0

    def note(self, value: float, iteration: int) -> bool:
        """Take in the value of a check; return whether `firing` has changed."""
        ill = self.detector.is_ill(value) and iteration >= self.detector.start
        self.against = self.against + 1 if ill != self.firing else 0
        if self.against < self.patience:
            return False
        self.firing, self.against = ill, 0
        return True
