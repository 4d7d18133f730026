"""Films in every form: size, figure and times are read as a player shows them."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from player import (
    COUNT,
    FPS,
    HIGH,
    RATIO,
    SPEED,
    WIDE,
    figure,
    film,
    interlaced,
    seen,
    with_clean_aperture,
    with_pixel_crop,
    with_sound,
    woven,
    write,
)

from reelward.motion.video import VideoError, frames, probe
from reelward.runtime import files
from stages import fetch

SECOND = [i / FPS for i in range(COUNT)]


def is_plain(path, times=SECOND, begin=0.3, abs_time=0.001):
    """The film looks like the plain one."""
    got, info = seen(path), probe(path)
    assert got.size == (info.width, info.height)
    assert got.ratio == pytest.approx(RATIO, rel=0.03)
    assert got.speed == pytest.approx(SPEED, rel=0.02)
    assert got.begin == pytest.approx(begin, abs=0.01)
    assert got.times == pytest.approx(times, abs=abs_time)
    return got


@pytest.mark.parametrize("name, codec, pixels", [
    ("a.mp4", "libx264", "yuv420p"), ("a.mp4", "libx265", "yuv420p10le"), ("a.mp4", "libsvtav1", "yuv420p"),
    ("a.mov", "prores_ks", "yuv422p10le"), ("a.mov", "mjpeg", "yuvj420p"), ("a.avi", "mpeg4", "yuv420p"),
    ("a.avi", "rawvideo", "rgb24"), ("a.mkv", "ffv1", "yuv444p"), ("a.webm", "libvpx-vp9", "yuv420p"),
    ("a.webm", "libvpx", "yuv420p"), ("a.ts", "libx264", "yuv420p"), ("a.flv", "flv", "yuv420p"),
    ("a.mpg", "mpeg1video", "yuv420p"), ("a.m4v", "mpeg4", "yuv420p"), ("a.apng", "apng", "rgb24"),
])  # fmt: skip
def test_a_container_and_a_codec_change_nothing(tmp_path, name, codec, pixels):
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    is_plain(write(tmp_path / name, film(), codec, pixels, options=quiet))


def test_a_gif_and_a_wrong_extension_are_read_by_their_contents(tmp_path):
    gif = write(tmp_path / "a.gif", film(), "gif", "rgb8")
    is_plain(gif, times=[round(t * 100) / 100 for t in SECOND], abs_time=0.011)
    plain = write(tmp_path / "a.mp4", film())
    is_plain(plain.rename(tmp_path / "a.txt"))


@pytest.mark.parametrize("name, codec", [
    ("a.mp4", "libx264"), ("a.mov", "mpeg4"), ("a.mkv", "libx264"), ("a.ts", "libx264"), ("a.avi", "mpeg4")
])  # fmt: skip
@pytest.mark.parametrize(
    "wide, high, aspect", [(144, 128, "4:3"), (192, 96, "3:4"), (384, 128, "1:2")]
)
def test_pixels_that_are_not_square(tmp_path, name, codec, wide, high, aspect):
    shape = Fraction(*map(int, aspect.split(":")))
    path = write(tmp_path / name, film(wide, high), codec, sample_aspect_ratio=shape)
    got = is_plain(path)
    assert got.size[0] / got.size[1] == pytest.approx(WIDE / HIGH, rel=0.01)


def test_an_impossible_shape_of_the_pixels_is_left_out(tmp_path):
    is_plain(write(tmp_path / "a.mp4", film(), sample_aspect_ratio=Fraction(1000)))


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("aspect", [Fraction(1), Fraction(4, 3)])
def test_a_turned_and_a_mirrored_film(tmp_path, degrees, mirrored, aspect):
    image = np.full((72, 120, 3), 90, np.uint8)
    image[:36, :60], image[36:, :60] = (200, 40, 40), (40, 40, 200)
    path = write(
        tmp_path / "a.mp4", [image] * 3, turn=(degrees, mirrored), sample_aspect_ratio=aspect
    )
    wide = cv2.resize(image, (round(120 * aspect), 72), interpolation=cv2.INTER_NEAREST)
    expected = np.rot90(wide, degrees // 90)
    expected = expected[:, ::-1] if mirrored else expected
    got, info = next(frames(path)).image, probe(path)
    assert got.shape == expected.shape and got.shape[:2] == (info.height, info.width)
    assert np.abs(got - expected.astype(float)).mean() < 5


def test_the_margins_that_a_container_declares_are_cut(tmp_path):
    """Rubbish around the picture, more of it at the left and at the top."""
    images = [np.pad(i, ((24, 8), (40, 8), (0, 0)), constant_values=9) for i in film()]
    aperture = write(tmp_path / "a.mp4", images)
    is_plain(with_clean_aperture(aperture, WIDE, HIGH, right=16, down=8))
    crop = write(tmp_path / "a.mkv", images, container={"live": "1"})
    assert is_plain(with_pixel_crop(crop, 40, 24, 8, 8)).size == (WIDE, HIGH)


@pytest.mark.parametrize("wide, high", [(-5, HIGH), (WIDE, 0), (10**6, 10**6)])
def test_impossible_margins_are_left_out(tmp_path, wide, high):
    path = with_clean_aperture(write(tmp_path / "a.mp4", film()), wide, high)
    assert is_plain(path).size == (WIDE, HIGH)


def test_odd_sizes_and_coded_sizes_beyond_the_picture(tmp_path):
    """A picture of 191 x 127 is stored in whole blocks of 16 x 16, and cut by the codec's own margins."""
    for name, codec, pixels in (
        ("a.webm", "libvpx-vp9", "yuv420p"),
        ("a.mp4", "libx264", "yuv444p"),
    ):
        path = write(tmp_path / name, film(191, 127), codec, pixels)
        assert is_plain(path).size == (191, 127)


