"""Whether each picture of a domain is seen once per pass over it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from torch.utils.data import Dataset

Sample = tuple[int, str, str]  # number of the sample in the stream, domain, file


def planned_pictures(dataset: Dataset) -> dict[str, int]:
    """Pictures by domain of a data set, ours or mmgen's; empty where none is known."""
    dataset = getattr(dataset, "dataset", dataset)  # Stream's
    paths = getattr(dataset, "paths", None)
    if isinstance(paths, Mapping):
        return {domain: len(files) for domain, files in paths.items()}
    if all(hasattr(dataset, name) for name in ("domain_a", "domain_b", "len_a", "len_b")):
        return {dataset.domain_a: dataset.len_a, dataset.domain_b: dataset.len_b}
    return {}


def find_files(batch: object, key: str) -> Iterator[str]:
    """The values under a key anywhere in a batch whose DataContainers are open."""
    if isinstance(batch, Mapping):
        for name, value in batch.items():
            if name == key:
                yield from [value] if isinstance(value, str) else map(str, value)
            else:
                yield from find_files(value, key)
    elif isinstance(batch, (list, tuple)):
        for item in batch:
            yield from find_files(item, key)


class Coverage:
    """Counts pictures by pass: within one, each comes once, wherever a process joined it.

    Args:
        planned: Pictures by domain.
    """

    least = 32  # samples of an unfinished pass before it counts

    def __init__(self, planned: Mapping[str, int]):
        self.planned = dict(planned)
        self.passes: dict[str, tuple[int, int, set[str]]] = {}  # pass, samples, files of it
        self.finished: dict[str, float] = {}

    def add(self, samples: Iterable[Sample]) -> None:
        """Count samples of all processes, in the order of the stream."""
        for number, domain, path in sorted(samples):
            current = number // self.planned[domain]
            last, count, files = self.passes.get(domain, (current, 0, set()))
            if current != last:
                self.finished[domain] = len(files) / count
                count, files = 0, set()
            files.add(path)
            self.passes[domain] = (current, count + 1, files)

    def values(self) -> dict[str, float]:
        """Different pictures / samples by domain, in (0, 1]: the worse of the last two passes."""
        found = dict(self.finished)
        for domain, (_, count, files) in self.passes.items():
            if count >= self.least:
                found[domain] = min(found.get(domain, 1.0), len(files) / count)
        return found
