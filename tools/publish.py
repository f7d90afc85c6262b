"""Make a small file of one direction, to translate with and to pass on.

Example:
    python tools/publish.py work_dirs/NAME/latest.pth work_dirs/photo2monet.safetensors --to monet
    python tools/translate.py auto work_dirs/photo2monet-1a2b3c4d.safetensors photos
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if (ROOT / "mmgen_ext").is_dir():  # a checkout
    sys.path.insert(0, str(ROOT))

from mmgen_ext import cli
from mmgen_ext.inference.publish import publish


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.new_parser(__doc__)
    add = parser.add_argument
    add("checkpoint", help="checkpoint of mmgen_ext or MMGeneration")
    add("out", help="NAME.pth or NAME.safetensors; its hash is added to the name")
    add("--to", metavar="DOMAIN", help="domain that is made (default: the model's)")
    add("--config", help="config file (default: the one in the checkpoint)")
    return parser.parse_args()


def main() -> int:
    """Publish, and say where and how large."""
    args = parse_args()
    path = publish(args.checkpoint, args.out, args.to, args.config)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    print(f"{path.with_suffix('.md')}: its model card; complete the last section")
    return 0


if __name__ == "__main__":
    cli.run(main)