@pytest.mark.parametrize("space", [Colorspace.ITU601, Colorspace.ITU709])
@pytest.mark.parametrize("extent", [ColorRange.MPEG, ColorRange.JPEG])
def test_colours_are_those_that_the_matrix_and_range_mean(tmp_path, space, extent):
    image = np.full((64, 64, 3), (200, 40, 60), np.uint8)
    path = write(
        tmp_path / "a.mp4", [image] * 3, options={"crf": "1"},
        change=lambda f: f.reformat(format="yuv420p", dst_colorspace=space, dst_color_range=extent),
        colorspace={Colorspace.ITU601: 6, Colorspace.ITU709: 1}[space], color_range=extent.value,
    )  # fmt: skip
    assert next(frames(path)).image[32, 32] == pytest.approx([200, 40, 60], abs=4)


@pytest.mark.parametrize("transfer, white", [(16, 0.5807), (18, 0.75)])
def test_a_film_of_high_dynamic_range_keeps_the_order_of_its_brightness(tmp_path, transfer, white):
    """PQ and HLG: a ramp rises all the way. Paper white, 203 candela by each of them, is one light grey."""
    levels = np.linspace(0, 0.9 * 65535, 128).astype(np.uint16)
    image = np.tile(levels[None, :, None], (64, 1, 3))
    path = write(
        tmp_path / "a.mp4", [image] * 3, "libx265", "yuv420p10le", form="rgb48le",
        options={"x265-params": "log-level=none", "crf": "4"},
        change=lambda f: f.reformat(format="yuv420p10le", dst_colorspace=Colorspace.BT2020, dst_color_range=1),
        colorspace=9, color_range=1, color_trc=transfer, color_primaries=9,
    )  # fmt: skip
    row = next(frames(path)).image[32].mean(axis=1)
    assert np.diff(row[::8]).min() >= 0 and row[0] < 3 and row[-1] > 230
    assert row[round(127 * white / 0.9)] == pytest.approx(190, abs=6)


def test_grey_films_and_transparent_ones_on_white(tmp_path):
    grey = [image[..., 0] for image in film()]
    is_plain(write(tmp_path / "a.mkv", grey, "ffv1", "gray", form="gray"))
    clear = [np.dstack([np.full_like(i, 40), np.where(i[..., 0] < 125, 255, 0)]) for i in film()]
    clear = [image.astype(np.uint8) for image in clear]
    is_plain(write(tmp_path / "a.mov", clear, "qtrle", "argb", form="rgba"))
    image = next(frames(tmp_path / "a.mov")).image
    assert image[0, 0] == pytest.approx([255] * 3) and image[64, 58] == pytest.approx([40] * 3)


@pytest.mark.parametrize("name, codec, options", [
    ("a.mp4", "libx264", {"x264-params": "tff=1"}), ("a.ts", "libx264", {"x264-params": "tff=1"}),
    ("a.mpg", "mpeg2video", {"flags": "+ildct+ilme", "q": "2", "b": "4M"}),
])  # fmt: skip
def test_both_fields_of_an_interlaced_film_count(tmp_path, name, codec, options):
    path = write(
        tmp_path / name,
        woven(),
        codec,
        options=options,
        change=lambda f: interlaced(f.reformat(format="yuv420p")),
    )
    is_plain(path, times=[i / FPS / 2 for i in range(2 * COUNT)])
    assert probe(path).fps == 2 * FPS


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_a_variable_rate(tmp_path, name):
    """The rate of the film is that of its close pictures, so that none is lost."""
    stamps = [20 * i if i < 20 else 400 + 100 * (i - 20) for i in range(26)]
    path = write(tmp_path / name, [figure(t / 1000) for t in stamps], stamps=stamps)
    is_plain(path, times=[t / 1000 for t in stamps])
    assert probe(path).fps == pytest.approx(50, rel=0.02)


