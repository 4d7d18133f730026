"""The stages fetch and pose: what they write of each kind of source."""

import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from film_server import FRAMES

from reelward.motion import untrusted, video
from reelward.runtime import files, jail
from reelward.runtime.errors import InputError, NetworkError, StageError
from reelward.runtime.explain import explain
from stages import fetch

ROOT = Path(__file__).parents[1]


def arguments(folder: Path, source: str, **changes: Any) -> fetch.Args:
    whole: dict[str, Any] = {
        "out": folder / "data/video.mp4",
        "provenance": folder / "data/provenance.json",
        "source": source,
        "sha256": None,
        "start": 0.0,
        "end": None,
        "crop": None,
        "licence": None,
        "max_mb": 1,
    }
    return fetch.Args(**(whole | changes))


# --- the video


class Recording:
    """What a browser records: written in one go, its length never filled in."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("wb")

    def write(self, data: bytes) -> int:
        return self.file.write(data)


@pytest.fixture
def recorded(tmp_path):
    """A film of 2 s that declares no length."""
    source = tmp_path / "recorded.webm"
    recording = Recording(source)
    with av.open(recording, "w", format="webm") as box:
        stream = box.add_stream("libvpx", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for k in range(20):
            image = np.full((48, 64, 3), 10 * k, np.uint8)
            box.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        box.mux(stream.encode())
    recording.file.close()
    return source


@pytest.mark.parametrize(("end", "frames"), [(None, 15), (1.0, 5)])
def test_a_recording_that_declares_no_length(recorded, tmp_path, end, frames):
    source = recorded
    assert video.probe(source).seconds == 0.0
    args = arguments(tmp_path, str(source), sha256=files.digest(source), start=0.5, end=end)
    fetch.main(args)
    assert len(list(video.frames(args.out))) == frames
    assert files.read_json(args.provenance)["video"]["section_s"] == [0.5, 0.5 + frames / 10]
    late = arguments(tmp_path, str(source), sha256=files.digest(source), start=9.0)
    with pytest.raises(InputError, match="start: expected less than the video's length"):
        fetch.main(late)


def test_a_section_has_exactly_its_frames_and_the_crop_its_pixels(clip, tmp_path):
    args = arguments(tmp_path, str(clip), sha256=files.digest(clip), licence="CC0-1.0")
    fetch.main(fetch.Args(**(vars(args) | {"start": 0.5, "end": 1.0, "crop": (0, 0.25, 0.5, 0.5)})))
    got = list(video.frames(args.out))
    assert len(got) == 15 and got[0].image.shape == (48, 64, 3)
    for k, frame in enumerate(got):
        assert abs(frame.image.mean() - 4 * (15 + k)) < 3
    about = files.read_json(args.provenance)["video"]
    assert about == {
        "source": "clip.mp4",
        "title": None,
        "author": None,
        "licence": "CC0-1.0",
        "source_sha256": files.digest(clip),
        "sha256": files.digest(args.out),
        "section_s": [0.5, 1.0],
        "crop_px": [0, 24, 64, 48],
        "frames": 15,
        "seconds": 0.5,
        "width": 64,
        "height": 48,
        "fps": 30.0,
    }
    assert str(tmp_path) not in args.provenance.read_text()


def test_the_whole_of_a_link_and_the_same_bytes_each_time(server, clip, tmp_path):
    written = set()
    for name in ("a", "b", "c"):
        args = arguments(tmp_path / name, f"{server}/moved")
        fetch.main(args, private=True)
        written.add(args.out.read_bytes())
    assert len(written) == 1
    assert len(list(video.frames(args.out))) == FRAMES
    assert files.read_json(args.provenance)["video"]["source_sha256"] == files.digest(clip)


def test_a_query_may_hold_a_signature_and_is_not_kept(server, tmp_path):
    args = arguments(tmp_path, f"{server}/clip.mp4?signature=secret")
    fetch.main(args, private=True)
    assert files.read_json(args.provenance)["video"]["source"] == f"{server}/clip.mp4"


def test_pictures_shown_longer_are_repeated_and_shown_shorter_left_out():
    def frame(k: int, time: float) -> video.Frame:
        return video.Frame(k, time, np.full((1, 1, 3), k, np.uint8))

    times = [5.0, 5.1, 5.4, 5.42, 5.5]
    got = fetch.steady((frame(k, t) for k, t in enumerate(times)), 10.0)
    assert [int(i[0, 0, 0]) for i in got] == [0, 1, 1, 1, 3, 4]


@pytest.mark.parametrize(
    "crop, pixels",
    [
        (None, (0, 0, 1768, 994)),
        ((0.0, 0.42, 0.87, 0.58), (0, 417, 1538, 577)),
        ((100, 50, 640, 480), (100, 50, 640, 480)),
    ],
)
def test_a_crop_is_fractions_or_pixels(crop, pixels):
    assert fetch.box(crop, 1768, 994) == pixels


@pytest.mark.parametrize("crop", [(0.5, 0, 0.6, 1), (0, 0, 2000, 100), (-0.1, 0, 0.5, 1), (0,) * 4])
def test_a_crop_outside_the_frame_is_refused(crop):
    with pytest.raises(InputError, match="crop: expected . and .* within the frame's"):
        fetch.box(crop, 1768, 994)


@pytest.mark.parametrize(
    "start, end, words",
    [
        (9.0, None, "start: expected below 2.00 s, the video's length, got 9"),
        (2.5, 3.0, "start: expected below 2.00 s, the video's length, got 2.5"),
        (0.0, 9.0, "end: expected at most 2.00 s, the video's length, got 9"),
        (1.0, 0.5, "end: expected above start, which is 1 s, got 0.5"),
        (1.0, 1.0, "end: expected above start, which is 1 s, got 1"),
    ],
)
def test_a_section_outside_the_video_is_refused(clip, tmp_path, start, end, words):
    args = arguments(tmp_path, str(clip), sha256=files.digest(clip), start=start, end=end)
    with pytest.raises(InputError) as error:
        fetch.main(args)
    assert str(error.value) == words


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """A film of 700 s: the grey level of a picture is a third of its time in seconds."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    images = (np.full((48, 64, 3), k // 3, np.uint8) for k in range(700))
    path.write_bytes(video.encode_mp4(images, 1.0, 10))
    return path


