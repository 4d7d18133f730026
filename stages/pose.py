"""Get the weights of the pose estimator (BlazePose: Bazarevsky et al. 2020, arXiv 2006.10204).

reads   source          the wheel that contains them; nothing in it is executed

writes  pose/           pose_detection.tflite, pose_landmark_full.tflite, LICENSE, NOTICE
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from reelward.runtime import files
from reelward.runtime.entry import Out, run_stage
from reelward.runtime.errors import InputError
from reelward.runtime.limits import Limits
from reelward.runtime.wheels import WheelSource, unpack, wheel

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="64 digits of 0-9 and a-f")]

DETECTOR = "mediapipe/modules/pose_detection/pose_detection.tflite"
LANDMARK = "mediapipe/modules/pose_landmark/pose_landmark_full.tflite"
LIMITS = Limits(bytes=50_000_000)
NOTICE = """\
pose_detection.tflite and pose_landmark_full.tflite are the BlazePose models of MediaPipe,
(c) The MediaPipe Authors, under the Apache License 2.0 (LICENSE), unchanged, out of {source}.
"""


@dataclass(frozen=True)
class Args:
    out: Out
    """Folder to create."""
    source: Annotated[
        str, Field(pattern=r"^pypi:[\w.-]+==[\w.+!-]+$", description="pypi:NAME==VERSION")
    ]
    """Package that contains the weights, as pypi:NAME==VERSION."""
    detector_sha256: Digest
    """SHA-256 of pose_detection.tflite."""
    landmark_sha256: Digest
    """SHA-256 of pose_landmark_full.tflite."""


def main(args: Args) -> None:
    name, version, _ = WheelSource.of(args.source)
    expected = {DETECTOR: args.detector_sha256, LANDMARK: args.landmark_sha256}
    with files.scratch_folder(args.out) as scratch, files.new_folder(args.out) as out:
        archive = wheel(name, version, scratch)
        for inside, digest in expected.items():
            target = out / Path(inside).name
            unpack(archive, inside, target, LIMITS)
            if (got := files.digest(target)) != digest:
                raise InputError(f"{inside}: expected sha256 {digest}, got {got}")
        unpack(archive, f"{name}-{version}.dist-info/LICENSE", out / "LICENSE", LIMITS)
        (out / "NOTICE").write_text(NOTICE.format(source=f"{name} {version}"))


if __name__ == "__main__":
    run_stage(main, Args)
