"""Pages of the documentation as data: their commands, code, links and headings."""

import re
from importlib.metadata import distribution
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "README_zh-CN.md", "CONTRIBUTING.md")),
    ROOT / "data" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "configs").glob("*/*.md")),
]
WORDS = "python|py|bash|torchrun|pip|conda|mpirun|srun|tensorboard|source|set|wsl"
COMMAND = re.compile(rf"(?:[A-Z_]+=\S+ )*(?:{WORDS})(?: |$)")
# What a reader sees: `# needs a network` behind a command, or on the line above it.
NEEDS = re.compile(r"\s*#\s*(needs\b.*)$")
WINDOWS = ("bat", "powershell")


class Command(NamedTuple):
    """A line to be typed, and what it needs that a test has not; None if it can be executed."""

    text: str
    needs: str | None


def read(page):
    return page.read_text("utf-8")


def blocks(text):
    """(language, lines) of code blocks; of indented ones the language is ''."""
    language, lines = None, []
    for line in text.splitlines():
        fence = re.match(r"\s*```(\w*)", line)
        if fence and language is None:
            yield "", lines
            language, lines = fence[1] or "text", []
        elif fence:
            yield language, lines
            language, lines = None, []
        elif language is not None or re.match(r" {4}", line):
            lines.append(line)
        elif lines and line.strip():
            yield "", lines
            lines = []
    yield "", lines


def commands(text):
    """Commands of code blocks in their order."""
    for language, lines in blocks(text):
        if language == "python":
            continue
        above = None
        for line in "\n".join(lines).replace("\\\n", " ").splitlines():
            line = re.sub(r"\s+", " ", line).strip()
            needs = NEEDS.search(line)
            if COMMAND.match(line):
                why = needs[1] if needs else above
                why = why or ("needs Windows" if language in WINDOWS else None)
                yield Command(NEEDS.sub("", line).partition(" # ")[0].strip(), why)
            above = needs[1] if needs and line.startswith("#") else None


def inline_commands(text):
    """Commands in the middle of a sentence; a tool without arguments is only named there."""
    plain = re.sub(r"```.*?```", "", text, flags=re.S)
    found = re.findall(r"`(python tools/(?:doctor\.py|[^\s`]+ [^`]+))`", plain)
    return [Command(command, None) for command in found]


def code(text):
    """Blocks of Python."""
    found = re.findall(r"^( *)```python\n(.*?)^ *```", text, re.M | re.S)
    return [re.sub(rf"^{indent}", "", body, flags=re.M) for indent, body in found]


def links(text):
    """(path, fragment) of links and pictures that are no addresses; the path may be ''."""
    plain = re.sub(r"```.*?```", "", text, flags=re.S)
    for path, fragment in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", plain):
        if not path.startswith(("http", "mailto")):
            yield path, fragment


def headings(text):
    """Anchors of a page, as GitHub makes them."""
    plain = re.sub(r"```.*?```", "", text, flags=re.S)
    for title in re.findall(r"^#+ (.*)$", plain, re.M):
        title = re.sub(r"[`*]|\]\([^)]*\)", "", title).lower()
        yield re.sub(r"[^\w\- ]", "", title).strip().replace(" ", "-")


def pairs():
    """(English, Chinese) pages; the second may not exist."""
    for page in PAGES:
        chinese = page.with_name(f"{page.stem}_zh-CN.md")
        ours = page.name != "CONTRIBUTING.md" and page.parent.name != "data"
        if ours and not page.stem.endswith("_zh-CN"):
            yield page, chinese


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def tutorial_config():
    """mmgen's own config with the tutorial's changes."""
    configs = distribution("mmgen").locate_file("mmgen/.mim/configs/cyclegan")
    text = (configs / "cyclegan_lsgan_resnet_in_facades_b1x1_80k.py").read_text("utf-8")
    for old, new in {
        "domain_a = 'mask'": "domain_a = 'monet'",
        "./data/unpaired_facades": "./data/monet2photo",
        # Not the tutorial's, but seconds instead of minutes.
        "model = dict(": "model = dict(generator=dict(base_channels=4, num_blocks=1),",
    }.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text
