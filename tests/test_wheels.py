"""Files in wheels: what is taken out, and what is refused."""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from film_server import FRAMES, OPEN
from test_fetch import arguments

from reelward.motion import video
from reelward.runtime import files
from reelward.runtime.download import bring
from reelward.runtime.errors import InputError, NetworkError, ResourceError, StageError
from reelward.runtime.limits import Limits
from reelward.runtime.wheels import unpack
from stages import fetch, pose


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that stands for the package index, with one wheel: a container of `files`."""

    def put(name: str, version: str, members: dict[str, bytes]) -> None:
        folder = tmp_path / "index"
        folder.mkdir(exist_ok=True)
        info = f"{name}-{version}.dist-info"
        meta = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        wheel = "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as box:
            for path, data in members.items():
                box.writestr(path, data)
            box.writestr(f"{info}/METADATA", meta)
            box.writestr(f"{info}/WHEEL", wheel)
            box.writestr(f"{info}/LICENSE", "the licence")
            box.writestr(f"{info}/RECORD", "")

    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return put


def test_a_file_in_a_wheel(index, clip, tmp_path):
    index("toyclips", "1.2", {"toyclips/demo/walk.mp4": clip.read_bytes()})
    source = "pypi:toyclips==1.2/toyclips/demo/walk.mp4"
    args = arguments(tmp_path, source, sha256=files.digest(clip), licence="BSD-3-Clause")
    fetch.main(args)
    about = json.loads(args.provenance.read_text())["video"]
    assert (about["source"], about["licence"]) == (source, "BSD-3-Clause")
    assert len(list(video.frames(args.out))) == FRAMES
    with pytest.raises(InputError, match="holds no toyclips/run.mp4"):
        bring("pypi:toyclips==1.2/toyclips/run.mp4", tmp_path / "got", OPEN)
    with pytest.raises(NetworkError, match="pip could not get toyclips==9: No matching"):
        bring("pypi:toyclips==9/walk.mp4", tmp_path / "got", OPEN)
    with pytest.raises(ResourceError, match="larger than max_mb"):
        bring(source, tmp_path / "got", Limits(bytes=100))


def test_pose_takes_two_pinned_files_and_their_licence(index, tmp_path):
    members = {pose.DETECTOR: b"detector", pose.LANDMARK: b"landmark"}
    index("mediapipe", "0.10.21", members)
    sums = [hashlib.sha256(data).hexdigest() for data in members.values()]
    args = pose.Args(tmp_path / "pose", "pypi:mediapipe==0.10.21", *sums)
    pose.main(args)
    assert files.verified(args.out / "pose_detection.tflite").read_bytes() == b"detector"
    assert files.verified(args.out / "pose_landmark_full.tflite").read_bytes() == b"landmark"
    assert (args.out / "LICENSE").read_text() == "the licence"
    assert "Apache License 2.0" in (args.out / "NOTICE").read_text()
    wrong = pose.Args(args.out, args.source, sums[1], sums[1])
    with pytest.raises(InputError, match="expected sha256"):
        pose.main(wrong)
    assert files.verified(args.out / "pose_detection.tflite").read_bytes() == b"detector"


def box(folder: Path, name: str = "a", data: bytes = b"x" * 1000) -> Path:
    """A wheel with one file."""
    path = folder / "box.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        new.writestr(name, data)
    return path


def patched(path: Path, offset: int, value: int) -> Path:
    """The archive with another 16-bit number in both headers of its file, `offset` as in the local one."""
    raw = bytearray(path.read_bytes())
    for signature, more in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 2)):
        struct.pack_into("<H", raw, raw.index(signature) + offset + more, value)
    path.write_bytes(raw)
    return path


def truncated(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-30])
    return path


def flipped(path: Path) -> Path:
    raw = bytearray(path.read_bytes())
    raw[33] ^= 255
    path.write_bytes(raw)
    return path


def understated(folder: Path) -> Path:
    """A file that says it is smaller than it is."""
    path = box(folder, data=bytes(5_000_000))
    raw = bytearray(path.read_bytes())
    struct.pack_into("<I", raw, raw.index(b"PK\x01\x02") + 24, 100)
    path.write_bytes(raw)
    return path


ARCHIVES: dict[str, tuple[Callable[[Path], Path], int]] = {
    "encrypted": (lambda folder: patched(box(folder), 6, 1), 2),
    "of an unknown compression": (lambda folder: patched(box(folder), 8, 97), 2),
    "cut off": (lambda folder: truncated(box(folder)), 4),
    "damaged": (lambda folder: flipped(box(folder)), 4),
    "no archive": (lambda folder: Path(__file__), 4),
    "without the file": (lambda folder: box(folder, "../a"), 2),
    "a bomb": (lambda folder: box(folder, data=bytes(50_000_000)), 5),
    "a bomb that says it is small": (understated, 4),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_a_bad_archive_is_one_line_with_its_code(tmp_path, kind):
    make, code = ARCHIVES[kind]
    with pytest.raises(StageError) as e:
        unpack(make(tmp_path), "a", tmp_path / "got", OPEN)
    assert e.value.code == code and str(e.value).isprintable()
    assert not (tmp_path / "got").exists() or (tmp_path / "got").stat().st_size <= OPEN.bytes


def test_a_link_in_an_archive_is_written_as_the_text_it_is(tmp_path):
    entry = zipfile.ZipInfo("a")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "box.whl", "w") as new:
        new.writestr(entry, "/etc/passwd")
    unpack(tmp_path / "box.whl", "a", tmp_path / "got", OPEN)
    assert not (tmp_path / "got").is_symlink() and (tmp_path / "got").read_text() == "/etc/passwd"
