"""Videos: each frame at its time, sound in step, colours kept, a whole file whatever happens."""

import os
import signal
import struct
import subprocess
import sys
import textwrap
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import Identity, Invert, number_of, numbered, read_clip, read_sound, write_clip

import mmgen_ext
from mmgen_ext.inference.finish import split_screen
from mmgen_ext.inference.translator import Translator
from mmgen_ext.inference.video import VideoInterrupted, resample, translate_video
from mmgen_ext.inference.video_reader import Frame, VideoReader, probe
from mmgen_ext.inference.video_writer import VideoWriter

av = pytest.importorskip("av")


def tone(seconds, click=None):
    """Quiet noise, and a loud click of 10 ms."""
    sound = np.random.default_rng(0).normal(0, 0.003, round(seconds * 48000)).astype(np.float32)
    if click is not None:
        sound[round(click * 48000) :][:480] = 0.8
    return sound


def click_time(path):
    begin, sound = read_sound(path)
    return begin + int(np.argmax(np.abs(sound) > 0.4)) / 48000


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A folder with blanks and beyond ASCII."""
    return tmp_path_factory.mktemp("clips") / "vidéo 画"


@pytest.fixture(scope="module")
def plain(clips):
    """50 frames, 2 s, B-frames, sound with a click at 1 s."""
    clips.mkdir()
    images = [numbered(n) for n in range(50)]
    return write_clip(clips / "plain.mp4", images, audio=("aac", tone(2, 1.0)))


KINDS = {
    "h264.mp4": dict(tick=Fraction(1, 12800), step=512),
    "h264.ts": dict(tick=Fraction(1, 25), container="mpegts"),
    "mpeg4.mov": dict(codec="mpeg4"),
    "mjpeg.avi": dict(codec="mjpeg", pixels="yuvj420p"),
    "vp9.webm": dict(codec="libvpx-vp9"),
    "ten bits.mkv": dict(pixels="yuv420p10le"),
    "prores.mov": dict(codec="prores_ks", pixels="yuv422p10le"),
    "animated.gif": dict(codec="gif", pixels="rgb8", tick=Fraction(1, 20)),
    "odd.webm": dict(codec="libvpx-vp9", size=(97, 63)),
    "odd.gif": dict(codec="gif", pixels="rgb8", tick=Fraction(1, 20), size=(97, 63)),
    "ntsc.mkv": dict(tick=Fraction(1001, 30000)),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_frame_comes_out_at_its_time(name, tmp_path):
    kind = dict(KINDS[name])
    width, height = kind.pop("size", (96, 64))
    step = kind.pop("step", 1)
    images = [numbered(n, width, height) for n in range(30)]
    source = write_clip(tmp_path / name, images, [n * step for n in range(30)], **kind)
    report = translate_video(Identity(), source, tmp_path / "out.mp4", batch_size=4)
    before, after = read_clip(source), read_clip(report.target)
    assert [number_of(image) for _, image in after] == list(range(30))
    assert report.num_frames == len(before) == 30 and report.lost is None
    assert [t for t, _ in after] == pytest.approx([t for t, _ in before], abs=1e-4)
    tick = float(kind.get("tick", Fraction(1, 25)) * step)
    with av.open(str(report.target)) as clip:
        assert clip.duration / 1e6 == pytest.approx(30 * tick, abs=tick)
    assert report.seconds == pytest.approx(30 * tick, abs=0.002)
    # H.264 takes even sides: an odd one is repeated, and the picture is where it was.
    shape = (height + height % 2, width + width % 2)
    assert after[0][1].shape[:2] == shape
    assert np.abs(after[0][1][-1].astype(int) - after[0][1][-2]).mean() < 12 or "gif" in name
    # A GIF is full of dots in colours that H.264's halved colour planes cannot hold.
    allowed = 12 if name.endswith("gif") else 4
    assert np.abs(after[7][1][:height, :width].astype(int) - before[7][1]).mean() < allowed


def test_no_length_of_a_film_costs_its_last_frame(tmp_path):
    for count in (25, 26, *range(50, 55)):  # reordered frames around the ends of fragments
        path = tmp_path / f"{count}.mp4"
        with VideoWriter(path, 96, 64, Fraction(1, 25), Fraction(25), "libx264", 18) as writer:
            for n in range(count):
                writer.write(numbered(n), n, 1)
            writer.finish()
        after = read_clip(path)
        assert [number_of(image) for _, image in after] == list(range(count))
        with av.open(str(path)) as clip:
            assert clip.duration / 1e6 == pytest.approx(count / 25, abs=1e-3)


def test_times_of_a_variable_rate_are_kept_to_the_tick(tmp_path):
    times = [0, 400, 900, 901, 5000, 5100, 17777]
    images = [numbered(n) for n in range(7)]
    source = write_clip(tmp_path / "vfr.mp4", images, times, Fraction(1, 15360))
    report = translate_video(Identity(), source, tmp_path / "out.mov")
    with av.open(str(report.target)) as clip:
        stream = clip.streams.video[0]
        seconds = [f.pts * stream.time_base for f in clip.decode(stream)]
    assert seconds == [Fraction(t, 15360) for t in times]


def test_pictures_that_begin_after_the_sound_still_do(tmp_path):
    images = [numbered(n) for n in range(20)]
    sound = ("aac", tone(1.4, 1.0))
    source = write_clip(tmp_path / "late.mp4", images, range(10, 30), audio=sound)
    report = translate_video(Identity(), source, tmp_path / "out.mp4")
    with av.open(str(report.target)) as clip:
        assert next(clip.decode(video=0)).time == pytest.approx(0.4)
    assert click_time(report.target) == pytest.approx(1.0, abs=0.002)


def test_sound_is_copied_packet_by_packet(plain, tmp_path):
    report = translate_video(Invert(), plain, tmp_path / "out.mp4")

    def packets(path):
        with av.open(str(path)) as clip:
            return [(p.pts, bytes(p)) for p in clip.demux(audio=0) if p.size]

    assert packets(report.target) == packets(plain)


@pytest.mark.parametrize(
    ("source_codec", "suffix", "codec"),
    [("pcm_s16le", ".mp4", "aac"), ("aac", ".webm", "opus"), ("pcm_s16le", ".mkv", "pcm_s16le")],
)
def test_sound_that_a_container_cannot_hold_is_encoded_in_step(
    tmp_path, source_codec, suffix, codec
):
    images = [numbered(n) for n in range(25)]
    sound = (source_codec, tone(1, 0.6))
    source = write_clip(tmp_path / "in.mkv", images, audio=sound)
    report = translate_video(Identity(), source, tmp_path / f"out{suffix}")
    with av.open(str(report.target)) as clip:
        assert clip.streams.audio[0].codec_context.codec.canonical_name == codec
    assert click_time(report.target) == pytest.approx(0.6, abs=0.01)
    assert len(read_clip(report.target)) == 25
    report = translate_video(Identity(), source, tmp_path / f"cut{suffix}", start=0.2)
    assert click_time(report.target) == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize(("degrees", "flip"), [(0, True), (90, False), (180, False), (-90, True)])
def test_turned_videos_come_out_upright(tmp_path, degrees, flip):
    if not hasattr(av.VideoStream, "set_display_rotation"):
        pytest.skip("PyAV cannot write what is to be read")
    image = np.zeros((64, 96, 3), np.uint8)
    image[:32, :48] = 255  # White at the top left as coded.

    def turn(stream):
        stream.set_display_rotation(degrees, hflip=flip)

    source = write_clip(tmp_path / "in.mov", [image] * 5, setup=turn)
    report = translate_video(Identity(), source, tmp_path / "out.mp4")
    # Counterclockwise, then mirrored.
    upright = np.rot90(image, degrees // 90)
    upright = upright[:, ::-1] if flip else upright
    (_, got), info = read_clip(report.target)[2], probe(source)
    assert (info.height, info.width) == upright.shape[:2]
    assert np.abs(got.astype(int) - upright).mean() < 3
    with av.open(str(report.target)) as clip:
        assert next(clip.decode(video=0)).rotation == 0


COLOURS = {
    "bt709": (1, 1, "yuv420p"),
    "bt601": (6, 1, "yuv420p"),
    "bt2020 ten bits": (9, 1, "yuv420p10le"),
    "full range": (1, 2, "yuvj420p"),
    "untagged": (2, 0, "yuv420p"),
}


@pytest.mark.parametrize("name", COLOURS)
def test_colours_do_not_shift(tmp_path, photos, name):
    matrix, range_, pixels = COLOURS[name]
    if matrix == 9 and int(av.__version__.split(".")[0]) < 18:
        pytest.skip("PyAV 17 cannot write BT.2020")

    def tag(stream):
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = matrix
        context.color_range = range_
        stream.options = {"crf": "4"}

    photo = np.ascontiguousarray(photos["coffee"][100:260, 100:340, ::-1])
    source = write_clip(tmp_path / "in.mkv", [photo] * 4, pixels=pixels, setup=tag)
    report = translate_video(Identity(), source, tmp_path / "out.mp4", quality=4)
    with av.open(str(source)) as before, av.open(str(report.target)) as after:
        pairs = [(next(before.decode(video=0)), next(after.decode(video=0)))]
        contexts = [c.streams.video[0].codec_context for c in (before, after)]
        assert contexts[0].color_primaries == contexts[1].color_primaries
    for _, other in pairs:
        assert other.colorspace == matrix
        # As YUV of 8 bits and limited range, in which players compare.
        planes = [f.reformat(format="yuv420p", dst_color_range=1).to_ndarray() for f in pairs[0]]
        error = (planes[0].astype(float) - planes[1]) ** 2
        assert 10 * np.log10(255**2 / error.mean()) > 40
        assert abs((planes[0].astype(float) - planes[1]).mean()) < 0.5


def test_start_and_end_are_exact_and_sound_stays_in_step(tmp_path):
    # One keyframe in 50 frames: the cut lies far from it.
    images = [numbered(n) for n in range(50)]
    source = write_clip(tmp_path / "in.mp4", images, audio=("aac", tone(2, 1.0)))
    report = translate_video(Identity(), source, tmp_path / "out.mp4", start=0.6, end=1.2)
    clip = read_clip(report.target)
    assert [number_of(image) for _, image in clip] == list(range(15, 30))
    assert [t for t, _ in clip] == pytest.approx([n / 25 for n in range(15)], abs=1e-4)
    assert click_time(report.target) == pytest.approx(0.4, abs=0.003)
    with av.open(str(report.target)) as container:
        assert container.duration / 1e6 == pytest.approx(0.6, abs=0.04)
        packets = [p for p in container.demux(audio=0) if p.size]
        assert len(packets) == pytest.approx(0.6 * 48000 / 1024, abs=2)


def test_the_frame_on_show_at_the_start_is_the_first(tmp_path):
    images = [numbered(n) for n in range(4)]
    source = write_clip(tmp_path / "in.mp4", images, [0, 10, 50, 60], Fraction(1, 25))
    report = translate_video(Identity(), source, tmp_path / "out.mp4", start=1.0)
    clip = read_clip(report.target)
    assert [(round(t * 25), number_of(i)) for t, i in clip] == [(0, 1), (25, 2), (35, 3)]


def test_the_last_frame_is_shown_until_the_end_and_no_longer(tmp_path):
    images = [numbered(n) for n in range(4)]
    source = write_clip(tmp_path / "in.mp4", images, [0, 10, 50, 60], Fraction(1, 25))
    report = translate_video(Identity(), source, tmp_path / "out.mp4", end=1.8)
    assert report.num_frames == 2 and report.seconds == pytest.approx(1.8)
    with av.open(str(report.target)) as clip:
        assert clip.duration / 1e6 == pytest.approx(1.8, abs=0.001)


@pytest.mark.parametrize("name", ["in.ts", "in.webm", "in.avi", "in.gif"])
def test_start_is_exact_in_other_containers(tmp_path, name):
    codec = {".ts": "libx264", ".webm": "libvpx-vp9", ".avi": "mpeg4", ".gif": "gif"}
    kind = dict(pixels="rgb8") if name == "in.gif" else {}
    kind |= dict(container="mpegts") if name == "in.ts" else {}
    images = [numbered(n) for n in range(40)]
    suffix = Path(name).suffix
    tick = Fraction(1, 20)
    source = write_clip(tmp_path / name, images, tick=tick, codec=codec[suffix], **kind)
    report = translate_video(Identity(), source, tmp_path / "out.mp4", start=1.0, end=1.5)
    assert [number_of(image) for _, image in read_clip(report.target)] == list(range(20, 30))


@pytest.mark.parametrize("fps", [5, 12.5, 30, 50])
def test_fps_repeats_and_leaves_out_frames_in_time(plain, tmp_path, fps):
    report = translate_video(Identity(), plain, tmp_path / "out.mp4", fps=fps)
    clip = read_clip(report.target)
    assert len(clip) == report.num_frames == round(2 * fps)
    assert [t for t, _ in clip] == pytest.approx([n / fps for n in range(len(clip))], abs=1e-3)
    shown = np.array([number_of(image) / 25 for _, image in clip])
    assert np.abs(shown - np.arange(len(clip)) / fps).max() <= 0.5 / min(fps, 25) + 0.021
    assert click_time(report.target) == pytest.approx(1.0, abs=0.003)


def test_resampling_to_half_the_rate_takes_every_second_frame():
    image = np.zeros((1, 1, 3), np.uint8)
    frames = [Frame(image, n, 1) for n in range(8)]
    halves = list(resample(frames, Fraction(1, 30), Fraction(15)))
    assert [(f.pts, f.repeats) for f in halves] == [(0, 1), (1, 1), (2, 1), (3, 1)]


def test_metadata_and_pixel_aspect_are_carried(tmp_path):
    def wide(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)

    source = write_clip(tmp_path / "in.mp4", [numbered(n) for n in range(5)], setup=wide)
    with av.open(str(source)) as old, av.open(str(tmp_path / "titled.mp4"), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        new.metadata["title"] = "Möwen am Meer"
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    report = translate_video(Identity(), tmp_path / "titled.mp4", tmp_path / "out.mp4")
    with av.open(str(report.target)) as clip:
        assert clip.metadata["title"] == "Möwen am Meer"
        assert clip.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


def test_compare_shows_the_source_on_the_left(plain, tmp_path):
    report = translate_video(Invert(), plain, tmp_path / "out.mp4", compare=True)
    source, clip = read_clip(plain), read_clip(report.target)
    got, image = clip[10][1].astype(int), source[10][1].astype(int)
    assert got.shape == image.shape
    assert np.abs(got[:, :46] - image[:, :46]).mean() < 3
    assert np.abs(got[:, 50:] - (255 - image[:, 50:])).mean() < 3
    assert split_screen(np.zeros((4, 9, 3), np.uint8), np.full((4, 9, 3), 9, np.uint8))[
        0, :, 0
    ].tolist() == [0, 0, 0, 0, 255, 9, 9, 9, 9]


def test_a_trained_model_translates_a_video(trained, plain, tmp_path):
    translator = Translator(None, trained / "latest.pth", device="cpu")
    report = translate_video(
        translator, plain, tmp_path / "new" / "out.mp4", "a", 32, 5, stabilise=True
    )
    images = [image for _, image in VideoReader_images(plain)]
    expected = translator(images[0], "a", 32)
    got = read_clip(report.target)
    assert len(got) == 50
    assert np.abs(got[0][1].astype(int) - expected).mean() < 6


def VideoReader_images(path):
    with VideoReader(path) as reader:
        return [(frame.pts, frame.image) for frame in reader]


def test_a_gray_model_is_written_in_gray(plain, tmp_path):
    class Gray(Identity):
        def channels(self, to=None):
            return 1

        def batch(self, images, to=None, size=None):
            assert all(image.shape[2] == 1 for image in images)
            return [255 - image for image in images]

    report = translate_video(Gray(), plain, tmp_path / "out.mp4")
    image = read_clip(report.target)[3][1].astype(int)
    assert number_of(255 - image.astype(np.uint8)) == 3
    assert np.ptp(image, axis=2).max() < 6


def boxes(data):
    """Names of the boxes of an MP4 file."""
    names, at = [], 0
    while at < len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        size = struct.unpack(">Q", data[at + 8 : at + 16])[0] if size == 1 else size
        names.append(name.decode())
        at += size
    return names


def test_a_finished_file_is_a_plain_mp4_and_nothing_else_is_left(plain, tmp_path):
    report = translate_video(Identity(), plain, tmp_path / "out.mp4")
    names = boxes(report.target.read_bytes())
    assert "moov" in names and "moof" not in names
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_what_decodes_of_a_cut_off_file_is_written_and_the_rest_is_named(tmp_path):
    images = [
        np.random.default_rng(n).integers(0, 255, (64, 96, 3), dtype=np.uint8) for n in range(50)
    ]
    front = dict(movflags="faststart")
    source = write_clip(
        tmp_path / "in.mp4", images, audio=("aac", tone(2)), options=front,
    )  # fmt: skip
    data = source.read_bytes()
    source.write_bytes(data[: len(data) * 3 // 4])
    report = translate_video(Identity(), source, tmp_path / "out.mp4")
    assert 25 < report.num_frames < 45
    assert len(read_clip(report.target)) == report.num_frames
    missing = 2 - report.seconds
    assert f"the last {missing:.2f} s of 2.00 s are missing" in report.lost


def test_a_damaged_last_frame_costs_only_itself(tmp_path):
    images = [numbered(n) for n in range(30)]
    source = write_clip(tmp_path / "in.avi", images, codec="mjpeg", pixels="yuvj420p")
    with av.open(str(source)) as clip:
        last = [bytes(p) for p in clip.demux(video=0) if p.size][-1]
    source.write_bytes(source.read_bytes().replace(last, bytes(len(last))))
    report = translate_video(Identity(), source, tmp_path / "out.mp4")
    assert report.num_frames == 29
    assert report.lost == "1 damaged packet could not be decoded"


class Interrupting(Identity):
    """Ctrl-C in the middle of the eleventh frame."""

    calls = 0

    def batch(self, images, to=None, size=None):
        self.calls += 1
        if self.calls > 10:
            raise KeyboardInterrupt
        return super().batch(images)


def test_an_interruption_leaves_a_whole_file(plain, tmp_path):
    with pytest.raises(VideoInterrupted, match=r"10 frames \(0.40 s\) are in") as caught:
        translate_video(Interrupting(), plain, tmp_path / "out.mp4")
    report = caught.value.report
    assert report.interrupted and report.num_frames == 10
    assert [number_of(image) for _, image in read_clip(report.target)] == list(range(10))
    begin, sound = read_sound(report.target)
    assert begin + len(sound) / 48000 == pytest.approx(0.4, abs=0.05)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


CHILD = """
import sys, time
sys.path[:0] = [{root!r}, {tests!r}]
import mmgen_ext
from clips import Identity
from mmgen_ext.inference.video import translate_video

