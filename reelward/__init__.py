"""reelward learns a reward function from a video and trains a MuJoCo robot on it."""

import ctypes
import os


def _gl() -> str:
    """EGL where its library exists: MuJoCo's import fails when EGL is asked for and missing."""
    try:
        ctypes.CDLL("libEGL.so.1")
        return "egl"
    except OSError:
        return "disable"


# MuJoCo reads it at its first import, wherever in the package that is.
os.environ.setdefault("MUJOCO_GL", _gl())
