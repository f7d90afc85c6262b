"""Get a known data set, make one of your own folders or videos, or check one.

Examples:
    python tools/prepare_data.py monet2photo
    python tools/prepare_data.py own sketches photos data/mine
    python tools/prepare_data.py own winter.mp4 summer.mp4 data/seasons --every 15
    python tools/prepare_data.py check data/mine
    python tools/prepare_data.py mine --from https://example.org/mine.zip

NAME is one of monet2photo, vangogh2photo, cezanne2photo, ukiyoe2photo, horse2zebra,
summer2winter_yosemite, apple2orange, iphone2dslr_flower, facades, maps, cityscapes; or any name
together with --from. It is fetched, unpacked and put into data/NAME; a broken download goes on
when the same command is given again.
"""

import argparse
import glob
import os
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT
if (ROOT / "mmgen_ext").is_dir():  # a checkout
    PACKAGE = ROOT / "mmgen_ext"
    sys.path.insert(0, str(ROOT))

CONFIGS = ROOT / "configs" / "cyclegan"
# Configs of one's own: beside ours, but never in an installed package.
OWN = Path("configs", "cyclegan") if PACKAGE == ROOT else CONFIGS
# This file alone: all that the package imports takes seconds.
FILES = runpy.run_path(str(PACKAGE / "files.py"))
tool, typed = FILES["tool"], FILES["typed"]
RAW = argparse.RawDescriptionHelpFormatter


def number(text: str) -> int:
    """Parse a whole number of at least 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}; expected a whole number of at least 1")
    return int(text)


def test_part(text: str) -> float:
    """Parse --test: a part below 1, or a number of pictures."""
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not (0 < value < 1 or (value >= 1 and value.is_integer())):
        raise argparse.ArgumentTypeError(f"got {text!r}; expected a part as 0.1, or a number as 50")
    return value


def parse_args(arguments: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=typed(__doc__),
        formatter_class=RAW,
        usage="prepare_data.py [-h] NAME|demo|check PATH|own A_DIR B_DIR OUT [options]",
        epilog="prepare_data.py NAME -h, own -h and check -h say more about each.",
    )
    commands = parser.add_subparsers(
        dest="command", title="commands", metavar="COMMAND", prog="prepare_data.py"
    )
    add_get(commands.add_parser("get", usage="prepare_data.py NAME [options]", formatter_class=RAW))
    add_own(commands.add_parser("own", help="two folders or videos become a data set"))
    add_check(commands.add_parser("check", help="a report on a data set"))
    demo = commands.add_parser("demo", help="make the demo's data set, without a network")
    demo.add_argument("--out", type=Path, metavar="DIR", default=Path("data", "demo"),
                      help="folder to make (default: data/demo)")  # fmt: skip
    demo.add_argument("--overwrite", action="store_true", help="replace what is there")
    if not arguments:
        parser.error("a name or a command is missing; -h shows them")
    if arguments[0] not in (*commands.choices, "-h", "--help"):
        arguments = ["get", *arguments]
    args, unknown = parser.parse_known_args(arguments)
    if unknown:
        hint = "" if any(word.startswith("-") for word in unknown) else (
            '; a path with blanks needs quotation marks: "my pictures"'
        )  # fmt: skip
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
    return args


def add_get(parser: argparse.ArgumentParser) -> None:
    """Add the options of NAME."""
    add = parser.add_argument
    add("name", metavar="NAME", help="data set")
    add("--out", type=Path, metavar="DIR", help="folder to make (default: data/NAME)")
    add("--from", dest="own", metavar="SOURCE", help="archive (zip, tar), folder or URL of your "
        "own, with trainA and trainB in it")  # fmt: skip
    add("--mirror", action="append", default=[], metavar="URL", help="folder of NAME.zip, or the "
        "archive itself, to be tried first; may be given several times")  # fmt: skip
    add("--timeout", type=number, default=30, metavar="S", help="seconds without a byte after "
        "which a connection is given up (default: 30)")  # fmt: skip
    add("--link", action="store_true", help="hard links instead of copies of a folder's files")
    add("--overwrite", action="store_true", help="replace what is there")


def add_own(parser: argparse.ArgumentParser) -> None:
    """Add the options of own."""
    add = parser.add_argument
    add("a", metavar="A_DIR", help="folder or video of one kind")
    add("b", metavar="B_DIR", help="folder or video of the other")
    add("out", type=Path, metavar="OUT", help="folder to make, for example data/mine")
    add("--names", nargs=2, metavar=("A", "B"), help="names of the domains (default: the folders')")
    add("--config", type=Path, metavar="PATH", help="config to write (default: "
        "configs/cyclegan/NAME.py, where NAME is OUT's)")  # fmt: skip
    add("--small", action="store_true", help="a config for a CPU, an hour on two cores: "
        "128 x 128 pixels, narrow networks, 4,000 iterations")  # fmt: skip
    add("--test", type=test_part, default=0.1, metavar="PART|N", help="part or number of each kind "
        "that is kept from training, at least one (default: 0.1)")  # fmt: skip
    add("--seed", type=int, default=0, help="random seed that decides which (default: 0)")
    add("--size", type=number, metavar="N", help="resize to this short side (default: not at all)")
    add("--every", type=number, default=10, metavar="N", help="of a video, look at every N-th "
        "frame; blurred and near-duplicate ones are left out (default: 10)")  # fmt: skip
    add("--link", action="store_true", help="hard links instead of copies")
    add("--skip-broken", action="store_true", help="leave broken files out")
    add("--overwrite", action="store_true", help="replace OUT and the config")


def add_check(parser: argparse.ArgumentParser) -> None:
    """Add the options of check."""
    parser.description = "Exit status: 0 if it can be trained on, warnings or not; 1 if not."
    parser.add_argument("path", type=Path, metavar="PATH", help="data set, or a folder of pictures")
    parser.add_argument("--out", type=Path, metavar="PNG", help="where the sample sheet is written "
                        "(default: work_dirs/check/NAME.png)")  # fmt: skip


def command(*words: str) -> str:
    """A command line to be typed."""
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def next_command(name: str, root: Path) -> str:
    """The command that trains on a data set, with its config if there is one."""
    configs = sorted(
        CONFIGS.glob(f"cyclegan_lsgan_resnet*_in_b1x1_*_{glob.escape(name)}.py"),
        key=lambda p: len(p.name),
    )
    if name == "demo":
        configs = sorted(CONFIGS.glob("*_demo.py"))
    config = (
        configs[0]
        if configs
        else next(CONFIGS.glob("cyclegan_lsgan_resnet_in_*_80k_monet2photo.py"))
    )
    options = [] if configs and root == Path("data", name) else [f"data_root={root.as_posix()}"]
    options += [] if configs else ["domains=a,b", "model.default_domain=b"]
    words = [config.relative_to(ROOT).as_posix()]
    words += [] if configs else ["--work-dir", f"work_dirs/{name}"]
    words += ["--cfg-options", *options] if options else []
    return f"{tool('train')} {command(*words)}"


def train_command(root: Path) -> str:
    """The command that trains on a data set, with the config that `own` has written if it has."""
    from mmgen_ext.config import load_config

    name = root.resolve().name
    mine = OWN / f"{name}.py"
    try:
        its_root = load_config(mine).get("data_root") if mine.is_file() else None
    except ValueError as error:  # It may be of another set.
        print(f"note: {error}", file=sys.stderr)
        its_root = None
    if isinstance(its_root, str) and Path(its_root).resolve() == root.resolve():
        return f"{tool('train')} {command(shown(mine).as_posix())}"
    return next_command(name, root)


def show(root: Path, name: str, first: str, notes: list[str] = ()) -> int:
    """Print what is there now and what comes next."""
    print(first)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    print(f"data_root: {root.as_posix()}")
    print(f"Look at it: {tool('prepare_data')} check {command(root.as_posix())}")
    print(f"Train:      {next_command(name, root)}")
    return 0


def shown(path: Path) -> Path:
    """A path as it is typed here: whole where it leads out of the current folder."""
    path, here = path.resolve(), Path.cwd()
    return path.relative_to(here) if here in path.parents else path


def holds(counts: dict[str, int]) -> str:
    """Pictures by folder, in words."""
    return ", ".join(f"{folder} {count}" for folder, count in counts.items())


def get(args: argparse.Namespace) -> int:
    """Get a data set by its name."""
    from mmgen_ext.prepare.get import get_set

    root = args.out or Path("data", args.name)
    made = get_set(args.name, root, args.own, args.mirror, args.timeout, args.overwrite, args.link)
    text = "is prepared already" if made.was_there else "is prepared"
    return show(root, args.name, f"{args.name} {text}: {holds(made.counts)}", made.notes)


def own(args: argparse.Namespace) -> int:
    """Make a data set of one's own."""
    from mmgen_ext.prepare.own import Choices, make_own

    config = args.config or OWN / f"{args.out.resolve().name}.py"
    names = ("test", "seed", "size", "every", "link", "skip_broken", "overwrite", "small")
    choices = Choices(**{name: getattr(args, name) for name in names})
    made = make_own([args.a, args.b], args.out, config, args.names, choices)
    for note in made.notes:
        print(f"note: {note}", file=sys.stderr)
    print(f"{args.out}: {holds(made.counts)}\nconfig: {shown(config)}")
    print(f"Look at it: {tool('prepare_data')} check {command(args.out.as_posix())}")
    print(f"Train:      {tool('train')} {command(shown(config).as_posix())}")
    return 0


