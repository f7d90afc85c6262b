"""Train a translator from a config.

Example:
    python tools/train.py configs/cyclegan/cyclegan_lsgan_resnet_in_b1x1_80k_monet2photo.py
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if (ROOT / "mmgen_ext").is_dir():  # a checkout
    sys.path.insert(0, str(ROOT))

from mmgen_ext import cli
from mmgen_ext.config import load_config
from mmgen_ext.files import tool
from mmgen_ext.training.dry_run import dry_run
from mmgen_ext.training.launchers import LAUNCHERS
from mmgen_ext.training.signals import Interrupted
from mmgen_ext.training.train import train


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.new_parser(__doc__)
    add = parser.add_argument
    add("config", help="config file; it is Python and runs as code")
    add("--work-dir", help="run directory (default: work_dirs/<config name>)")
    add("--resume", metavar="auto|CKPT", help="continue from the newest checkpoint, or from this")
    add("--resume-from", dest="resume", metavar="CKPT", help="the same, by OpenMMLab's name")
    add("--seed", type=int, help="of weights, data order and crops (default: 2021)")
    add("--deterministic", action="store_true", help="choose reproducible GPU algorithms")
    add("--device", default="auto", help="auto, cpu, cuda:N or mps (default: auto)")
    add("--launcher", default="none", choices=LAUNCHERS, help="who started many processes "
        "(torchrun is recognised without)")  # fmt: skip
    add("--no-validate", action="store_true", help="do not evaluate while training")
    add("--dry-run", action="store_true", help="build everything, say what would run, and stop")
    cli.add_cfg_options(parser)
    return parser.parse_args()


def main() -> int:
    """Train, and say where the result is."""
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    if args.dry_run:
        print(dry_run(cfg, args.seed, args.work_dir, args.device))
        return 0
    options = dict(seed=args.seed, deterministic=args.deterministic, device=args.device)
    options["launcher"] = args.launcher
    try:
        runner = train(cfg, args.work_dir, args.resume, validate=not args.no_validate, **options)
    except Interrupted as stop:
        print(f"{stop}; continue with the same command and --resume auto", file=sys.stderr)
        return stop.exit_code
    if runner.rank == 0:
        latest = Path(runner.work_dir, "latest.pth")
        print(f"done: {runner.work_dir}")
        if Path(runner.work_dir, "report.html").is_file():
            print(f"Look:      {Path(runner.work_dir, 'report.html')}")
        print(f"Measure:   {tool('evaluate')} {cli.command('auto', latest)}")
        print(f"Translate: {tool('translate')} {cli.command('auto', latest)} PICTURES")
    return 0


if __name__ == "__main__":
    cli.run(main)
