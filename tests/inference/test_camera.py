"""The camera: the newest picture, a window that can be left, and a recording with true times."""

import os
import threading
import time

import cv2
import numpy as np
import pytest
from clips import Identity, Invert, number_of, numbered, read_clip

from mmgen_ext.inference.camera import Newest, translate_camera

pytest.importorskip("av")


class FakeCamera:
    """Thirty pictures at 100 a second, then no more; each carries its number."""

    length, pause = 30, 0.01

    def __init__(self, index):
        self.index, self.count, self.released = index, 0, False

    def isOpened(self):
        return self.index == 0

    def read(self):
        time.sleep(self.pause)
        self.count += 1
        if self.index != 0 or self.count > self.length:
            return False, None
        return True, numbered(self.count)

    def release(self):
        self.released = True


class FakeWindow:
    """Stands for OpenCV's windows: keys to come, and whether the window is open."""

    def __init__(self, key_at=None, key=113, closed_at=None, error=None):
        self.shown, self.destroyed = [], 0
        self.key_at, self.key, self.closed_at, self.error = key_at, key, closed_at, error

    def imshow(self, title, image):
        if self.error:
            raise cv2.error(self.error)
        self.shown.append(image)

    def waitKey(self, delay):
        return self.key if len(self.shown) == self.key_at else -1

    def getWindowProperty(self, title, which):
        return 0.0 if self.closed_at and len(self.shown) >= self.closed_at else 1.0

    def destroyWindow(self, title):
        self.destroyed += 1


@pytest.fixture
def setting(monkeypatch):
    """Put a fake camera and a fake window into OpenCV's place."""

    def put(window=None, camera=FakeCamera):
        window = window or FakeWindow()
        cameras = []

        def open_camera(index):
            cameras.append(camera(index))
            return cameras[-1]

        monkeypatch.setenv("DISPLAY", ":99")
        monkeypatch.setattr(cv2, "VideoCapture", open_camera)
        for name in ("imshow", "waitKey", "getWindowProperty", "destroyWindow"):
            monkeypatch.setattr(cv2, name, getattr(window, name))
        return window, cameras

    return put


def test_pictures_are_shown_translated_with_their_rate(setting):
    window, cameras = setting()
    count = translate_camera(Invert())
    assert count == len(window.shown) > 5
    numbers = [number_of(255 - image) for image in window.shown[:1]]
    assert numbers == [numbers[0]] and numbers[0] > 0
    # The rate is drawn over the upper left corner of all but the first.
    plain = 255 - numbered(number_of(255 - window.shown[0]))
    assert np.array_equal(window.shown[0], plain)
    assert not np.array_equal(window.shown[-1][30:], window.shown[-1][:30])
    assert cameras[0].released and window.destroyed


@pytest.mark.parametrize("key", [ord("q"), ord("Q"), 27])
def test_q_and_escape_quit(setting, key):
    window, cameras = setting(FakeWindow(key_at=4, key=key))
    assert translate_camera(Identity()) == 4
    assert cameras[0].released and window.destroyed


def test_other_keys_do_not_quit(setting):
    setting(FakeWindow(key_at=2, key=ord("x")))
    assert translate_camera(Identity()) > 4


def test_closing_the_window_quits(setting):
    setting(FakeWindow(closed_at=3))
    assert translate_camera(Identity()) == 3


class Slow(Identity):
    def batch(self, images, to=None, size=None):
        time.sleep(0.06)
        return super().batch(images)


def test_a_slow_network_sees_the_newest_picture_only(setting, tmp_path):
    setting()
    count = translate_camera(Slow(), record=tmp_path / "out.mp4")
    numbers = [number_of(image) for _, image in read_clip(tmp_path / "out.mp4")]
    # 30 pictures come in 0.3 s, and the network takes one of about six.
    assert count == len(numbers) < 12
    assert np.diff(numbers).min() > 1
    assert numbers[-1] > 24


def test_the_recording_has_the_times_at_which_pictures_came(setting, tmp_path):
    class Uneven(FakeCamera):
        def read(self):
            if self.count == 15:
                time.sleep(0.4)
            return super().read()

    setting(camera=Uneven)
    begin = time.monotonic()
    count = translate_camera(Identity(), record=str(tmp_path / "über" / "out.mp4"))
    lasted = time.monotonic() - begin
    clip = read_clip(tmp_path / "über" / "out.mp4")
    times = np.array([t for t, _ in clip])
    assert count == len(clip) and times[0] == 0
    assert 0.4 < np.diff(times).max() < 0.6
    assert times[-1] < lasted
    # Without the rate that the window shows.
    assert all(number_of(image) for _, image in clip)


def test_compare_and_stabilise_work_live(setting):
    window, _ = setting(FakeWindow(key_at=3))
    translate_camera(Invert(), compare=True, stabilise=0.8)
    assert np.array_equal(window.shown[0][:, :40], numbered(number_of(window.shown[0]))[:, :40])


def test_an_interruption_keeps_the_recording(setting, tmp_path):
    class Interrupting(Identity):
        calls = 0

        def batch(self, images, to=None, size=None):
            self.calls += 1
            if self.calls > 5:
                raise KeyboardInterrupt
            return super().batch(images)

    _, cameras = setting()
    assert translate_camera(Interrupting(), record=tmp_path / "out.mp4") == 5
    assert len(read_clip(tmp_path / "out.mp4")) == 5
    assert cameras[0].released
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_an_error_keeps_the_recording(setting, tmp_path):
    class Failing(Identity):
        calls = 0

        def batch(self, images, to=None, size=None):
            self.calls += 1
            if self.calls > 5:
                raise RuntimeError("CUDA out of memory")
            return super().batch(images)

    setting()
    with pytest.raises(RuntimeError, match="out of memory"):
        translate_camera(Failing(), record=tmp_path / "out.mp4")
    assert len(read_clip(tmp_path / "out.mp4")) == 5


def test_a_camera_that_goes_silent_ends_it(setting, monkeypatch):
    block = threading.Event()

    class Silent(FakeCamera):
        def read(self):
            if self.count == 10:
                block.wait(2)
                return False, None
            return super().read()

    setting(camera=Silent)
    with Newest(0) as camera:
        while camera.take(timeout=0.2) is not None:
            pass
        block.set()


def test_no_camera_is_one_sentence(setting):
    setting()
    with pytest.raises(ValueError, match="camera 3 cannot be opened, or gives no picture"):
        translate_camera(Identity(), 3)


def test_a_camera_without_pictures_is_one_sentence(setting):
    class Dark(FakeCamera):
        length = 0

    setting(camera=Dark)
    with pytest.raises(ValueError, match="camera 0 cannot be opened, or gives no picture"):
        translate_camera(Identity())


@pytest.mark.skipif(not os.path.exists("/proc"), reason="only Linux ends the process")
def test_no_display_is_one_sentence(setting, monkeypatch):
    setting()
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(ValueError, match="there is no screen for it here"):
        translate_camera(Identity())


def test_opencv_without_windows_is_one_sentence(setting, tmp_path):
    setting(FakeWindow(error="The function is not implemented. Rebuild the library with GTK+"))
    with pytest.raises(ValueError, match=r"no screen for it here .*not implemented"):
        translate_camera(Identity())


def test_a_recording_that_cannot_be_written_is_one_sentence(setting, tmp_path):
    setting()
    with pytest.raises(ValueError, match=r"ends in '.xyz'; expected a video's"):
        translate_camera(Identity(), record=tmp_path / "out.xyz")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot write"):
        translate_camera(Identity(), record=tmp_path / "file" / "out.mp4")
