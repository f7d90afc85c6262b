"""Export a trained generator to ONNX, checked against PyTorch on photographs of three sizes.

Example:
    python tools/export.py auto work_dirs/NAME/latest.pth work_dirs/photo2monet.onnx --to monet
    python tools/translate.py auto work_dirs/photo2monet.onnx photos
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if (ROOT / "mmgen_ext").is_dir():  # a checkout
    sys.path.insert(0, str(ROOT))

from mmgen_ext import cli
from mmgen_ext.export import DEFAULT_OPSET, export_onnx


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.new_parser(__doc__)
    add = parser.add_argument
    add("config", help="config file, or auto for the one in the checkpoint")
    add("checkpoint", help="checkpoint of mmgen_ext or MMGeneration")
    add("out", metavar="OUT.onnx", help="file to write")
    add("--to", metavar="DOMAIN", help="domain that is made (default: the model's)")
    add("--with-processing", action="store_true", help="let the graph take and give uint8 "
        "pictures (N, H, W, C), BGR, of any size")  # fmt: skip
    add("--opset", type=int, default=DEFAULT_OPSET, metavar="N",
        help=f"version of ONNX's operators, 13 to 20 (default: {DEFAULT_OPSET})")  # fmt: skip
    return parser.parse_args()


def main() -> int:
    """Export, and say what the file takes and gives and how well it agrees."""
    args = parse_args()
    report = export_onnx(
        args.config, args.checkpoint, args.out, args.to, args.with_processing, args.opset
    )
    checked = ", ".join(f"{n} of {w} x {h}" for n, h, w in report.checked)
    print(
        f"{report.path}: makes {report.domain}, opset {report.opset}, "
        f"{report.num_bytes / 1e6:.1f} MB\n"
        f"input: {report.inputs}\n"
        f"output: {report.outputs}\n"
        f"photographs checked: {checked}; largest difference to PyTorch: "
        f"{report.difference:.2g} of 255"
    )
    return 0


if __name__ == "__main__":
    cli.run(main)
