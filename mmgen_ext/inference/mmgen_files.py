"""What a checkpoint of mmgen's says of itself: its config as data, and names from before 0.3."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence

# Published files are named cyclegan_..._YYYYMMDD_HHMMSS-<hash>.pth; 0.3 came on this day.
_DAY_IN_NAME = re.compile(r"cyclegan_.*_(20\d{6})_\d{6}-[0-9a-f]{8}\.pth$")
_REFACTORED = "20210902"


def config_in_meta(content: Mapping) -> dict | None:
    """The config that mmgen wrote as text into a checkpoint's `meta`, or None.

    It is read as data: dict(...) calls, lists and constants; nothing in it is executed.
    """
    text = (content.get("meta") or {}).get("config")
    if not isinstance(text, str):
        return None
    try:
        entries = {
            node.targets[0].id: _literal(node.value)
            for node in ast.parse(text).body
            if isinstance(node, ast.Assign)
        }
    except (SyntaxError, ValueError, AttributeError, RecursionError):
        return None  # mmcv does not escape quotes in strings.
    return entries if isinstance(entries.get("model"), dict) else None


def _literal(node: ast.expr) -> object:
    """The value of an expression of constants, as mmcv's `pretty_text` writes them."""
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "dict" and not node.args:
        return {item.arg: _literal(item.value) for item in node.keywords if item.arg}
    if isinstance(node, ast.List):
        return [_literal(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_literal(item) for item in node.elts)
    return ast.literal_eval(node)


def names_the_taken(content: Mapping, file_name: str) -> bool:
    """Whether generators are keyed as before mmgen 0.3: by the domain that they take.

    They are called `a` and `b` then. New ones may be called so too: the version in `meta`, the
    config there, and the date in the name of a published file tell; without any of the three
    they are taken as new.
    """
    if "mmgen_ext" in content or _targets(content.get("state_dict", content)) != {"a", "b"}:
        return False
    meta = content.get("meta") or {}
    version = re.match(r"(\d+)\.(\d+)", str(meta.get("mmgen_version", "")))
    if version:
        return (int(version[1]), int(version[2])) < (0, 3)
    if isinstance(meta.get("config"), str):
        return "reachable_domains" not in meta["config"]
    day = _DAY_IN_NAME.search(file_name)
    return bool(day) and day[1] < _REFACTORED


def _targets(state: Mapping) -> set[str]:
    keys = [str(key).removeprefix("module.").split(".") for key in state]
    return {parts[1] for parts in keys if parts[0] == "generators" and len(parts) > 1}


def rename_by_made(
    content: Mapping, domains: Sequence[str], config: Mapping | None = None
) -> dict[str, object]:
    """The weights of a file from before 0.3 keyed by the domains that generators make.

    Args:
        content: A checkpoint for which `names_the_taken`.
        domains: A (folder trainA) and B.
        config: The config it was trained with; None for the one in its `meta`.
    """
    config = config or config_in_meta(content) or {}
    settings = config.get("train_cfg") or config.get("test_cfg") or {}
    # Trained `b2a`, the network called `a` takes images of B.
    backwards = settings.get("direction", "a2b") == "b2a"
    made = dict(zip("ab", domains if backwards else domains[::-1], strict=True))
    state = {}
    for key, value in content.get("state_dict", content).items():
        parts = key.removeprefix("module.").split(".")
        if parts[0] == "generators":
            state[".".join(["generators", made[parts[1]], *parts[2:]])] = value
    return {"state_dict": state}
