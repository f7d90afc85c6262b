"""Generators in a file of anyone's: where they are in it, which domains they make, as ours."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from .layer_list import Unlike
from .recognise import recognise

# What wraps a network without saying anything about it.
_WRAPPERS = {"module", "state_dict", "model", "net", "params", "weights", "network", "generator"}
# Not weights to translate with: other training state, and networks that judge.
_OTHERS = {"meta", "mmgen_ext", "optimizer", "discriminators"}
# horse2zebra, also in latest_horse2zebra_net_G.
_PAIR = re.compile(r"(?<![a-zA-Z])([a-zA-Z]{2,})2([a-zA-Z]{2,})")
_AVERAGED = re.compile(r"(^|_)ema(_|$)", re.IGNORECASE)
# G_A of the original authors takes A and makes B.
_TO_B = re.compile(r"(?<![a-z])(net_?)?G_A$|A2B|AtoB|(?<![A-Za-z])AB(?![A-Za-z])")
_TO_A = re.compile(r"(?<![a-z])(net_?)?G_B$|B2A|BtoA|(?<![A-Za-z])BA(?![A-Za-z])")


def adopt(
    content: Mapping, file: Path, domains: Sequence[str] | None = None
) -> tuple[dict, dict[str, Tensor]]:
    """A `model` config of ours and its weights, of a file without a config.

    Args:
        content: What read_checkpoint returned: tensors, nested in any way.
        file: Its name tells domains that the content does not: `horse2zebra`, `G_A2B`.
        domains: (A, B) where they are known.

    Returns:
        The config, and the state dict with `generators.<domain>.` before each name.

    Raises:
        ValueError: If no generator of ours is in it: with the nearest match.
    """
    try:
        found = find_generators(content)
    except Unlike as fault:
        raise ValueError(
            f"{file} holds no config and no generator that is known: {fault}. "
            f"Name the config file it was trained with instead of auto"
        ) from fault
    made: dict[str, tuple[dict, dict]] = {}
    pair = tuple(domains or pair_of(file) or ("A", "B"))
    # Of a file named horse2zebra, the only generator makes zebras.
    only = pair[1] if len(found) == 1 and pair != ("A", "B") else None
    for parts, network in found.items():
        target = _target(parts, file, pair, only)
        if target in made:
            raise ValueError(f"{file} holds several generators of domain {target!r}")
        made[target] = network
    return _model_config(made, pair, file), {
        f"generators.{target}.{key}": value
        for target, (_, state) in made.items()
        for key, value in state.items()
    }


def find_generators(content: Mapping) -> dict[tuple[str, ...], tuple[dict, dict]]:
    """Config and weights of generators by their place in a file.

    Averaged ones are left out where the trained ones are there too.

    Raises:
        Unlike: If there are none: with what came nearest.
    """
    found: dict[tuple[str, ...], tuple[dict, dict]] = {}
    faults = [Unlike("it has no convolutions", -2)]
    for parts, state in _state_dicts(content):
        _search(parts, state, found, faults)
    if not found:
        raise max(faults, key=lambda fault: fault.depth)
    trained = {p: n for p, n in found.items() if not any(_AVERAGED.search(part) for part in p)}
    return trained or found


def _state_dicts(content: Mapping, parts: tuple = ()) -> Iterator[tuple[tuple, dict]]:
    """Every mapping of names to tensors, with the keys that lead there."""
    strings = {key: value for key, value in content.items() if isinstance(key, str)}
    tensors = {key: value for key, value in strings.items() if isinstance(value, Tensor)}
    if tensors:
        yield parts, tensors
    for key, value in strings.items():
        if isinstance(value, Mapping) and key not in _OTHERS:
            yield from _state_dicts(value, (*parts, key))


def _search(parts: tuple, state: Mapping[str, Tensor], found: dict, faults: list[Unlike]) -> None:
    """Add the generators in a state dict to `found`: the whole, or each of its parts."""
    try:
        found[parts] = recognise(state)
        return
    except Unlike as fault:
        faults.append(fault)
    groups: dict[str, dict[str, Tensor]] = {}
    for key, value in state.items():
        first, dot, rest = key.partition(".")
        if dot and first not in _OTHERS:
            groups.setdefault(first, {})[rest] = value
    for first, part in groups.items():
        _search((*parts, first), part, found, faults)


def pair_of(file: Path) -> tuple[str, str] | None:
    """(A, B) of a file named, or in a folder named, like horse2zebra."""
    for name in (file.stem, file.absolute().parent.name):
        match = _PAIR.search(name)
        if match:
            return match[1], match[2]
    return None


def _target(parts: tuple[str, ...], file: Path, pair: tuple[str, str], only: str | None) -> str:
    """The domain that the generator at a place in a file makes."""
    telling = [part for part in parts if part.lower() not in _WRAPPERS]
    for i, part in enumerate(telling[:-1]):
        if part.startswith("generators"):  # ours and mmgen's names
            return telling[i + 1]
    for text in (*telling[::-1], file.stem):
        if _TO_B.search(text):
            return pair[1]
        if _TO_A.search(text):
            return pair[0]
    if only:
        return only
    # A module's name can hold no dots.
    name = re.sub(r"\W+", "_", telling[-1]) if telling else "output"
    return "output" if name.lower() in ("g", "netg") else name


def _model_config(made: Mapping[str, tuple[dict, dict]], pair: tuple, file: Path) -> dict:
    """One config for all generators, which may differ in their channels alone."""
    domains = _domains(list(made), pair, file)
    generators = {target: dict(config) for target, (config, _) in made.items()}
    channels: dict[str, set[int]] = {domain: set() for domain in domains}
    for target, config in generators.items():
        source = domains[1 - domains.index(target)]
        channels[source].add(config.pop("in_channels"))
        channels[target].add(config.pop("out_channels"))
    first, *others = generators.values()
    if any(other != first for other in others) or any(len(c) > 1 for c in channels.values()):
        differ = " and ".join(f"{target}: {config}" for target, (config, _) in made.items())
        raise ValueError(f"{file} holds two generators that do not fit one another: {differ}")
    return dict(
        type="mmgen_ext.CycleGAN",
        generator=first,
        domains=domains,
        channels={domain: counts.pop() for domain, counts in channels.items()},
        default_domain=next(d for d in domains[::-1] if d in made),
    )


def _domains(targets: list[str], pair: tuple[str, str], file: Path) -> list[str]:
    """Domains A and B of a model that makes these."""
    if set(targets) <= set(pair):
        return list(pair)
    if len(targets) > 2:
        text = f"{file} holds {len(targets)} generators ({', '.join(targets)})"
        raise ValueError(f"{text}; expected one, or one for each of two domains")
    return targets if len(targets) == 2 else ["input", *targets]
