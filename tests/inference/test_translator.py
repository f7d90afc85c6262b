"""The Translator: any size in, the same size out, and mmgen's pixels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv import Config
from mmgen.apis import init_model, sample_img2img_model
from PIL import Image

from mmgen_ext.inference.sizing import working_size
from mmgen_ext.inference.translator import Translator
from mmgen_ext.pictures import tensor_to_images

MMGENS = """
domain_a, domain_b = "monet", "photo"
model = dict(
    type="CycleGAN",
    generator=dict(type="ResnetGenerator", in_channels=3, out_channels=3, base_channels=4,
                   num_blocks=1, norm_cfg=dict(type="IN")),
    discriminator=dict(type="PatchDiscriminator", in_channels=3, base_channels=4, num_conv=2,
                       norm_cfg=dict(type="IN")),
    gan_loss=dict(type="GANLoss", gan_type="lsgan"),
    default_domain=domain_b,
    reachable_domains=[domain_a, domain_b],
    related_domains=[domain_a, domain_b],
)
keys = [f"img_{domain_a}", f"img_{domain_b}"]
test_pipeline = [
    *[dict(type="LoadImageFromFile", io_backend="disk", key=key, flag="color") for key in keys],
    dict(type="Resize", keys=keys, scale=(256, 256), interpolation="bicubic"),
    dict(type="RescaleToZeroOne", keys=keys),
    dict(type="Normalize", keys=keys, to_rgb=False, mean=[0.5] * 3, std=[0.5] * 3),
    dict(type="ImageToTensor", keys=keys),
    dict(type="Collect", keys=keys, meta_keys=[]),
]
train_cfg = None
test_cfg = None
"""


@pytest.fixture(scope="module")
def translator(trained):
    return Translator(None, trained / "latest.pth", device="cpu")


@pytest.fixture(scope="module")
def mmgens(tmp_path_factory):
    """A config and a checkpoint of mmgen's own, as its runner writes them after an evaluation."""
    folder = tmp_path_factory.mktemp("mmgen")
    (folder / "config.py").write_text(MMGENS)
    model = init_model(str(folder / "config.py"), None, device="cpu")
    # Trained weights are larger than those at the start: pictures with contrast.
    for parameter in model.generators.parameters():
        parameter.data *= 4
    meta = dict(iter=5, best_score=np.float64(1.5))
    torch.save(dict(meta=meta, state_dict=model.state_dict()), folder / "iter_5.pth")
    return folder


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70))
def test_every_size_is_returned(translator, height, width):
    image = np.zeros((height, width, 3), np.uint8)
    assert translator(image, to="a").shape == (height, width, 3)


@pytest.mark.parametrize("size", [(1, 1), (3, 5000), (500, 3), (7, 9)])
def test_extreme_sizes_are_returned(translator, size):
    assert translator(np.full((*size, 3), 100, np.uint8)).shape == (*size, 3)


def test_what_fits_the_network_is_not_padded(translator, photos):
    image = np.ascontiguousarray(photos["coffee"][:64, :96, ::-1])
    tensor = torch.from_numpy(image.transpose(2, 0, 1)[None] / 127.5 - 1).float()
    with torch.no_grad():
        expected = tensor_to_images(translator.network("b")(tensor))[0]
    assert np.abs(translator(image, to="b").astype(int) - expected).max() <= 1


def test_a_batch_equals_its_pictures_one_by_one(translator, photos):
    images = [
        photos[n][50 : 50 + h, 50:90, ::-1] for n, h in zip(photos, (40, 40, 33, 40), strict=True)
    ]
    together = translator.batch(images, to="a")
    for image, translated in zip(images, together, strict=True):
        assert np.abs(translator(image, to="a").astype(int) - translated).max() <= 1


def test_working_size_returns_the_original_size(translator):
    assert translator(np.zeros((50, 81, 3), np.uint8), size=16).shape == (50, 81, 3)


def test_thin_pictures_are_not_enlarged_without_end(translator):
    assert translator(np.zeros((3, 5000, 3), np.uint8), size=64).shape == (3, 5000, 3)
    assert working_size(3, 5000, 512) == (5, 8192)


def test_picture_of_another_type_is_refused(translator):
    with pytest.raises(ValueError, match=r"got float64 of shape \(8, 8, 3\); expected uint8"):
        translator(np.zeros((8, 8, 3)))
    with pytest.raises(ValueError, match=r"got uint8 of shape \(8, 8, 4\); expected uint8 .*3\)"):
        translator(np.zeros((8, 8, 4), np.uint8))


def test_gray_is_translated_as_the_colour_it_shows(translator, photos):
    gray = np.ascontiguousarray(photos["coffee"][:30, :40, 0])
    colour = translator(np.dstack([gray] * 3))
    assert np.array_equal(translator(gray), colour)
    assert np.array_equal(translator(gray[:, :, None]), colour)


def test_unknown_domain_is_answered_with_the_domains(translator):
    with pytest.raises(ValueError, match="unknown domain 'c'; this model makes a, b"):
        translator(np.zeros((8, 8, 3), np.uint8), to="c")


@pytest.mark.parametrize("domain", ["monet", "photo"])
def test_mmgens_checkpoint_gives_mmgens_pixels(mmgens, photos, tmp_path, domain):
    picture = tmp_path / "photo.png"
    Image.fromarray(photos["chelsea"][:256, :256]).save(picture)
    model = init_model(str(mmgens / "config.py"), str(mmgens / "iter_5.pth"), device="cpu")
    expected = tensor_to_images(sample_img2img_model(model, str(picture), domain))[0]
    translator = Translator(mmgens / "config.py", mmgens / "iter_5.pth", device="cpu")
    got = translator(np.asarray(Image.open(picture))[:, :, ::-1], to=domain)
    assert expected.std() > 20
    # The same float operations in another order: at most the last bit, and hardly ever.
    difference = np.abs(got.astype(int) - expected)
    assert difference.max() <= 1 and (difference > 0).mean() < 1e-3


def test_our_checkpoint_gives_our_pixels_in_mmgen(trained, translator, photos, tmp_path):
    config = Config(translator_config(trained))
    picture = tmp_path / "photo.png"
    Image.fromarray(photos["chelsea"][:64, :64]).save(picture)
    expected = translator(photos["chelsea"][:64, :64, ::-1], to="b")
    # In mmgen's model class, from a config of mmgen's alone ...
    theirs = Config.fromstring(MMGENS.replace('"monet", "photo"', '"a", "b"'), ".py")
    theirs.test_pipeline.pop(2)
    for cfg in (theirs, config):  # ... and in ours through mmgen's functions.
        model = init_model(cfg, str(trained / "latest.pth"), device="cpu")
        got = tensor_to_images(sample_img2img_model(model, str(picture), "b"))[0]
        assert np.abs(got.astype(int) - expected).max() <= 1


def translator_config(run):
    from mmgen_ext.checkpoint import read_checkpoint

    return read_checkpoint(run / "latest.pth")["mmgen_ext"]["config"]
