"""Batches of simulated robots: named fields, start states, stepping, pictures."""

import ctypes
import os


def _gl() -> str:
    """EGL where its library is installed. Without it, MuJoCo's import would fail if EGL were asked for."""
    try:
        ctypes.CDLL("libEGL.so.1")
        return "egl"
    except OSError:
        return "disable"


# Read by MuJoCo at its first import, which this package does next.
os.environ.setdefault("MUJOCO_GL", _gl())
