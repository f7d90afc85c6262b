"""Train recipes at equal work, one after another, and compare what becomes of them.

Examples:
    python tools/compare_recipes.py configs/recipes/cpu_128x128.py --dry-run
    python tools/compare_recipes.py configs/recipes/cpu_128x128.py --recipes default blur --seeds 1
    python tools/compare_recipes.py configs/recipes/cpu_128x128.py --table
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if (ROOT / "mmgen_ext").is_dir():  # a checkout
    sys.path.insert(0, str(ROOT))

import torch
from prettytable import TableStyle

from mmgen_ext import cli
from mmgen_ext.recipes import Plan, compare
from mmgen_ext.recipes_report import sheets, tables
from mmgen_ext.words import counted


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.new_parser(__doc__)
    add = parser.add_argument
    add("plan", type=Path, help="file that names recipes, data sets, seeds and minutes")
    add("--recipes", nargs="+", metavar="NAME", help="only these (default: all)")
    add("--sets", nargs="+", metavar="NAME", help="only these data sets (default: all)")
    add("--seeds", nargs="+", type=int, metavar="N", help="only these (default: the plan's)")
    add("--data", type=Path, default=Path("data"), metavar="DIR", help="folder of the data sets "
        "(default: data)")  # fmt: skip
    add("--work-dir", type=Path, metavar="DIR", help="where runs are kept (default: "
        "work_dirs/<plan's name>)")  # fmt: skip
    add("--threads", type=cli.number, metavar="N", help="threads of PyTorch (default: its own "
        "choice)")  # fmt: skip
    add("--table", action="store_true", help="train nothing: the table of what is done")
    add("--dry-run", action="store_true", help="say what would be trained, and how long it takes")
    return parser.parse_args()


def main() -> None:
    """Train what is not done yet; print the tables and write the sheets."""
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    work_dir = args.work_dir or Path("work_dirs", args.plan.stem)
    only = dict(recipes=args.recipes, sets=args.sets, seeds=args.seeds)
    plan = Plan(args.plan, work_dir, args.data, only)
    if args.dry_run:
        left = plan.left()
        for run in left:
            print(f"{run.data} {run.recipe} seed {run.seed}")
        hours = len(left) * plan.minutes / 60
        print(f"{counted(len(left), 'run')} of {plan.minutes} minutes: {hours:.1f} hours, and "
              f"about a minute each to measure")  # fmt: skip
        return
    if not args.table:
        compare(plan)
    for data, table in tables(plan).items():
        print(f"{data}\n{table}")
        table.set_style(TableStyle.MARKDOWN)
        (work_dir / f"{data}.md").write_text(f"{table}\n", "utf-8")
    for path in sheets(plan):
        print(f"Look: {path}")


if __name__ == "__main__":
    cli.run(main)
