"""Measure how good a trained model is: KID, FID, content kept and cycle error of both directions.

Examples:
    python tools/evaluate.py auto work_dirs/NAME/latest.pth
    python tools/evaluate.py CONFIG CHECKPOINT --to monet --features inception --out metrics.json
    python tools/evaluate.py auto vintagify --data-root data/old_photos
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if (ROOT / "mmgen_ext").is_dir():  # a checkout
    sys.path.insert(0, str(ROOT))

from mmgen_ext import cli
from mmgen_ext.evaluation.features import EXTRACTORS
from mmgen_ext.evaluation.report import metrics_table, protocol_lines
from mmgen_ext.evaluation.run import evaluate_checkpoint, write_metrics
from mmgen_ext.inference.weights import WEIGHTS


def size(text: str) -> int | str:
    """Parse --size."""
    return text if text == "native" else cli.number(text)


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.new_parser(__doc__)
    add = parser.add_argument
    add("config", help="config file, or auto for the one in the checkpoint")
    add("checkpoint", help="checkpoint, .onnx file or a name of configs/cyclegan/metafile.yml")
    add("--to", default="both", metavar="DOMAIN|both", help="target domain (default: both)")
    add("--features", default="lite0", choices=EXTRACTORS, help="network whose features are "
        "compared: lite0 needs no network, inception is that of published FIDs "
        "(default: lite0)")  # fmt: skip
    add("--features-weights", type=Path, metavar="FILE", help="file of Inception's weights "
        "(default: the cache, fetched at first use)")  # fmt: skip
    add("--out", type=Path, metavar="PATH", help="where the figures are written (default: "
        "metrics.json beside the checkpoint)")  # fmt: skip
    add("--data-root", type=Path, metavar="DIR", help="folder with testA and testB (default: the "
        "config's)")  # fmt: skip
    add("--domains", nargs=2, metavar=("A", "B"), help="names of the domains in testA and testB "
        "(default: the config's)")  # fmt: skip
    add("--reference", default="test", choices=("test", "train"), help="pictures of the target "
        "domain to compare with (default: test)")  # fmt: skip
    add("--size", type=size, metavar="native|N", help="side of the squares that all pictures "
        "become (default: that of the config's test pipeline)")  # fmt: skip
    add("--weights", default="auto", choices=WEIGHTS, help="raw: of the last iteration; ema: their "
        "averages (default: auto, the averages if there are some)")  # fmt: skip
    add("--batch-size", type=cli.number, default=1, metavar="N", help="images at once (default: 1)")
    add("--device", default="auto", help="auto, cpu, cuda:N or mps (default: auto)")
    add("--precision", default="auto", help="auto, fp32, bf16 or fp16 (default: auto, fp32)")
    return parser.parse_args()


def main() -> int:
    """Evaluate, print a table and write the figures."""
    args = parse_args()
    results, notes = evaluate_checkpoint(
        args.config, args.checkpoint, args.to, args.features, args.features_weights,
        args.data_root, args.reference, args.size, args.weights, args.batch_size,
        args.device, args.precision, args.domains,
    )  # fmt: skip
    print(metrics_table(results))
    print(
        "KID, FID, cycle error (levels of 255): less is better; SSIM: 1 keeps everything. A "
        "translation should beat its untranslated row."
    )
    for line in protocol_lines(results):
        print(line)
    for note in notes:
        print(f"{cli.paint('note:', 'yellow')} {note}", file=sys.stderr)
    print(f"written: {write_metrics(args.out, args.checkpoint, results)}")
    return 0


if __name__ == "__main__":
    cli.run(main)