@pytest.mark.parametrize(
    "name, codec", [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.ts", "libx264")]
)
@pytest.mark.parametrize("late", [3000, 120_000])
def test_a_film_that_begins_late_begins_at_zero(tmp_path, name, codec, late):
    is_plain(write(tmp_path / name, film(), codec, stamps=[late + round(1000 * t) for t in SECOND]))


def test_an_edit_list_cuts_the_head(tmp_path):
    """What lies before time 0 is stored, but not shown."""
    path = write(tmp_path / "a.mp4", film(), stamps=[round(1000 * (t - 0.375)) for t in SECOND])
    is_plain(path, times=SECOND[:15], begin=0.3 + SPEED * 0.375)


def test_times_that_are_missing_or_set_anew_go_on(tmp_path):
    raw = write(tmp_path / "a.h264", film())
    got = seen(raw)
    assert np.diff(got.times) == pytest.approx(1 / 25, abs=0.001) and len(got.times) == COUNT
    halves = [
        write(tmp_path / f"{k}.ts", film()[12 * k : 12 * k + 12], stamps=[s + 40 * i for i in range(12)])
        for k, s in enumerate((90_000, 10_000))
    ]  # fmt: skip
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(p.read_bytes() for p in halves))
    assert np.diff(seen(joined).times) == pytest.approx(0.04, abs=0.003)


def test_pictures_with_one_time_are_shown_at_it(tmp_path):
    stamps = [40 * (i // 2 * 2) + i % 2 for i in range(COUNT)]
    path = write(tmp_path / "a.mkv", film(), stamps=stamps)
    assert seen(path).times == pytest.approx([s / 1000 for s in stamps], abs=0.001)


@pytest.mark.parametrize("name, sound, cover", [
    *((name, sound, False) for name in ("a.mp4", "a.mov", "a.mkv", "a.ts") for sound in (1.0, 3.0)),
    ("a.mp4", 1.0, True), ("a.mov", 1.0, True), ("a.mkv", 1.0, True),
])  # fmt: skip
def test_other_streams_before_the_film_and_longer_than_it(tmp_path, name, sound, cover):
    is_plain(with_sound(tmp_path / name, sound=sound, cover=cover))


@pytest.mark.parametrize("name", ["a.mov", "a.mkv"])
def test_a_film_that_begins_after_its_sound_keeps_its_place_in_time(tmp_path, name):
    path = with_sound(tmp_path / name, sound=3.0, late=1.5)
    is_plain(path, times=[1.5 + t for t in SECOND])
    assert probe(path).seconds >= 2.45


def test_what_is_no_film_is_named(tmp_path):
    song = with_sound(tmp_path / "song.mp4", sound=1.0, cover=True, picture=False)
    with pytest.raises(VideoError, match="expected a video stream, got audio and a still picture"):
        probe(song)
    one = write(tmp_path / "one.mp4", film(count=1))
    assert len(list(frames(one))) == 1


def test_a_broadcast_that_begins_between_two_key_frames(tmp_path):
    """The pictures before the first key frame cannot be decoded; the others count."""
    data = write(
        tmp_path / "a.ts", film() * 3, options={"g": "24", "x264-params": "scenecut=0"}
    ).read_bytes()
    packets = len(data) // 188
    path = tmp_path / "b.ts"
    path.write_bytes(data[packets // 6 * 188 :])
    pictures = list(frames(path))
    assert 40 <= len(pictures) < 72


def test_a_fetched_film_is_cut_as_it_is_shown(tmp_path):
    """Interlaced, with pixels that are not square, in a container that only estimates its length: all of
    it is decoded in the jail, and the crop means the picture that a player shows."""
    source = write(
        tmp_path / "a.mpg", woven(144), "mpeg2video", sample_aspect_ratio=Fraction(32, 27),
        options={"flags": "+ildct+ilme", "q": "2", "b": "4M"},
        change=lambda f: interlaced(f.reformat(format="yuv420p")),
    )  # fmt: skip
    assert probe(source).seconds < 0.9
    out = tmp_path / "video.mp4"
    fetch.main(
        fetch.Args(
            out, tmp_path / "provenance.json", str(source), files.digest(source), 0.0, None,
            (0.0, 0.25, 1.0, 0.5), None, 1,
        )
    )  # fmt: skip
    got = seen(out)
    assert got.size == (170, 64) and len(got.times) == 2 * COUNT
    assert got.ratio == pytest.approx((170 / WIDE) * RATIO, rel=0.04)
    assert got.speed == pytest.approx(SPEED, rel=0.02)
    section = files.read_json(tmp_path / "provenance.json")["video"]["section_s"]
    assert section == [0.0, pytest.approx(1.0, abs=0.03)]
