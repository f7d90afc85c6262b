"""Extractors: what they remember, and what is said of a wrong file or no network."""

import functools
import http.server
import threading

import numpy as np
import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from mmgen_ext.checkpoint import file_digest
from mmgen_ext.datasets.images import list_images, read_image
from mmgen_ext.evaluation import features
from mmgen_ext.evaluation.features import Extractor, inception_weights


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MMGEN_EXT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_features_do_not_depend_on_the_batch(photos):
    images = [photos[name][:100, :90, ::-1] for name in ("chelsea", "coffee", "rocket")]
    images.append(images[0][:50, :50])
    extract = Extractor("lite0")
    one, many = (extract(images, batch_size) for batch_size in (1, 16))
    assert one.shape == (4, 1280) and one.dtype == np.float32
    np.testing.assert_allclose(one, many, atol=1e-4)


def test_gray_is_taken_as_three_equal_channels(photos):
    gray = photos["chelsea"][:64, :64, :1]
    extract = Extractor("lite0")
    np.testing.assert_array_equal(extract([gray]), extract([np.repeat(gray, 3, 2)]))


def test_features_of_files_are_remembered_by_content(cache, crops, tmp_path):
    paths = list_images(crops / "testA")
    extract = Extractor("lite0")
    first = extract.of_files(paths, map(read_image, paths), "as they are")
    moved = [tmp_path / f"{i}.png" for i in range(len(paths))]
    for path, to in zip(paths, moved, strict=True):
        to.write_bytes(path.read_bytes())
    # The same content elsewhere: nothing is looked at.
    np.testing.assert_array_equal(extract.of_files(moved, iter(()), "as they are"), first)
    moved[3].write_bytes(paths[4].read_bytes())
    other = extract.of_files(moved, map(read_image, moved), "as they are")
    assert not np.array_equal(other, first) and np.array_equal(other[:3], first[:3])


def test_a_damaged_memory_is_made_anew(cache, crops):
    paths = list_images(crops / "testA")
    extract = Extractor("lite0")
    first = extract.of_files(paths, map(read_image, paths), "x")
    (memory,) = (cache / "features").glob("*.npy")
    whole = memory.read_bytes()
    nan = np.full_like(first, np.nan)
    np.save(memory, nan)
    damaged = [b"", whole[:-100], whole[:60] + b"(((((" + whole[65:], b"PK" + whole[2:]]
    for content in (*damaged, memory.read_bytes()):
        memory.write_bytes(content)
        np.testing.assert_array_equal(extract.of_files(paths, map(read_image, paths), "x"), first)


def test_features_without_a_place_to_remember_them(crops, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MMGEN_EXT_CACHE", str(tmp_path / "file"))
    paths = list_images(crops / "testA")
    assert len(Extractor("lite0").of_files(paths, map(read_image, paths), "x")) == len(paths)


@pytest.fixture(scope="session")
def random_inception(tmp_path_factory):
    """A file with Inception's shapes: the real weights cannot be had without a network."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("inception") / "random.pth"
    network = FeatureExtractorInceptionV3.__new__(FeatureExtractorInceptionV3)
    original = FeatureExtractorInceptionV3.load_state_dict
    try:
        FeatureExtractorInceptionV3.load_state_dict = lambda self, state: None
        torch.save({}, path)
        network.__init__("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path))
    finally:
        FeatureExtractorInceptionV3.load_state_dict = original
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture
def served(random_inception, monkeypatch):
    """A server on loopback that has that file under a name with its hash."""
    handler = functools.partial(
        http.server.SimpleHTTPRequestHandler, directory=str(random_inception.parent)
    )
    handler.log_message = lambda *args: None
    named = random_inception.with_name(f"w-{file_digest(random_inception)[:8]}.pth")
    named.write_bytes(random_inception.read_bytes())
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(
            features, "INCEPTION_URL", f"http://127.0.0.1:{server.server_port}/{named.name}"
        )
        yield server
        server.shutdown()


def test_inception_is_fetched_once_and_gives_2048_numbers(cache, served, photos):
    extract = Extractor("inception")
    assert extract([photos["chelsea"][:64, :64, ::-1]]).shape == (1, 2048)
    served.shutdown()
    assert inception_weights().is_file()  # from the cache


def test_no_network_says_what_to_do(cache, served):
    served.shutdown()
    served.server_close()
    with pytest.raises(OSError, match=r"cannot fetch.*--features-weights FILE.*--features lite0"):
        Extractor("inception")


def test_a_wrong_file_of_weights_is_refused(tmp_path, random_inception):
    with pytest.raises(ValueError, match=r"not the Inception network of FID.*expected 6726825d"):
        Extractor("inception", weights=random_inception)
    with pytest.raises(FileNotFoundError, match="no file"):
        Extractor("inception", weights=tmp_path / "nothing.pth")
    with pytest.raises(ValueError, match="are for features=inception"):
        Extractor("lite0", weights=random_inception)


def test_unknown_extractors_are_named():
    with pytest.raises(ValueError, match="choose one of lite0, inception"):
        Extractor("vgg")


def test_missing_packages_say_which_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch_fidelity", None)
    with pytest.raises(ValueError, match=r'pip install -e "\.\[eval\]"'):
        Extractor("lite0")


def test_an_extractor_draws_nothing_from_the_stream_of_random_numbers():
    before = torch.get_rng_state()
    Extractor("lite0")
    assert torch.equal(torch.get_rng_state(), before)
