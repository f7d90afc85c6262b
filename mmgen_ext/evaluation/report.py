"""Results of evaluations for people."""

from __future__ import annotations

from collections.abc import Mapping

from prettytable import PrettyTable

from ..words import counted
from .metrics import ENOUGH_IMAGES


def metrics_table(results: Mapping[str, Mapping]) -> str:
    """A table of the directions, each above the bounds of its scale.

    Args:
        results: Target domain to what `evaluate` returned.
    """
    table = PrettyTable(["", "KID", "+-", "FID", "SSIM to source", "cycle error"])
    table.align = "r"
    table.align[""] = "l"
    for result in results.values():
        rows = {f"{result['source']} to {result['target']}": result}
        rows |= {"  untranslated": result["untranslated"]}
        rows |= {"  real against real": result["real"]} if "real" in result else {}
        for i, (title, row) in enumerate(rows.items()):
            formats = dict(kid=".4f", kid_std=".4f", fid=".2f", ssim=".3f", cycle_error=".1f")
            cells = [format(row[k], f) if k in row else "" for k, f in formats.items()]
            table.add_row([title, *cells], divider=i == len(rows) - 1)
    return str(table)


def notes_on_few(results: Mapping[str, Mapping]) -> list[str]:
    """A sentence on how far the figures can be trusted, if they are of few pictures."""
    protocols = [result["protocol"] for result in results.values()]
    count = min(min(p["num_source"], p["num_reference"]) for p in protocols)
    if count >= ENOUGH_IMAGES:
        return []
    spread = max(result["kid_std"] for result in results.values())
    return [
        f"of {count} pictures the figures say little: other ones would change KID by about "
        f"{spread:.3f}, and FID is too high; compare only runs that were measured on the same "
        f"pictures, or take {ENOUGH_IMAGES} and more of each domain"
    ]


def protocol_lines(results: Mapping[str, Mapping]) -> list[str]:
    """What the figures are of, a line for each direction."""
    lines = []
    for result in results.values():
        p = result["protocol"]
        a, b = p["domains"]
        iteration = f" after {counted(p['iteration'], 'iteration')}" if p["iteration"] else ""
        lines.append(
            f"to {result['target']}: {p['num_source']} {result['source']} pictures, "
            f"{p['resize']}, against {p['num_reference']} of the {p['reference']} pictures of "
            f"{result['target']}; features {p['features']}; {p['weights']} weights{iteration}; KID "
            f"+- is the deviation over {p['kid_subsets']} subsets of {p['kid_subset_size']}; "
            f"testA is {a}, testB {b}"
        )
    return lines
