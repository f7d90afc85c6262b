"""The data sets of the paper, and where they are."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from ..files import tool

_AUTHORS = "https://efrosgans.eecs.berkeley.edu/cyclegan/datasets/"
# The host of the MMGeneration tutorial, for the painters.
_TUTORIAL = "https://zihao-openmmlab.obs.cn-east-3.myhuaweicloud.com/20220322-mmgeneration/dataset/"


@dataclass(frozen=True)
class Source:
    """An archive.

    Attributes:
        url: Where it is.
        size: Its bytes; None where nobody has published them.
        sha256: Its hash; empty where nobody has published it.
    """

    url: str
    size: int | None = None
    sha256: str = ""


@dataclass(frozen=True)
class KnownSet:
    """A data set with a config in configs/cyclegan that ends in its name.

    Attributes:
        sources: Archives, to be tried in this order.
        note: What to know if none of them can be had.
    """

    sources: tuple[Source, ...]
    note: str = ""


# Size and SHA-256 of the authors' archives as TensorFlow Datasets publishes them
# (url_checksums/cycle_gan.txt), which took them from the authors' former address.
_TABLE = """
monet2photo            305231073  88f91b00fc228f97c9411fbf1880ec1d119c98f1722e4cfcfaa2fb35fac05b04
vangogh2photo          306590349  362c3473e70be0944bda08d49d660eafdc2854df55d697835b8186d1d79caaff
cezanne2photo          279885071  3a6c10ca21f9485862f1cbd707744b9dc258954a04631271d23a3605eeb63cff
ukiyoe2photo           292946532  02a2a2fb5ecf425ca1bf86aca7304377da64a2a1d3b86df54eb65e4068bf3b08
horse2zebra            116867962  a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1
summer2winter_yosemite 132640856  167fe1726807a9d22bd106b4a6c0bd7953b688af924ac1bf967439c4961e49f9
apple2orange           78456409   845a191e9af8926408ea597001cd03a452e3300a1f44a79fe329b3d59f6e3eb8
iphone2dslr_flower     339964458  8fcb5e374d631b107e1d961b8c4cd0a186aa2a4ff3e279923f4c426128de7113
facades                35135868   9a31ebf3a31b9b5cd195dd5bf62e9308e00cb94604d1019e3889ac84248695c0
maps                   1476754427 639534f69dbf9f36bef8d6292a7698006361221f83f0285d7c9ca78afe6e8a9e
cityscapes             279601602  d2f6910fd056c1ee9873777ae838e7ac4a2c833598ae62a04188e5ab2f4ea036
"""
_PAINTERS = ("monet2photo", "vangogh2photo", "cezanne2photo", "ukiyoe2photo")
_NOTES = {
    "cityscapes": "The licence of Cityscapes forbids passing it on: the authors may have taken it "
    "down. Get gtFine and leftImg8bit from https://www.cityscapes-dataset.com and make the set of "
    f"your two folders with: {tool('prepare_data')} own STREETS LABELS data/cityscapes"
}


def _read_table() -> dict[str, KnownSet]:
    sets = {}
    for line in _TABLE.split("\n")[1:-1]:
        name, size, sha256 = line.split()
        sources = [Source(f"{_AUTHORS}{name}.zip", int(size), sha256)]
        if name in _PAINTERS:
            sources.append(Source(f"{_TUTORIAL}{name}.zip"))
        sets[name] = KnownSet(tuple(sources), _NOTES.get(name, ""))
    return sets


KNOWN = _read_table()


def how_to_get(root: Path) -> str | None:
    """The command that makes the folder of a data set; None if its name is not known."""
    if root.name not in (*KNOWN, "demo"):
        return None
    out = "" if root == Path("data", root.name) else f" --out {root}"
    return f"{tool('prepare_data')} {root.name}{out}"


def suggest(name: str) -> str:
    """What to say of a name that is not known."""
    near = difflib.get_close_matches(name.lower(), KNOWN, 3, 0.6)
    return f"did you mean {', '.join(near)}?" if near else f"the names are {', '.join(KNOWN)}"
