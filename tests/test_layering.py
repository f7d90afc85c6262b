"""Imports point one way: tools, benchmark, export, apis -> training -> evaluation -> inference."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "mmgen_ext"
# A part may import from parts of a lower level, and from itself.
LEVELS = [
    {"compat", "files", "device", "progress", "words"},
    {"registry", "pictures", "checkpoint", "cli", "__main__"},
    {"models", "datasets", "config", "fetch"},
    {"inference"},
    {"evaluation", "prepare"},
    {"training"},
    {"export", "apis", "benchmark_mmgen", "benchmark_run"},
    {"benchmark", "benchmark_train", "benchmark_whole", "benchmark_growth"},
    {"benchmark_loader", "benchmark_video", "recipes"},
    {"recipes_report"},
]
LEVEL = {part: level for level, parts in enumerate(LEVELS) for part in parts}


def part_of(path):
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imported_parts(path):
    """Parts of the package that a module imports, relative or by name."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            names = [node.module] if node.module else [a.name for a in node.names]
            for name in names:
                full = (*base, *name.split("."))
                if len(full) > 1:
                    yield full[1]
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names = (
                [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            )
            for name in names:
                if name.startswith("mmgen_ext."):
                    yield name.split(".")[1]


MODULES = [p for p in sorted(PACKAGE.rglob("*.py")) if p != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_imports_point_down(path):
    own = part_of(path)
    assert own in LEVEL, f"{own} has no place in the layers"
    for part in imported_parts(path):
        if part in ("__version__", own):
            continue
        assert LEVEL[part] < LEVEL[own], f"{path.name} ({own}) imports {part}"


def test_translating_needs_no_metrics_and_no_training():
    for path in MODULES:
        if part_of(path) in ("inference", "export", "apis"):
            assert not {"evaluation", "training"} & set(imported_parts(path)), path


def test_the_package_knows_nothing_of_tools_and_demo():
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            module = getattr(node, "module", None) or ""
            assert module.split(".")[0] not in ("tools", "demo")
