"""Reading and writing video files, good and bad ones."""

import struct
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from clips import beast, real, scenery

from reelward.motion.shots import Glance, Shot, agreed, find_shots, judge
from reelward.motion.video import (
    VideoError,
    encode_jpeg,
    encode_mp4,
    frames,
    probe,
    repeats,
    thumbnail,
)


def ramp(count=30, high=90, wide=160):
    """Pictures that grow brighter, thirty at a time, with a white corner at the upper left."""
    images = [np.full((high, wide, 3), 20 + 5 * (i % 30), np.uint8) for i in range(count)]
    for image in images:
        image[:30, :40] = 255
    return images


def film(path, images, fps=25.0):
    path.write_bytes(encode_mp4(images, fps, quality=10))
    return path


def test_what_was_written_is_read_again_frame_by_frame(tmp_path):
    images = ramp()
    got = list(frames(film(tmp_path / "a.mp4", images)))
    assert [f.index for f in got] == list(range(30))
    assert [f.time for f in got] == pytest.approx([i / 25 for i in range(30)], abs=1e-4)
    for f, image in zip(got, images, strict=True):
        assert np.abs(f.image[60:] - image[60:].astype(float)).mean() < 3
    info = probe(tmp_path / "a.mp4")
    assert (info.width, info.height) == (160, 90)
    assert info.fps == pytest.approx(25.0) and info.seconds == pytest.approx(1.2, abs=0.05)


def test_a_section_has_the_numbers_of_the_whole_file(tmp_path):
    got = list(frames(film(tmp_path / "a.mp4", ramp()), start=0.4, stop=0.6))
    assert [f.index for f in got] == [10, 11, 12, 13, 14]


def test_pictures_come_no_larger_than_asked_and_in_proportion(tmp_path):
    first = next(frames(film(tmp_path / "a.mp4", ramp()), side=80))
    assert first.image.shape == (45, 80, 3)


def test_equal_pictures_give_equal_bytes_and_odd_sizes_lose_a_row():
    images = ramp(high=91, wide=161)
    assert encode_mp4(images, 25.0) == encode_mp4(images, 25.0)
    with pytest.raises(VideoError, match="expected pictures"):
        encode_mp4([], 25.0)