@pytest.mark.parametrize("start, end", [(30.0, 35.0), (650.0, 655.0), (660.0, None)])
def test_a_section_of_a_long_video_is_used(long, tmp_path, start, end):
    args = arguments(tmp_path, str(long), sha256=files.digest(long), start=start, end=end)
    fetch.main(args)
    images = [frame.image for frame in video.frames(args.out)]
    assert len(images) == (end or 700) - start
    assert images[0].mean() == pytest.approx(start // 3, abs=2)


@pytest.mark.parametrize("end, words", [
    (None, "end: expected at most 600 s after start, got null, which is 700"),
    (690.0, "end: expected at most 600 s after start, got 690"),
])  # fmt: skip
def test_a_section_that_is_too_long_is_refused(long, tmp_path, end, words):
    args = arguments(tmp_path, str(long), sha256=files.digest(long), end=end)
    with pytest.raises(InputError) as error:
        fetch.main(args)
    assert str(error.value) == words


def test_a_long_recording_is_not_cut_in_silence(recorded, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "MAX_SECONDS", 1.0)
    with pytest.raises(InputError, match="and the video is longer; set it"):
        fetch.main(arguments(tmp_path, str(recorded), sha256=files.digest(recorded)))


def test_the_stage_refuses_loopback(server, tmp_path):
    with pytest.raises(NetworkError, match="127.0.0.1, which is not a public one"):
        fetch.main(arguments(tmp_path, f"{server}/clip.mp4"))


# --- a decoder is not trusted with foreign bytes


def test_the_source_is_opened_in_the_jail_alone_and_gives_the_same_frames(
    clip, tmp_path, monkeypatch
):
    assert untrusted.probe(clip) == video.probe(clip)
    opened = list(video.frames(clip, start=0.5, stop=1.0, side=100))
    for here, there in zip(
        opened, untrusted.frames(clip, start=0.5, stop=1.0, side=100), strict=True
    ):
        assert (here.index, here.time) == (there.index, there.time)
        assert np.array_equal(here.image, there.image)
    real, seen = video.av.open, []

    def watched(path, *given, **options):
        seen.append((Path(path).name, *given))
        return real(path, *given, **options)

    monkeypatch.setattr(video.av, "open", watched)
    fetch.main(arguments(tmp_path, str(clip), sha256=files.digest(clip)))
    assert ("film.mp4", "w") in seen and not any(name == "source" for name, *_ in seen)


def test_what_a_hijacked_decoder_says_is_not_believed(clip, monkeypatch):
    def says(*chunks: bytes) -> None:
        monkeypatch.setattr(untrusted, "streamed", lambda *_, **__: iter(chunks))

    def decoded() -> list[video.Frame]:
        return list(untrusted.frames(clip, start=0.0, stop=1.0, side=8))

    pixels = bytes(8 * 8 * 3)
    says(untrusted.HEAD.pack(0, 0.0, 8, 8) + pixels)
    assert decoded()[0].image.shape == (8, 8, 3)
    for time_, height, length in ((1e300, 8, 192), (math.nan, 8, 192), (0.0, 9, 216), (0.0, 8, 7)):
        says(untrusted.HEAD.pack(0, time_, height, 8) + bytes(length))
        with pytest.raises(video.VideoError, match="decoder"):
            decoded()
    good = {"width": 8, "height": 8, "fps": 25.0, "seconds": 1.0}
    for wrong in (
        {"width": 1e9},
        {"width": math.inf},
        {"fps": math.nan},
        {"seconds": -1.0},
        {"seconds": math.inf},
        {"height": "x"},
    ):
        monkeypatch.setattr(untrusted, "jailed", lambda *_, w=wrong, **__: good | w)
        with pytest.raises(video.VideoError, match="makes no sense"):
            untrusted.probe(clip)


def test_a_decoder_that_crashes_is_a_bad_video_and_a_missing_layer_is_told(clip, monkeypatch):
    killed = jail.JailError("reelward.motion.untrusted:decoded died of SIGSEGV")
    monkeypatch.setattr(untrusted, "jailed", lambda *_, **__: (_ for _ in ()).throw(killed))
    with pytest.raises(video.VideoError, match="could not be decoded .*SIGSEGV"):
        untrusted.probe(clip)
    monkeypatch.undo()
    monkeypatch.setenv("REELWARD_REQUIRE_JAIL", "1")
    assert untrusted.probe(clip).fps == 30.0
    monkeypatch.setattr(jail, "layers", lambda: dict.fromkeys(jail.LAYERS, False))
    with pytest.raises(jail.JailMissing) as e:
        untrusted.probe(clip)
    code, line = explain(e.value)
    assert code == 5 and "lacks rlimits, privileges, landlock, seccomp" in line


# --- bad files; what was there stays


def broken(clip: Path, folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.mp4"
    whole = clip.read_bytes()
    contents = {"empty": b"", "cut off": whole[: len(whole) // 2], "page": b"<html>hello</html>"}
    path.write_bytes(contents.get(kind, b""))
    if kind == "missing":
        path.unlink()
    if kind == "sound":
        import av

        with av.open(str(path), "w") as box:
            stream = box.add_stream("aac", rate=8000)
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            silence.sample_rate = 8000
            box.mux(stream.encode(silence))
            box.mux(stream.encode())
    return path


@pytest.mark.parametrize("kind", ["missing", "empty", "cut off", "page", "sound"])
def test_what_is_no_video_ends_with_code_3_and_one_line(clip, tmp_path, kind):
    path = broken(clip, tmp_path, kind)
    args = arguments(tmp_path, str(path), sha256=files.digest(path) if path.exists() else None)
    args.out.parent.mkdir()
    args.out.write_text("old")
    args.provenance.write_text("old")
    with pytest.raises(StageError) as e:
        fetch.main(args)
    code, line = explain(e.value)
    assert code == 3 and path.name in line and "\n" not in line
    assert args.out.read_text() == args.provenance.read_text() == "old"
    assert len(list(args.out.parent.iterdir())) == 2


def test_temporary_files_are_beside_the_result_or_where_the_user_says(clip, tmp_path, monkeypatch):
    place = tmp_path / "a place"
    place.mkdir()
    link = tmp_path / "a link"
    link.symlink_to(place)
    args = arguments(tmp_path, str(clip), sha256=files.digest(clip))
    monkeypatch.setenv("TMPDIR", str(link))
    monkeypatch.setattr(tempfile, "tempdir", None)
    fetch.main(args)
    assert sorted(p.name for p in args.out.parent.iterdir()) == ["provenance.json", "video.mp4"]
    assert list(place.iterdir()) == []


def test_a_wrong_digest_is_refused_and_a_missing_one_is_told(clip, tmp_path):
    with pytest.raises(InputError, match=f"expected sha256 {'0' * 64}, got"):
        fetch.main(arguments(tmp_path, str(clip), sha256="0" * 64))
    with pytest.raises(InputError, match=files.digest(clip)):
        fetch.main(arguments(tmp_path, str(clip)))
    assert not list((tmp_path / "data").iterdir())


def test_a_full_disk_ends_with_code_5(clip, tmp_path):
    options = ["--out", "video.mp4", "--provenance", "p.json", "--source", str(clip)]
    options += ["--sha256", files.digest(clip), "--start", "0", "--end", "None", "--crop", "None"]
    options += ["--licence", "None", "--max-mb", "1"]
    code = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (999, 999));"
    code += f"sys.path.insert(0, {str(ROOT)!r}); sys.argv = ['fetch', *{options!r}];"
    code += "runpy.run_module('stages.fetch', run_name='__main__', alter_sys=True)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 5, done.stderr
    assert done.stderr.count("\n") == 1 and "free some space" in done.stderr
