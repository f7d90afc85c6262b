"""The stabiliser: less flicker where the source stands still, and no trace of what has gone."""

from itertools import pairwise

import cv2
import numpy as np
import pytest

from mmgen_ext.inference.stabilise import Stabiliser, warped_error

HEIGHT, WIDTH, LENGTH = 160, 240, 16


@pytest.fixture(scope="module")
def scene(photos):
    """A cup that crosses a still photograph, 6 pixels a frame, and its mask."""
    background = cv2.resize(photos["rocket"], (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    thing = cv2.resize(photos["coffee"][:, 100:500], (50, 50), interpolation=cv2.INTER_AREA)
    frames, masks = [], []
    for n in range(LENGTH):
        frame, mask = background.copy(), np.zeros((HEIGHT, WIDTH), bool)
        frame[60:110, 20 + 6 * n : 70 + 6 * n] = thing
        mask[60:110, 20 + 6 * n : 70 + 6 * n] = True
        frames.append(frame)
        masks.append(mask)
    return frames, masks


def ideal(frame):
    """A translation without flicker."""
    return (255 - frame * 0.8).astype(np.uint8)


def flickering(frames, gain=0.06, noise=10):
    """What a network does to video: brightness, colours and texture change from frame to frame."""
    random = np.random.default_rng(0)
    out = []
    for frame in frames:
        texture = cv2.GaussianBlur(random.normal(0, noise * 4, frame.shape), (0, 0), 1.5)
        changed = ideal(frame) * (1 + random.normal(0, gain, 3)) + texture
        out.append(changed.clip(0, 255).astype(np.uint8))
    return out


def stabilised(frames, translated, strength=1.0):
    stabiliser = Stabiliser(strength)
    return [stabiliser(*pair) for pair in zip(frames, translated, strict=True)]


def errors(frames, outputs):
    pairs = zip(frames, frames[1:], outputs, outputs[1:], strict=False)
    return np.array([warped_error(*pair) for pair in pairs])


def sharpness(image):
    return cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.CV_64F).var()


def test_flicker_falls_to_a_fifth(scene):
    frames, _ = scene
    translated = flickering(frames)
    before = errors(frames, translated).mean()
    after = errors(frames, stabilised(frames, translated)).mean()
    assert before > 0.03
    assert after < before / 5


def test_what_stands_still_stands_still(scene):
    frames, masks = scene
    outputs = stabilised(frames, flickering(frames))
    away = ~np.logical_or.reduce(masks)
    away[40:130] = False  # Far from the path: nothing moves there at all.
    change = [np.abs(a.astype(int) - b)[away].mean() for a, b in pairwise(outputs)]
    raw = flickering(frames)
    was = [np.abs(a.astype(int) - b)[away].mean() for a, b in pairwise(raw)]
    assert np.mean(change[2:]) < np.mean(was) / 4


def test_nothing_trails_behind_what_moves(scene):
    frames, masks = scene
    translated = flickering(frames)
    outputs = stabilised(frames, translated)
    for n in range(3, LENGTH):
        uncovered = masks[n - 1] & ~masks[n]
        # Exactly where a trail would be: against the translation that has no flicker.
        error = np.abs(outputs[n].astype(float) - ideal(frames[n]))[uncovered].mean()
        raw = np.abs(translated[n].astype(float) - ideal(frames[n]))[uncovered].mean()
        assert error < raw + 0.5
    path = np.logical_or.reduce(masks)
    far = [
        np.abs(o.astype(float) - ideal(f))[path].mean()
        for o, f in zip(outputs, frames, strict=True)
    ]
    raw = [
        np.abs(t.astype(float) - ideal(f))[path].mean()
        for t, f in zip(translated, frames, strict=True)
    ]
    assert np.mean(far[2:]) < np.mean(raw[2:])


def test_a_lamp_that_goes_on_is_on_at_once(photos):
    # Larger than what motion is looked for in: to the flow nothing happens.
    dark = cv2.resize(photos["coffee"], (1280, 800), interpolation=cv2.INTER_CUBIC)
    lit = dark.copy()
    lit[400:404, 600:604] = 255 - lit[400:404, 600:604]
    outputs = stabilised([dark, dark, lit], [ideal(dark), ideal(dark), ideal(lit)])
    error = np.abs(outputs[2].astype(float) - ideal(lit))[400:404, 600:604]
    assert error.mean() < 5


def test_after_a_cut_the_translation_is_as_it_was(scene, photos):
    frames, _ = scene
    other = cv2.resize(photos["chelsea"], (WIDTH, HEIGHT))
    frames = [*frames[:5], *[other] * 4, *frames[5:9]]
    translated = flickering(frames)
    outputs = stabilised(frames, translated)
    same = [
        n for n, pair in enumerate(zip(outputs, translated, strict=True)) if np.array_equal(*pair)
    ]
    assert same == [0, 5, 9]


def test_a_flash_is_no_cut(scene):
    frames, _ = scene
    bright = (frames[5].astype(int) + 110).clip(0, 255).astype(np.uint8)
    frames = [*frames[:5], bright, *frames[6:10]]
    translated = flickering(frames)
    outputs = stabilised(frames, translated)
    assert np.array_equal(outputs[5], translated[5])
    # The frame after it goes on from the one before it.
    before = np.abs(outputs[6][:40].astype(int) - outputs[4][:40]).mean()
    assert before < np.abs(translated[6][:40].astype(int) - translated[4][:40]).mean() / 3


def test_a_moving_picture_stays_sharp(photos):
    photo = np.ascontiguousarray(photos["chelsea"][..., ::-1])
    # The whole picture moves, by parts of a pixel: repeated resampling would blur it.
    frames = [
        cv2.warpAffine(photo, np.float32([[1, 0, -1.37 * n], [0, 1, -0.61 * n]]), (400, 260))
        for n in range(LENGTH)
    ]
    translated = flickering(frames, noise=0)
    outputs = stabilised(frames, translated)
    kept = [sharpness(o) / sharpness(t) for o, t in zip(outputs, translated, strict=True)]
    assert min(kept) > 0.95 and max(kept) < 1.05
    assert errors(frames, outputs).mean() < errors(frames, translated).mean() / 2


def test_a_creeping_picture_stays_sharp(photos):
    photo = np.ascontiguousarray(photos["chelsea"][..., ::-1])
    frames = [
        cv2.warpAffine(photo, np.float32([[1, 0, -0.2 * n], [0, 1, 0]]), (400, 260))
        for n in range(LENGTH)
    ]
    translated = flickering(frames, noise=0)
    outputs = stabilised(frames, translated)
    kept = [sharpness(o) / sharpness(t) for o, t in zip(outputs, translated, strict=True)]
    assert min(kept) > 0.95


def test_a_steady_translation_is_hardly_touched(scene):
    frames, _ = scene
    outputs = stabilised(frames, [ideal(frame) for frame in frames])
    for frame, output in zip(frames, outputs, strict=True):
        assert np.abs(output.astype(int) - ideal(frame)).mean() < 1


def test_strength_grades_it_and_none_is_nothing(scene):
    frames, _ = scene
    translated = flickering(frames)
    left = [errors(frames, stabilised(frames, translated, s)).mean() for s in (0, 0.5, 1)]
    assert left[0] > left[1] > left[2]
    nothing = stabilised(frames, translated, 0)
    assert all(np.array_equal(*pair) for pair in zip(nothing, translated, strict=True))


def test_contrast_and_brightness_do_not_drift(scene):
    frames, _ = scene
    outputs = stabilised(frames * 4, flickering(frames * 4))
    clean = np.mean([ideal(frame).mean() for frame in frames])
    assert np.mean([o.mean() for o in outputs[-20:]]) == pytest.approx(clean, abs=5)


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (300, 7), (20, 20)])
def test_any_size_is_stabilised(size):
    image = np.full((*size, 3), 90, np.uint8)
    stabiliser = Stabiliser()
    for _ in range(3):
        assert stabiliser(image, image).shape == image.shape


def test_a_change_of_size_begins_anew():
    stabiliser = Stabiliser()
    stabiliser(np.zeros((40, 40, 3), np.uint8), np.zeros((40, 40, 3), np.uint8))
    other = np.full((30, 50, 3), 7, np.uint8)
    assert np.array_equal(stabiliser(np.zeros((30, 50, 3), np.uint8), other), other)


def test_the_measure_knows_motion_from_flicker(scene):
    frames, _ = scene
    outputs = [ideal(frame) for frame in frames]
    assert warped_error(frames[3], frames[4], outputs[3], outputs[4]) < 0.01
    brighter = (outputs[4].astype(int) + 20).clip(0, 255).astype(np.uint8)
    error = warped_error(frames[3], frames[4], outputs[3], brighter)
    assert error == pytest.approx(20 / 255, abs=0.02)


def test_a_strength_out_of_range_is_one_sentence():
    with pytest.raises(ValueError, match="--stabilise is 2; expected a strength from 0 to 1"):
        Stabiliser(2)
