"""Files appear whole or not at all, and damage is noticed."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from reelward.runtime import files

DIES = """
import os, signal, sys
from pathlib import Path
from reelward.runtime import files
with files.{kind}(Path("{target}")) as new:
    ({write}).write_text("half")
    {end}
"""


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def killed(kind: str, target: Path) -> None:
    """A process that dies by SIGKILL while it writes `target`."""
    write = "new" if kind == "new_file" else "new / 'a'"
    code = DIES.format(kind=kind, target=target, write=write, end="os.kill(os.getpid(), 9)")
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9


def test_digest_of_a_file_is_its_sha256(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.digest(tmp_path / "abc") == expected


def test_digest_of_a_folder_knows_names_and_bytes_but_no_bytecode(tmp_path):
    (tmp_path / "f/sub").mkdir(parents=True)
    (tmp_path / "f/sub/a").write_text("1")
    first = files.digest(tmp_path / "f")
    (tmp_path / "f/__pycache__").mkdir()
    (tmp_path / "f/__pycache__/a.pyc").write_text("x")
    assert files.digest(tmp_path / "f") == first
    (tmp_path / "f/sub/a").rename(tmp_path / "f/sub/b")
    renamed = files.digest(tmp_path / "f")
    (tmp_path / "f/sub/b").write_text("2")
    assert len({first, renamed, files.digest(tmp_path / "f")}) == 3


def test_new_file_has_the_suffix_and_keeps_the_old_one_on_an_error(tmp_path):
    target = tmp_path / "deep/a.json"
    with files.new_file(target) as new:
        assert new.suffix == ".json" and new.parent == target.parent
        new.write_text("one")
    with pytest.raises(KeyError), files.new_file(target) as new:
        new.write_text("two")
        raise KeyError
    assert target.read_text() == "one"
    assert names(target.parent) == ["a.json"]


@pytest.mark.parametrize("kind", ["new_file", "new_folder"])
def test_what_a_killed_owner_left_is_swept_and_a_living_ones_is_not(tmp_path, kind):
    target = tmp_path / "out"
    killed(kind, target)
    assert not target.exists() and len(names(tmp_path)) == 1
    with files.new_file(target) as other:
        other.write_text("living")
        with getattr(files, kind)(target) as new:
            (new / "a" if kind == "new_folder" else new).write_text("whole")
            assert set(names(tmp_path)) == {other.name, new.name}
        assert set(names(tmp_path)) == {other.name, "out"}
    assert names(tmp_path) == ["out"]


def test_a_scratch_folder_is_private_and_goes_also_after_a_kill(tmp_path):
    target = tmp_path / "with space/video.mp4"
    killed("scratch_folder", target)
    assert len(names(target.parent)) == 1
    with files.scratch_folder(target) as folder:
        assert names(target.parent) == [folder.name] and not names(folder)
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "a").touch()
    assert names(target.parent) == []


def test_new_folder_is_replaced_as_a_whole_and_sha256sum_agrees(tmp_path):
    for name in ("old", "new"):
        with files.new_folder(tmp_path / "f") as folder:
            (folder / "sub").mkdir()
            (folder / "sub" / name).write_text(name)
    assert names(tmp_path) == ["f"] and names(tmp_path / "f/sub") == ["new"]
    done = subprocess.run(
        ["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=tmp_path / "f", capture_output=True
    )
    assert done.returncode == 0 and done.stdout == b"sub/new: OK\n"


def test_every_flipped_bit_is_noticed(tmp_path):
    with files.new_folder(tmp_path / "f") as folder:
        files.save_tensors(folder / "a.pt", {"w": torch.arange(4.0)})
    path = tmp_path / "f/a.pt"
    assert files.load_tensors(files.verified(path))["w"].tolist() == [0, 1, 2, 3]
    whole = path.read_bytes()
    for k in range(0, len(whole), len(whole) // 60):
        path.write_bytes(whole[:k] + bytes([whole[k] ^ 1]) + whole[k + 1 :])
        with pytest.raises(files.FileError, match="a.pt is damaged; remove .*f and make it again"):
            files.verified(path)
    path.unlink()
    with pytest.raises(files.FileError, match="is missing"):
        files.verified(path)


def test_verified_refuses_a_file_that_nobody_vouches_for(tmp_path):
    with files.new_folder(tmp_path / "f") as folder:
        (folder / "a").write_text("a")
    (tmp_path / "f/b").write_text("b")
    (tmp_path / "c").write_text("c")
    for path in (tmp_path / "f/b", tmp_path / "c"):
        with pytest.raises(files.FileError):
            files.verified(path)


def test_tensors_have_the_same_bytes_under_any_name(tmp_path):
    for name in ("a.pt", "b.pt"):
        files.save_tensors(tmp_path / name, {"x": torch.ones(3), "n": [1, 2.5, "t", None]})
    assert files.digest(tmp_path / "a.pt") == files.digest(tmp_path / "b.pt")
    assert files.load_tensors(tmp_path / "a.pt")["n"] == [1, 2.5, "t", None]


def test_tensors_with_code_inside_are_refused(tmp_path):
    torch.save({"x": os.system}, tmp_path / "evil.pt")
    (tmp_path / "empty.pt").touch()
    for name in ("evil.pt", "empty.pt", "none.pt"):
        with pytest.raises(files.FileError, match=name):
            files.load_tensors(tmp_path / name)


def test_json(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"b": "é", "a": [1, None]})
    assert path.read_bytes() == '{\n "b": "é",\n "a": [\n  1,\n  null\n ]\n}\n'.encode()
    assert files.read_json(path) == {"b": "é", "a": [1, None]}
    with pytest.raises(ValueError):
        files.write_json(path, {"a": float("nan")})
    assert files.read_json(path)["b"] == "é"
    with pytest.raises(files.FileError, match=r"none.json is missing; make it: dvc repro"):
        files.read_json(tmp_path / "none.json")


@pytest.mark.parametrize(
    "text",
    [
        "{", "", "\0", '{"a": 1} {}', "[" * 100_000, '{"a": NaN}', '{"a": [-Infinity]}', "1e999",
        "9" * 5000, '{"\x1b[2J": }', '"\n"',
    ],
)  # fmt: skip
def test_what_is_no_json_is_one_line(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(files.FileError, match="a.json: expected JSON: ") as e:
        files.read_json(path)
    assert str(e.value).isprintable() and len(str(e.value)) < 600
    path.write_bytes(b'"\xff"')
    with pytest.raises(files.FileError, match="a.json: expected JSON: "):
        files.read_json(path)


def test_a_full_disk_names_the_file_and_leaves_the_old_one(tmp_path):
    target = tmp_path / "a"
    target.write_bytes(b"old")
    code = f"""
import resource
from pathlib import Path
from reelward.runtime import files
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with files.new_file(Path({str(target)!r})) as new:
        new.write_bytes(b"x" * 2000)
except OSError as e:
    print(e.errno, e.filename)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == f"27 {target}\n"  # EFBIG
    assert target.read_bytes() == b"old" and names(tmp_path) == ["a"]


def test_started_tells_a_process_from_its_successor():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert files.started(child.pid) >= files.started(os.getpid()) != ""
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert files.started(child.pid) == ""  # a zombie is gone
    child.wait()
    assert files.started(child.pid) == ""


def test_sums_are_those_of_hashlib(tmp_path):
    with files.new_folder(tmp_path / "f") as folder:
        (folder / "x").write_bytes(b"reel")
    expected = f"{hashlib.sha256(b'reel').hexdigest()}  x\n"
    assert (tmp_path / "f/SHA256SUMS").read_text() == expected
