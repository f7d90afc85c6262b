"""Run the notebooks from start to end and write what they show into both languages.

Needs nbclient and ipykernel: pip install --no-build-isolation -e ".[dev]"

Examples:
    python demo/execute.py
    python demo/execute.py 02_translate 04_many_styles
"""

import argparse
import getpass
import platform
import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

DEMO = Path(__file__).resolve().parent
CHINESE = "_zh-CN"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def names() -> list[str]:
    """Names of the notebooks, those of the Chinese ones left out."""
    stems = sorted(path.stem for path in DEMO.glob("*.ipynb"))
    return [stem for stem in stems if not stem.endswith(CHINESE)]


def tidy(notebook: nbformat.NotebookNode) -> None:
    """Leave only what a reader sees: no times, no ids of the kernel's, a stream in one piece."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
        joined: list = []
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and joined and joined[-1].output_type == "stream":
                joined[-1].text += output.text
            else:
                joined.append(output)
        for output in joined:
            if output.output_type == "stream":
                output.text = without_machine(output.text)
            elif "text/plain" in output.get("data", {}):
                output.data["text/plain"] = re.sub(" at 0x[0-9a-f]+", "", output.data["text/plain"])
        if cell.cell_type == "code":
            cell.outputs = joined


def without_machine(text: str) -> str:
    """Text without the release of this machine's kernel; tables keep their width."""
    release = f"-{platform.release()}"
    pattern = rf"{re.escape(release)}(\S*)"
    return re.sub(pattern, lambda match: match[1] + " " * len(release), text)


def check(notebook: nbformat.NotebookNode) -> None:
    """Refuse outputs that say whose machine this is.

    Raises:
        ValueError: If there are some.
    """
    words = [str(DEMO.parent), str(Path.home()), sys.prefix, platform.node(), getpass.getuser()]
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            shown = output.get("text", "") + "".join(
                str(value) for kind, value in output.get("data", {}).items() if "image" not in kind
            )
            found = [word for word in words if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", shown)]
            if found:
                raise ValueError(f"a cell shows {found[0]!r}, of this machine:\n{cell.source}")


def execute(name: str) -> None:
    """Run a notebook and write its outputs into its two files.

    Args:
        name: As of `names`.

    Raises:
        ValueError: If the two differ in their code, or an output says whose machine this is.
        nbclient.exceptions.CellExecutionError: If a cell fails; nothing is written then.
    """
    paths = [DEMO / f"{name}{language}.ipynb" for language in ("", CHINESE)]
    english, chinese = (nbformat.read(path, 4) for path in paths)
    kinds = [[(c.cell_type, c.cell_type == "code" and c.source) for c in n.cells]
             for n in (english, chinese)]  # fmt: skip
    if kinds[0] != kinds[1]:
        raise ValueError(f"the code of {paths[0].name} and {paths[1].name} differs")
    client = NotebookClient(
        english, timeout=None, record_timing=False, resources={"metadata": {"path": str(DEMO)}}
    )
    client.execute()
    tidy(english)
    check(english)
    for cell, other in zip(english.cells, chinese.cells, strict=True):
        if cell.cell_type == "code":
            other.outputs, other.execution_count = cell.outputs, cell.execution_count
    tidy(chinese)
    for path, notebook in zip(paths, (english, chinese), strict=True):
        nbformat.write(notebook, path)


def main() -> None:
    """Run those that the command line names, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="notebooks (default: all)")
    chosen = parser.parse_args().names
    unknown = [name for name in chosen if name not in names()]
    if unknown:
        parser.error(f"no notebook {unknown[0]!r}; choose of {', '.join(names())}")
    for name in chosen or names():
        execute(name)
        print(f"{name}: {(DEMO / f'{name}.ipynb').stat().st_size // 1024} kB", flush=True)


if __name__ == "__main__":
    main()