def check(args: argparse.Namespace) -> int:
    """Report on a data set."""
    from mmgen_ext.prepare.check_report import check_set

    out = args.out or Path("work_dirs", "check", f"{args.path.resolve().name}.png")
    report = check_set(args.path, out)
    print(report.text)
    if not report.usable:
        print(f"Then look again: {tool('prepare_data')} check {command(args.path.as_posix())}")
        return 1
    if report.root is None:
        words = command("own", args.path.as_posix(), "OTHER_FOLDER", "data/mine")
        print(f"Make a set of it and another folder: {tool('prepare_data')} {words}")
    else:
        print(f"Train: {train_command(report.root)}")
    return 0


def demo(args: argparse.Namespace) -> int:
    """Make the demo's data set."""
    from mmgen_ext.datasets.demo import make_demo_dataset
    from mmgen_ext.prepare.place import check_free, counts_of, new_folder, only_one

    with only_one(args.out):
        check_free(args.out, args.overwrite)
        with new_folder(args.out) as part:
            make_demo_dataset(part)
    return show(args.out, "demo", f"demo is prepared: {holds(counts_of(args.out))}")


def main() -> int:
    """Do what the command line says."""
    args = parse_args(sys.argv[1:])
    return {"get": get, "own": own, "check": check, "demo": demo}[args.command](args)


def is_there(arguments: list[str]) -> bool:
    """Say at once that a set is prepared: the libraries alone take seconds to import."""
    args = parse_args(arguments)
    if args.command != "get" or args.overwrite:
        return False
    root = args.out or Path("data", args.name)
    folders = [root / "trainA", root / "trainB"]
    if not all(any(p.is_file() for p in folder.rglob("*")) for folder in folders):
        return False
    show(root, args.name, f"{args.name} is prepared already; --overwrite makes it again")
    return True


if __name__ == "__main__":
    if is_there(sys.argv[1:]):
        sys.exit(0)
    from mmgen_ext import cli

    cli.run(main)