class Slow(Identity):
    def batch(self, images, to=None, size=None):
        time.sleep(0.05)
        print("frame", flush=True)
        return super().batch(images)

try:
    translate_video(Slow(), sys.argv[1], sys.argv[2])
except KeyboardInterrupt as stop:
    print(stop, flush=True)
    sys.exit(130)
"""


def start_child(source, target, frames):
    """A process that translates slowly, after so many frames."""
    root = Path(mmgen_ext.__file__).parents[1]
    code = textwrap.dedent(CHILD).format(root=str(root), tests=str(Path(__file__).parent))
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(source), str(target)],
        stdout=subprocess.PIPE,
        text=True,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )
    for _ in range(frames):
        assert child.stdout.readline() == "frame\n"
    return child


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals between processes")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_with_a_file_that_plays(plain, tmp_path, number):
    child = start_child(plain, tmp_path / "out.mp4", 12)
    child.send_signal(number)
    time.sleep(0.02)
    child.send_signal(signal.SIGINT)  # The impatient do not break what is being completed.
    out, _ = child.communicate(timeout=60)
    # Minus SIGINT if the second came after all was done.
    assert child.returncode in (130, -signal.SIGINT)
    assert " frames (" in out or child.returncode != 130
    clip = read_clip(tmp_path / "out.mp4")
    assert [number_of(image) for _, image in clip] == list(range(len(clip)))
    assert 11 <= len(clip) <= 14
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_even_a_killed_process_leaves_something_that_plays(tmp_path):
    # An encoder without look-ahead, and keyframes each second: that is all that may be lost.
    images = [numbered(n) for n in range(100)]
    source = write_clip(tmp_path / "in.mp4", images, tick=Fraction(1, 10))
    (tmp_path / "out").mkdir()
    child = start_child(source, tmp_path / "out" / "out.mp4", 90)
    child.kill()
    child.wait()
    child.stdout.close()
    (rest,) = (tmp_path / "out").iterdir()
    assert rest.name.endswith(".part")
    clip = read_clip(rest)
    assert [number_of(image) for _, image in clip] == list(range(len(clip)))
    assert len(clip) > 10


def test_an_error_of_the_network_leaves_nothing(plain, tmp_path):
    class Failing(Identity):
        def batch(self, images, to=None, size=None):
            raise RuntimeError("CUDA out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        translate_video(Failing(), plain, tmp_path / "out.mp4")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs resource limits")
def test_a_full_disk_is_one_sentence(plain, tmp_path):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, before[1]))
    try:
        with pytest.raises(OSError, match=r"cannot write .*out\.mp4: file too large"):
            translate_video(Identity(), plain, tmp_path / "out.mp4", quality=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def odd_files(clips, plain):
    """Files that are no videos, by name."""
    (clips / "empty.mp4").write_bytes(b"")
    (clips / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(20000))
    (clips / "text.mp4").write_text("This is no video. " * 50)
    write_clip(clips / "headless.mp4", [numbered(1)] * 5)
    data = (clips / "headless.mp4").read_bytes()
    (clips / "headless.mp4").write_bytes(data[: data.index(b"moov") - 4])
    with av.open(str(clips / "sound.m4a"), "w", format="ipod") as out:
        stream = out.add_stream("aac", rate=48000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(tone(1)[None], "fltp", "mono")
        frame.sample_rate = 48000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return clips


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.mp4", "no video .*missing"),
        ("empty.mp4", r"is empty \(0 bytes\)"),
        ("noise.mp4", "is no video, or is damaged"),
        ("text.mp4", "is no video"),
        ("headless.mp4", "lacks the index at its end"),
        ("sound.m4a", "holds sound but no pictures"),
        (".", "is a folder; expected a video"),
    ],
)
def test_what_is_no_video_is_one_sentence(odd_files, tmp_path, name, words):
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        translate_video(Identity(), odd_files / name, tmp_path / "out.mp4")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(start=2.0), r"--start 2 lies beyond the end of .*plain.mp4, which lasts 2.00 s"),
        (dict(start=1.0, end=1.0), "--end 1 is not after --start 1"),
        (dict(start=-1.0), "--start is -1; expected seconds"),
        (dict(fps=0.0), "--fps is 0; expected"),
        (dict(stabilise=1.5), "--stabilise is 1.5; expected"),
        (dict(codec="libnothing"), "no encoder 'libnothing' here; there are libx264"),
        (dict(codec="aac"), "no encoder 'aac' here"),
        (dict(target="out.xyz"), r"ends in '.xyz'; expected a video's \(.mp4"),
        (dict(target="out.webm", codec="libx264"), ".webm cannot hold what libx264 encodes"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(plain, tmp_path, options, words):
    target = tmp_path / options.pop("target", "out.mp4")
    with pytest.raises(ValueError, match=words):
        translate_video(Identity(), plain, target, **options)
    assert not list(tmp_path.iterdir())


def test_the_input_is_never_written_over(plain):
    with pytest.raises(ValueError, match="is the input itself"):
        translate_video(Identity(), plain, plain)


def test_a_target_that_cannot_be_written_is_one_sentence(plain, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write .*out\.mp4"):
        translate_video(Identity(), plain, tmp_path / "file" / "out.mp4")


def test_missing_pyav_names_the_extra(plain, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ValueError, match=r'pip install -e "\.\[video\]"'):
        translate_video(Identity(), plain, tmp_path / "out.mp4")


def test_probe_tells_what_a_file_is(plain):
    info = probe(plain)
    assert (info.width, info.height, info.num_frames, info.rate) == (96, 64, 50, 25)
    assert info.duration == pytest.approx(2.0) and info.has_audio and info.codec == "h264"


def test_whoever_watches_is_told_of_each_frame_and_can_end_it(plain, tmp_path):
    told = []
    whole = translate_video(
        Identity(), plain, tmp_path / "out.mp4", watch=lambda *told_now: told.append(told_now)
    )
    count = whole.num_frames
    assert told == [(n, count) for n in range(count + 1)]

    class Enough(Exception):
        pass

    def stop(done, total):
        if done == 2:
            raise Enough

    with pytest.raises(Enough):
        translate_video(Identity(), plain, tmp_path / "cut.mp4", watch=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
