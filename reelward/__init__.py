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


# MuJoCo reads them at its first import, wherever in the package that is, and fails at what it cannot
# load. Other choices of the user (osmesa, glfw) would decide how pictures look: local.yaml's `renderer`
# is the only one.
os.environ["MUJOCO_GL"] = _gl()
os.environ.pop("PYOPENGL_PLATFORM", None)
