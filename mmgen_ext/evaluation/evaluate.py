"""Translate the test pictures of a domain and measure the result against those of the other."""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..inference.translator import Translator
from ..words import counted
from . import metrics
from .features import Extractor
from .image_sets import Preparation


class Stopped(Exception):
    """The evaluation was asked to stop and has no result."""


def evaluate(
    translator: Translator,
    sources: Mapping[str, Sequence[Path]],
    references: Mapping[str, Sequence[Path]],
    to: str,
    extractor: Extractor,
    preparation: Preparation,
    batch_size: int = 1,
    share: tuple[int, int] = (0, 1),
    gather: Callable[[object], list] = lambda value: [value],
    stop: Callable[[], bool] = lambda: False,
    bounds: dict[str, dict] | None = None,
) -> dict | None:
    """Measure the translations to one domain.

    Args:
        translator: With a generator of `to`.
        sources: Files to translate, by domain; each is translated once.
        references: Files to compare with, by domain.
        to: Target domain.
        extractor: Of features.
        preparation: How files are sized.
        batch_size: Pictures translated at once.
        share: (number of this process, how many there are): each translates its part.
        gather: The values of all processes, by number.
        stop: Asked between pictures whether to give up.
        bounds: What was found of `untranslated` and `real`, by target; kept there for the next
            evaluation of the same pictures.

    Returns:
        `source`, `target`, `kid`, `kid_std`, `kid_all`, `fid`; `ssim` between source and
        translation (content kept: 1 changed nothing); `cycle_error` (0 to 255) where there is a
        generator back; the bounds of the scale `untranslated` and `real` (one half of the reference
        against the other); `protocol`. None on processes other than the first.

    Raises:
        ValueError: If a set has too few pictures.
        Stopped: If `stop` said so on any process; other errors are raised on all as well.
    """
    source = source_of(translator, sources, to)
    check_counts(sources, references, source, to)
    rank, world = share
    measures: list[tuple[float, ...]] = []
    fakes = _translations(
        translator, sources[source][rank::world], source, to, preparation, batch_size, stop,
        measures, quiet=rank > 0,
    )  # fmt: skip
    made, error = _attempt(lambda: extractor(fakes))
    parts = gather((error, made, measures))
    raise_first(part[0] for part in parts)
    # What fails on one process fails on all: none may wait for another that has left.
    found, error = _attempt(
        lambda: _figures(translator, sources[source], references[to], source, to, extractor,
                         preparation, parts, {} if bounds is None else bounds)
        if rank == 0 else None
    )  # fmt: skip
    raise_first(gather(error))
    return found


def _attempt(function: Callable) -> tuple[object, Exception | None]:
    """What a function returns, and what it raises in a form that goes to other processes."""
    try:
        return function(), None
    except (Stopped, ValueError, OSError) as error:
        return None, error
    except Exception as error:
        return None, RuntimeError(f"{type(error).__name__}: {error}")


def raise_first(errors: Iterable[Exception | None]) -> None:
    """Raise the first error there is."""
    for error in errors:
        if error is not None:
            raise error


def _figures(
    translator: Translator,
    sources: Sequence[Path],
    references: Sequence[Path],
    source: str,
    to: str,
    extractor: Extractor,
    preparation: Preparation,
    parts: Sequence[tuple],
    bounds: dict[str, dict],
) -> dict:
    """What `evaluate` returns, of the parts of all processes."""
    made = _in_order([part[1] for part in parts if len(part[2])])
    ssim, *cycle = np.mean([m for part in parts for m in part[2]], axis=0)
    read = functools.partial(_features, extractor, preparation, translator)
    real = read(references, to)
    if to not in bounds:
        bounds[to] = dict(untranslated=compare(read(sources, source), real))
        halves = real[::2], real[1::2]
        if len(halves[1]) >= metrics.LEAST_IMAGES:
            bounds[to]["real"] = compare(*halves)
    return dict(
        source=source,
        target=to,
        **compare(made, real),
        ssim=float(ssim),
        **({"cycle_error": float(cycle[0])} if cycle else {}),
        **bounds[to],
        protocol=dict(
            features=extractor.name,
            resize=str(preparation),
            num_source=len(sources),
            num_reference=len(real),
            kid_subsets=metrics.SUBSETS,
            kid_subset_size=metrics.subset_size(len(made), len(real)),
            kid_seed=metrics.SEED,
            weights=translator.weights,
            iteration=translator.iteration,
        ),
    )


