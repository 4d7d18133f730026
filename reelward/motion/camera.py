"""The camera's own motion, from the background around the subject."""

from __future__ import annotations

import cv2
import numpy as np

LEAST = 12
"""corners that must agree for the motion to count as known"""
FRESH = 0.5
"""fraction of the reference picture's corners; with fewer left, a new reference is taken"""


class Camera:
    """Follows corners from a reference picture (Shi and Tomasi; Lucas and Kanade; RANSAC).

    Each picture is matched with the reference picture itself, so a camera on a tripod does not
    drift. A new reference is taken only when too little of the old one is left in view.
    """

    def __init__(self) -> None:
        self._reference: np.ndarray | None = None
        self._corners: np.ndarray = np.zeros((0, 1, 2), np.float32)
        self._guess = self._corners
        self._base = np.eye(3)
        self._now = np.eye(3)
        self.steps = 0
        self.known = 0

    @property
    def known_fraction(self) -> float:
        """Fraction of the pictures in which the camera's motion is known."""
        return self.known / max(self.steps, 1)

    def step(self, image: np.ndarray, box: tuple[float, float, float, float] | None) -> np.ndarray:
        """`[3, 3]` from pixels of this RGB picture to those of the first one (a similarity).
        `box` (left, top, right, bottom) is the subject, which is left out. Where nothing can be
        matched, the camera is assumed to stand still."""
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        self.steps += 1
        if self._reference is None:
            self._renew(grey, box)
            self.known += len(self._corners) >= LEAST
            return self._now
        motion, kept = self._match(grey)
        if motion is not None:
            self._now = self._base @ motion
            self.known += 1
        if kept < FRESH * max(len(self._corners), 1) or len(self._corners) < LEAST:
            self._renew(grey, box)
        return self._now

    def _renew(self, grey: np.ndarray, box: tuple[float, float, float, float] | None) -> None:
        mask = np.full(grey.shape, 255, np.uint8)
        if box:
            x0, y0, x1, y1 = box
            room = 0.15 * (y1 - y0)
            a, b, c, d = (max(0, int(v)) for v in (x0 - room, y0 - room, x1 + room, y1 + room))
            mask[b:d, a:c] = 0
        corners = cv2.goodFeaturesToTrack(grey, 300, 0.01, 8, mask=mask)
        self._corners = np.zeros((0, 1, 2), np.float32) if corners is None else corners
        self._reference, self._guess, self._base = grey, self._corners.copy(), self._now

    def _match(self, grey: np.ndarray) -> tuple[np.ndarray | None, int]:
        """From this picture to the reference, and the number of corners that agree on it."""
        if len(self._corners) < LEAST or self._reference is None:
            return None, 0
        matched, status, _ = cv2.calcOpticalFlowPyrLK(
            self._reference, grey, self._corners, self._guess.copy(),
            winSize=(15, 15), flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        )  # fmt: skip
        visible = status.ravel() == 1
        if visible.sum() < LEAST:
            return None, 0
        motion, inliers = cv2.estimateAffinePartial2D(
            matched[visible], self._corners[visible], method=cv2.RANSAC, ransacReprojThreshold=2.0
        )
        agree = 0 if motion is None else int(inliers.sum())
        if agree < LEAST:
            return None, 0
        to_reference = np.vstack([motion, [0, 0, 1]])
        from_reference = np.linalg.inv(to_reference)
        self._guess = moved(from_reference, self._corners[:, 0])[:, None].astype(np.float32)
        return to_reference, agree


def moved(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """`points [K, 2]` under a `[3, 3]` similarity."""
    return points @ matrix[:2, :2].T + matrix[:2, 2]