def test_a_picture_survives_as_jpeg():
    image = scenery(96, 160)
    back = cv2.imdecode(np.frombuffer(encode_jpeg(image), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(back - image.astype(float)).mean() < 6


@pytest.mark.parametrize("degrees, corner", [(90, "right"), (180, "lower right"), (270, "left")])
def test_a_phone_held_upright_is_read_upright(tmp_path, degrees, corner):
    """The matrix in the track header says by how much players turn the picture, clockwise."""
    data = bytearray(encode_mp4(ramp(), 25.0, quality=10))
    at = data.index(b"tkhd") + 4 + 40
    c, s = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    data[at : at + 36] = struct.pack(
        ">9i", c << 16, s << 16, 0, -s << 16, c << 16, 0, 0, 0, 1 << 30
    )
    path = tmp_path / "a.mp4"
    path.write_bytes(bytes(data))
    image = next(frames(path)).image
    info = probe(path)
    assert image.shape[:2] == (info.height, info.width)
    assert image.shape[:2] == ((160, 90) if degrees % 180 else (90, 160))
    high, wide = image.shape[0] // 6, image.shape[1] // 6
    places = {
        "right": image[high, -wide], "left": image[-high, wide], "lower right": image[-high, -wide]
    }  # fmt: skip
    assert places[corner].mean() > 230
    assert image[high, wide].mean() < 60


@pytest.mark.parametrize("brightness", [1.0, 0.3, 0.1])
def test_repeated_frames_are_known_as_such(tmp_path, brightness):
    """Every picture twice, as in a film of 12 pictures a second, through real compression."""
    images = [(brightness * beast(i / 15)).astype(np.uint8) for i in range(15) for _ in range(2)]
    small = [thumbnail(f.image) for f in frames(film(tmp_path / "a.mp4", images))]
    again = [repeats(a, b) for a, b in zip(small, small[1:], strict=False)]
    assert again == [i % 2 == 0 for i in range(29)]


def test_movement_in_a_dark_film_is_no_repetition():
    """An edge that moves changes pixels by 12 of 50 grey levels, less than a bright film's noise may."""
    x = np.arange(96)
    small = [np.tile(50 / (1 + np.exp((x - 40 - i) / 1.0)), (54, 1)) for i in range(6)]
    pairs = list(zip(small, small[1:], strict=False))
    assert all(11 < np.abs(b - a).max() < 13 for a, b in pairs)
    assert not any(repeats(a, b) for a, b in pairs)
    assert all(repeats(a, a + 3) for a in small)


def test_bad_files_are_named_in_one_line(tmp_path):
    good = encode_mp4(ramp(120), 25.0)
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("<html>please sign in</html>\n" * 50)
    (tmp_path / "cut.mp4").write_bytes(good[: len(good) * 6 // 10])
    (tmp_path / "no_index.mp4").write_bytes(good[:400])
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n")
    with av.open(str(tmp_path / "sound.mp4"), "w") as box:
        stream = box.add_stream("aac", rate=44100)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 4410), np.float32), "fltp", "mono")
        sound.rate, sound.time_base, sound.pts = 44100, Fraction(1, 44100), 0
        box.mux(stream.encode(sound))
        box.mux(stream.encode())
    messages = {
        "missing.mp4": "got none",
        "empty.mp4": "empty",
        "text.mp4": "got something else",
        "cut.mp4": "cut off|damaged",
        "no_index.mp4": "got something else|cut off",
        "list.mp4": "expected a video|got none|damaged",
        "sound.mp4": "expected a video stream, got audio",
    }
    for name, words in messages.items():
        with pytest.raises(VideoError, match=words) as caught:
            list(frames(tmp_path / name))
        text = str(caught.value)
        assert name in text and "\n" not in text
        assert caught.value.code == 3


def test_cuts_need_two_detectors_within_three_frames():
    assert agreed([[10, 50], [12, 80], [90]]) == [11]
    assert agreed([[10], [14], []]) == []
    assert agreed([[30, 60], [31], [61]]) == [30, 60]
    assert agreed([[], [], []]) == []


def test_cuts_of_a_synthetic_film_are_found_to_the_frame(tmp_path):
    images = []
    for k, count in enumerate((40, 30, 50)):
        back = scenery(180, 320, seed=k) // (k + 1)
        images += [np.roll(back, i, axis=1) for i in range(count)]
    path = film(tmp_path / "a.mp4", images)
    got = find_shots(frames(path), 25.0)
    assert [(s.first, s.last) for s in got] == [(0, 40), (40, 70), (70, 120)]
    assert got[1].start == pytest.approx(1.6, abs=0.01)
    assert got[2].stop == pytest.approx(4.8, abs=0.05)


def test_cuts_of_a_real_film_are_found():
    path = real("four_shots.mp4")
    got = find_shots(frames(path, side=256), probe(path).fps)
    assert [s.first for s in got] == [0, 72, 162, 248] and got[-1].last == 320


def test_a_clear_view_of_one_body_ranks_first():
    shot = Shot(0, 100, 0.0, 4.0)
    clear = judge(0, shot, [Glance("person", 1, 0.6, True)] * 8)
    crowd = judge(1, shot, [Glance("person", 3, 0.6, True)] * 8)
    tiny = judge(2, shot, [Glance("person", 1, 0.05, True)] * 8)
    cut_off = judge(3, shot, [Glance("person", 1, 0.6, False)] * 8)
    rare = judge(4, shot, [Glance("person", 1, 0.6, True)] * 2 + [Glance("none")] * 6)
    empty = judge(5, shot, [Glance("none")] * 8)
    short = judge(6, Shot(0, 10, 0.0, 0.4), [Glance("person", 1, 0.6, True)] * 8)
    assert clear.score == 1.0
    assert all(0 < r.score < 0.8 for r in (crowd, tiny, rare))
    assert cut_off.score == empty.score == short.score == 0.0
