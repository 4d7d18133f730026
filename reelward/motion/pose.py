"""A person's pose, frame by frame: BlazePose's detector and landmark network.

Bazarevsky et al., "BlazePose: on-device real-time body pose tracking" (arXiv 2006.10204). The
detector finds the person and two auxiliary points, which set an upright square crop; the landmark
network sees that crop and gives 33 points and the auxiliary points for the next frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

DETECTOR, LANDMARKS = "pose_detection.tflite", "pose_landmark_full.tflite"
SEEN = 0.5
"""minimum score of a detection and of a tracked crop"""

PARTS = {"shoulder": 11, "elbow": 13, "wrist": 15, "hip": 23, "knee": 25, "ankle": 27}
FEET = {"heel": 29, "toe": 31}
NAMES = ("head", "shoulder", "hip") + tuple(
    f"{side}_{part}" for side in ("right", "left") for part in (*PARTS, *FEET)
)


@dataclass(frozen=True)
class Pose:
    """`points [K, 2]` in pixels of the picture (x right, y down) and `confidence [K]` by `NAMES`."""

    points: np.ndarray
    confidence: np.ndarray

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of the points (pixels)."""
        (x0, y0), (x1, y1) = self.points.min(axis=0), self.points.max(axis=0)
        return float(x0), float(y0), float(x1), float(y1)


@dataclass(frozen=True)
class Detection:
    """A detected person (pixels): score, middle of the hips, and the auxiliary point that sets size and
    tilt."""

    score: float
    hip: np.ndarray
    far: np.ndarray

    @property
    def size(self) -> float:
        return float(np.linalg.norm(self.far - self.hip))


class PoseModel:
    """Both networks of one folder, on one thread, so that equal pictures give equal points."""

    def __init__(self, folder: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._nets = []
        for name in (DETECTOR, LANDMARKS):
            net = Interpreter(model_content=(folder / name).read_bytes(), num_threads=1)
            net.allocate_tensors()
            self._nets.append(net)
        self._anchors = _anchors()

    def detect(
        self, image: np.ndarray, centre: np.ndarray | None = None, side: int | None = None
    ) -> list[Detection]:
        """All persons in the RGB picture, or in the square of `side` pixels around `centre`, best
        score first. A person who is small in the picture is detected only in a small square."""
        high, wide = image.shape[:2]
        side = side or max(high, wide)
        middle = np.array([wide, high]) / 2 if centre is None else centre
        left, top = (round(float(v)) for v in middle - side / 2)
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, wide), min(top + side, high)
        if x0 >= x1 or y0 >= y1:
            return []
        square = np.zeros((side, side, 3), np.uint8)
        square[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
        small = cv2.resize(square, (224, 224), interpolation=cv2.INTER_AREA)
        boxes, logits = self._run(0, small.astype(np.float32) / 127.5 - 1.0, (0, 1))
        score = _sigmoid(logits[0, :, 0])
        keep = np.flatnonzero(score >= SEEN)
        places = boxes[0, keep, 4:8].reshape(-1, 2, 2) / 224 + self._anchors[keep, None]
        places = places * side + [left, top]
        people: list[Detection] = []
        for i in np.argsort(-score[keep], kind="stable"):
            hip, far = places[i]
            new = Detection(float(score[keep][i]), hip, far)
            if all(np.linalg.norm(hip - p.hip) > 0.5 * max(p.size, new.size) for p in people):
                people.append(new)
        return people

    def landmarks(self, image: np.ndarray, person: Detection) -> tuple[Pose, Detection]:
        """The pose inside the crop around `person`, and the detection for the next frame; its score
        is that of this crop."""
        to_crop = _crop(person)
        crop = cv2.warpAffine(image, to_crop, (256, 256), flags=cv2.INTER_LINEAR)
        points, flag = self._run(1, crop.astype(np.float32) / 255.0, (0, 1))
        raw = points.reshape(39, 5)
        back = cv2.invertAffineTransform(to_crop)
        xy = raw[:, :2] @ back[:, :2].T + back[:, 2]
        confidence = _sigmoid(raw[:, 3])
        return _named(xy, confidence), Detection(float(flag.reshape(-1)[0]), xy[33], xy[34])

    def _run(self, which: int, picture: np.ndarray, outputs: tuple[int, ...]) -> list[np.ndarray]:
        net = self._nets[which]
        net.set_tensor(net.get_input_details()[0]["index"], picture[None])
        net.invoke()
        return [net.get_tensor(net.get_output_details()[i]["index"]) for i in outputs]


class Follower:
    """Follows one person from picture to picture.

    This is the largest person in the first picture with any, or the one nearest to `at` (fractions of
    width and height). A person who is lost is searched where they were last.
    """

    def __init__(self, model: PoseModel, at: tuple[float, float] | None = None) -> None:
        self._model, self._at = model, at
        self._where: np.ndarray | None = None
        self._next: Detection | None = None

    def step(self, image: np.ndarray) -> Pose | None:
        """The pose in the next picture, None if the person is not visible."""
        high, wide = image.shape[:2]
        if self._where is None and self._at:
            self._where = np.array(self._at) * [wide, high]
        if self._next is None:
            self._next = self._search(image)
        pose = self._look(image)
        if pose is None and (detection := self._search(image)):
            self._next = detection
            pose = self._look(image)
        return pose

    def _look(self, image: np.ndarray) -> Pose | None:
        if self._next is None:
            return None
        pose, self._next = self._model.landmarks(image, self._next)
        if self._next.score < SEEN:
            self._next = None
            return None
        self._where = self._next.hip
        return pose

    def _search(self, image: np.ndarray) -> Detection | None:
        if self._where is None:
            return max(self._model.detect(image), key=lambda p: p.size, default=None)
        where, high = self._where, image.shape[0]
        for side in (high // 2, high, None):
            people = self._model.detect(image, where if side else None, side)
            if people:
                return min(people, key=lambda p: float(np.linalg.norm(p.hip - where)))
        return None


def _named(xy: np.ndarray, confidence: np.ndarray) -> Pose:
    sides = {"right": 1, "left": 0}  # in BlazePose's order every right point follows its left one
    rows = [[7, 8], [11, 12], [23, 24]] + [
        [i + odd] for odd in sides.values() for i in (PARTS | FEET).values()
    ]
    points = np.array([xy[r].mean(axis=0) for r in rows], np.float32)
    return Pose(points, np.array([confidence[r].mean() for r in rows], np.float32))


def _crop(person: Detection) -> np.ndarray:
    """2 x 3 matrix from the picture to the 256-pixel crop: the hips in the middle, the far point
    straight above them, and a margin of a quarter."""
    way = person.far - person.hip
    angle = np.arctan2(way[0], -way[1])
    scale = 256 / max(2 * 1.25 * person.size, 1.0)
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.hstack([turn, (128 - turn @ person.hip)[:, None]])


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-np.clip(logits, -50, 50)))


def _anchors() -> np.ndarray:
    """`[2254, 2]` centres of the detector's cells, as fractions of its 224-pixel picture."""
    layers = []
    for cells, each in ((28, 2), (14, 2), (7, 6)):
        x, y = np.meshgrid(*(2 * [(np.arange(cells) + 0.5) / cells]))
        layers.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), each, axis=0))
    return np.concatenate(layers)
