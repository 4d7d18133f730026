"""What an event may have published, and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.on_reward import on_reward, place
from reelward.studies.git import StudyError

NAMES = (
    "..", ".", "", "../neighbour", "a/..", "a/../../b", "a/b", "/etc", "study/../..", "..\\b", "a\0b",
    "a\n", "~", "-f", "%2e%2e", "\u2025", "A",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_an_event_cannot_name_a_folder_outside_the_site(name: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="name: expected up to"):
        place(tmp_path, name)
    with pytest.raises(StudyError, match="name: expected up to"):
        on_reward.fn(f"study/{name}", "iter-00", "0" * 40, str(tmp_path))


def test_a_link_out_of_the_site_is_refused(tmp_path: Path) -> None:
    site, other = tmp_path / "site", tmp_path / "other"
    for folder in (site, other):
        folder.mkdir()
    (site / "demo").symlink_to(other)
    with pytest.raises(StudyError, match=f"demo leads to {other}; remove it"):
        place(site, "demo")
    assert place(site, "run.2") == site / "run.2"
    (tmp_path / "www").symlink_to(site)  # the site itself may be a link
    assert place(tmp_path / "www", "run") == tmp_path / "www/run"


@pytest.mark.parametrize(
    ("iteration", "commit"),
    [("iter-00", "--help"), ("iter-00", "HEAD~1"), ("iter-00", ""), ("<b>x</b>", "0" * 40)],
)
def test_an_event_names_an_iteration_and_a_commit(
    iteration: str, commit: str, tmp_path: Path
) -> None:
    with pytest.raises(StudyError, match="expected"):
        on_reward.fn("demo", iteration, commit, str(tmp_path))