def compare(made: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    """KID and FID of two sets of features."""
    return {**metrics.kid(made, reference), **metrics.fid(made, reference)}


def source_of(translator: Translator, sources: Mapping[str, Sequence[Path]], to: str) -> str:
    """The domain that translations to `to` start from.

    Raises:
        ValueError: If the model does not make `to`, or the data know no other domain.
    """
    translator.network(to)
    others = [domain for domain in sources if domain != to]
    if to not in sources or len(others) != 1:
        raise ValueError(
            f"the data hold the domains {', '.join(sources) or 'none'}; expected {to!r} and one "
            f"other. Name the config that the model was trained with"
        )
    return others[0]


def choose_directions(
    translator: Translator,
    sources: Mapping[str, Sequence[Path]],
    references: Mapping[str, Sequence[Path]],
    to: str,
) -> tuple[list[str], dict[str, ValueError]]:
    """Target domains that can be evaluated, and why others cannot.

    Args:
        translator: What is evaluated.
        sources: As for `evaluate`.
        references: As for `evaluate`.
        to: Target domain, or 'both'.
    """
    directions, reasons = [], {}
    for domain in translator.domains if to == "both" else [to]:
        try:
            check_counts(sources, references, source_of(translator, sources, domain), domain)
            directions.append(domain)
        except ValueError as error:
            reasons[domain] = error
    return directions, reasons


def check_counts(
    sources: Mapping[str, Sequence[Path]],
    references: Mapping[str, Sequence[Path]],
    source: str,
    to: str,
) -> None:
    """Raise a ValueError unless there are enough pictures to translate to `to` and to compare."""
    for what, domain, paths in (
        ("to translate", source, sources[source]),
        ("to compare with", to, references[to]),
    ):
        if len(paths) < metrics.LEAST_IMAGES:
            raise ValueError(
                f"domain {domain!r} has {counted(len(paths), 'picture')} {what}; KID and FID need "
                f"at least {metrics.LEAST_IMAGES}, and a hundred to mean much. Put more into its "
                f"folder, or compare with those of the other split (reference: test or train)"
            )


def _translations(
    translator: Translator,
    paths: Sequence[Path],
    source: str,
    to: str,
    preparation: Preparation,
    batch_size: int,
    stop: Callable[[], bool],
    measures: list,
    quiet: bool,
) -> Iterator[np.ndarray]:
    """Yield translations; note SSIM and, if there is a way back, the cycle error of each."""
    images = preparation.read_all(paths, translator.channels(to))
    bar = tqdm(
        total=len(paths), desc=f"{source} to {to}", unit="image", leave=False,
        disable=quiet or not sys.stderr.isatty(),
    )  # fmt: skip
    with bar:
        while batch := list(itertools.islice(images, batch_size)):
            if stop():
                raise Stopped
            fakes = translator.batch(batch, to)
            back = translator.batch(fakes, source) if source in translator.domains else None
            for i, (image, fake) in enumerate(zip(batch, fakes, strict=True)):
                cycled = () if back is None else (metrics.cycle_error(image, back[i]),)
                measures.append((metrics.ssim(image, fake), *cycled))
                yield fake
            bar.update(len(batch))


def _features(
    extractor: Extractor,
    preparation: Preparation,
    translator: Translator,
    paths: Sequence[Path],
    domain: str,
) -> np.ndarray:
    """Features of a domain's real pictures."""
    takers = [other for other in translator.domains if other != domain]
    known = translator.cfg.model.get("channels") or {}
    channels = translator.channels(takers[0]) if takers else known.get(domain, 3)
    images = preparation.read_all(paths, channels)
    return extractor.of_files(paths, images, f"{preparation}, {channels} channels")


def _in_order(parts: Sequence[np.ndarray]) -> np.ndarray:
    """The rows that processes took in turn, in the order of the whole."""
    whole = np.empty((sum(map(len, parts)), parts[0].shape[1]), np.float32)
    for number, part in enumerate(parts):
        whole[number :: len(parts)] = part
    return whole
