"""What the tests of evaluation share: enough real pictures, and a trained model of them."""

import pytest
from PIL import Image

COUNTS = dict(trainA=6, trainB=4, testA=10, testB=9)


@pytest.fixture(scope="session")
def crops(tmp_path_factory, photos):
    """Crops of 48 x 48 with enough test pictures for KID; domain B is brighter and upside down."""
    root = tmp_path_factory.mktemp("evaluation") / "crops 画"
    places = [(y, x) for y in range(0, 240, 48) for x in range(0, 340, 60)]
    for letter, names in ("A", ("chelsea", "coffee")), ("B", ("astronaut", "rocket")):
        pieces = iter(photos[n][y : y + 48, x : x + 48] for y, x in places for n in names)
        for phase in ("train", "test"):
            folder = root / f"{phase}{letter}"
            folder.mkdir(parents=True)
            for i in range(COUNTS[folder.name]):
                Image.fromarray(next(pieces)).save(folder / f"{i} é.png")
    return root


@pytest.fixture(scope="session")
def averaged(tmp_path_factory, tool, tiny_config, crops):
    """The run directory of a training with averaged weights on `crops`."""
    config = tmp_path_factory.mktemp("averaged") / "averaged.py"
    config.write_text(f"_base_ = {str(tiny_config)!r}\nema = dict(decay=0.9)\n", "utf-8")
    work_dir = config.parent / "run"
    options = ["--work-dir", work_dir, "--cfg-options", f"data_root={crops}"]
    result = tool("train", config, *options)
    assert result.code == 0, result.err[-600:]
    return work_dir
