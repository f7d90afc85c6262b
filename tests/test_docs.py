"""The documentation: links lead somewhere, both languages say the same, every key is explained."""

import inspect
import json
import re

import pages
import pytest
import yaml
from mmcv.runner import HOOKS
from pages import PAGES, ROOT, name_of, tutorial_config

from mmgen_ext.config import load_config, plain_data
from mmgen_ext.registry import DATASETS, MODULES
from mmgen_ext.training.hooks.checkpoint import SaveHook

EACH = pytest.mark.parametrize("page", PAGES, ids=name_of)
PAIRS = list(pages.pairs())
BOTH = pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: name_of(pair[0]))
CONFIGS_PAGES = [ROOT / "docs" / name for name in ("configs.md", "configs_zh-CN.md")]


# Both languages -----------------------------------------------------------------------------------


@BOTH
def test_both_languages_have_the_same_commands_code_links_and_tables(pair):
    english, chinese = map(pages.read, pair)
    assert list(pages.commands(english)) == list(pages.commands(chinese))
    assert pages.code(english) == pages.code(chinese)
    targets = [
        [path.replace("_zh-CN", "") for path, _ in pages.links(text)] for text in (english, chinese)
    ]
    # Sentences turn around in translation, and with them the links in one.
    assert sorted(targets[0]) == sorted(targets[1])
    tables = [re.findall(r"^ *\|.*\|$", text, re.M) for text in (english, chinese)]
    assert [row.count("|") for row in tables[0]] == [row.count("|") for row in tables[1]]


@BOTH
def test_both_languages_name_the_same_keys_and_options(pair):
    spans = [set(re.findall(r"`([^`\n]+)`", pages.read(page))) for page in pair]
    keys = [
        {s for s in found if re.fullmatch(r"[a-z_]+(\.[a-z_]+)*|--[a-z-]+", s)} for found in spans
    ]
    assert keys[0] == keys[1]


@BOTH
def test_pages_of_both_languages_lead_to_each_other(pair):
    for page, other in (pair, pair[::-1]):
        assert f"]({other.name})" in "\n".join(pages.read(page).splitlines()[:4])


CHINESE = [*(page for _, page in PAIRS), *sorted((ROOT / "demo").glob("*_zh-CN.ipynb"))]


@pytest.mark.parametrize("page", CHINESE, ids=name_of)
def test_no_line_breaks_between_two_chinese_characters(page):
    """A browser shows a line break as a space, which has no place there."""
    text = pages.read(page)
    if page.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    assert not re.findall(r".{,9}[\u4e00-\u9fff]\n *[\u4e00-\u9fff].{,9}", text)


def test_chinese_texts_call_pictures_and_translating_by_one_word_each():
    texts = [ROOT / "demo" / "app_texts.py", ROOT / "mmgen_ext" / "training" / "report.html"]
    found = {
        name_of(page): re.findall("图像翻译|图像|翻译", pages.read(page))
        for page in [*CHINESE, *texts]
    }
    field = {"README_zh-CN.md": ["图像翻译"]}  # its name, once
    assert {name: words for name, words in found.items() if words} == field


# Links --------------------------------------------------------------------------------------------


@EACH
def test_links_and_pictures_lead_somewhere(page):
    for path, fragment in pages.links(pages.read(page)):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        if fragment:
            assert fragment in pages.headings(pages.read(target)), f"{path}#{fragment}"


# Commands -----------------------------------------------------------------------------------------


def test_brackets_are_quoted_for_every_shell():
    """The default shell of macOS looks for files of that name otherwise."""
    folders = ("docs", "demo", "mmgen_ext", "tools")
    files = [p for folder in folders for p in (ROOT / folder).rglob("*.*")] + [*ROOT.glob("*.md")]
    texts = [p for p in files if p.suffix in (".md", ".py", ".ipynb")]
    bare = re.compile(r"""pip install[^"'`\n]* \.\[""")
    assert not {name_of(p): found for p in texts if (found := bare.findall(pages.read(p)))}


@EACH
def test_what_a_command_writes_does_not_dirty_the_checkout(page):
    written = re.compile(r"(?:--out |(?:publish|export|convert)\.py \S+ \S+ |> )([\w/\\.]+)")
    for command in pages.commands(pages.read(page)):
        for path in written.findall(command.text.replace("auto ", "")):
            assert path.startswith(("work_dirs", "data/")) or path.isupper(), command.text


# Keys ---------------------------------------------------------------------------------------------


def keys(value, prefix=""):
    """Dotted keys of a config; of lists of parts their types and arguments."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from keys(item, f"{prefix}.{key}" if prefix else key)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        yield prefix
        for part in value:
            yield part["type"]
            yield from (key for key in part if key != "type")
    else:
        yield prefix


@pytest.mark.parametrize("page", CONFIGS_PAGES, ids=name_of)
def test_every_key_of_the_base_config_is_explained(page):
    name = "cyclegan_lsgan_resnet_in_b1x1_80k_monet2photo.py"
    cfg = plain_data(load_config(ROOT / "configs" / "cyclegan" / name))
    text = pages.read(page)
    missing = [key for key in keys(cfg) if f"`{key}`" not in text]
    assert not missing


@pytest.mark.parametrize("page", CONFIGS_PAGES, ids=name_of)
def test_every_argument_of_our_parts_is_named(page):
    text = pages.read(page)
    hooks = [HOOKS.get(f"{n}Hook") for n in ("Gallery", "Evaluation", "Health", "Report")]
    parts = [*hooks, HOOKS.get("GeneratorEMAHook"), SaveHook, DATASETS.get("UnpairedImageDataset")]
    parts += [MODULES.get(n) for n in ("ResnetGenerator", "PatchDiscriminator", "GANLoss")]
    for part in parts:
        for argument in list(inspect.signature(part.__init__).parameters)[1:]:
            if argument not in ("by_epoch", "out_dir"):  # mmcv's, without effect
                assert re.search(rf"[`.]{argument}[`=]", text), f"{part.__name__}: {argument}"


@pytest.mark.parametrize("page", ["migration.md", "migration_zh-CN.md"])
def test_every_key_of_mmgens_config_has_its_place_here(page, tmp_path):
    text = pages.read(ROOT / "docs" / page)
    path = tmp_path / "facades.py"
    path.write_text(tutorial_config(), "utf-8")
    cfg = load_config(path)
    skipped = {"type", "keys", "img_norm_cfg", "test_cfg", "domain_a", "train_dataset_type"}
    for part in (cfg, cfg.model, cfg.data, cfg.data.train, cfg.lr_config, cfg.checkpoint_config):
        for key in set(part) - skipped:
            if not key.startswith(("train_", "val_", "test_", "_", "data_root")):
                assert re.search(rf"\b{key}\b", text), key


@pytest.mark.parametrize("page", ["README.md", "README_zh-CN.md"])
def test_every_weight_of_the_table_has_a_card(page):
    text = pages.read(ROOT / "configs" / "cyclegan" / page)
    table = yaml.safe_load((ROOT / "configs" / "cyclegan" / "metafile.yml").read_text("utf-8"))
    for entry in table["Models"]:
        assert f"| `{entry['Name']}` |" in text


@pytest.mark.parametrize("page", ["README.md", "README_zh-CN.md"])
def test_every_config_is_in_the_table_of_its_folder(page):
    for config in (ROOT / "configs").glob("[cd]*/*.py"):  # those that describe one training
        assert f"| `{config.name}` |" in pages.read(config.parent / page)
