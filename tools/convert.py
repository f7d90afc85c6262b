"""Write anyone's CycleGAN weights as ours: under our names, with a config, all directions.

Example:
    python tools/convert.py latest_net_G.pth work_dirs/horse2zebra.pth --to-domain zebra
    python tools/translate.py auto work_dirs/horse2zebra.pth photos
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if (ROOT / "mmgen_ext").is_dir():  # a checkout
    sys.path.insert(0, str(ROOT))

from mmgen_ext import cli
from mmgen_ext.inference.publish import convert


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.new_parser(__doc__)
    add = parser.add_argument
    add("checkpoint", help="weights of mmgen_ext, MMGeneration, the original authors or others, or "
        "a name of configs/cyclegan/metafile.yml")  # fmt: skip
    add("out", help="NAME.pth or NAME.safetensors")
    add("--to-domain", nargs="+", metavar="NAME", help="names of the domains that are made")
    add("--config", help="config file (default: the one in the file, or what its tensors show)")
    return parser.parse_args()


def main() -> int:
    """Convert, and say what the file makes."""
    args = parse_args()
    domains = convert(args.checkpoint, args.out, args.to_domain, args.config)
    print(f"{args.out}: makes {', '.join(domains)}; {Path(args.out).stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    cli.run(main)
