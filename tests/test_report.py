"""The report: what it says of a study, and that every text from outside stays text."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from report_study import Page, Study, finished_study, motion_in, person_motion
from skeleton import walker

from reelward import pages
from reelward.measures.base import Episodes
from reelward.measures.describe import tolerance
from reelward.measures.gait import Gait
from reelward.measures.reference import NO_EXPERT
from reelward.motion.record import to_json
from reelward.records import Criteria, ModelCalls, Provenance
from reelward.runtime import files
from reelward.sim.robot import load_robot
from reelward.studies.changes import RewardChange, reward_change
from stages import report

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
CRITIQUE = {
    "wrong": "drags the left foot", "rewrite": "the clock", "remove": "the energy cost",
    "add": "a term for the swinging foot", "failure": "drag", "confidence": 0.8,
}  # fmt: skip
WRITER = ModelCalls(model="writer-7", answered_by=("writer-7",), scripted=False, calls=())
LOOKER = ModelCalls(model="looker-3", answered_by=("looker-3",), scripted=False, calls=())
CRITERIA = Criteria(
    description="A calm walk.", criteria=("the heel lands first",), model_calls=LOOKER
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return finished_study(tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="module")
def page(finished: Study) -> Page:
    return finished.report(task="walk like her")


@pytest.fixture
def judged_by_a_model(tmp_path: Path) -> Study:
    """Two candidates of one iteration, judged by a model that contradicts the measure on one and
    itself on the other."""
    study = Study(tmp_path)
    study.author, study.critic = WRITER, LOOKER
    files.write_record(study.data / "expert/criteria.json", CRITERIA)
    c0 = {"speed": 1.1, "note": "adds the clock", "said": CRITIQUE, "verdicts": ["worse"] * 2}
    c1 = {
        "speed": 0.9,
        "said": CRITIQUE | {"failure": "none"},
        "verdicts": ["better", "worse"],
    }
    study.iteration("seed", {"c0": c0, "c1": c1})
    return study


def test_the_head_shows_result_critic_author_and_licence(finished: Study, page: Page) -> None:
    best = files.read_json(finished.rewards / "iter-02/feedback.json")
    assert "walk like her" in page.words
    assert f"closeness {best['critique']['closeness']:.2f} of 1" in page.words
    assert "env-steps, warm starts included 3 000" in page.words
    assert "iterations 3 2 accepted" in page.words
    assert "Critic: measured, no language model. Author: measured, no language model." in page.words
    assert "Licence: CC0-1.0." in page.words
    buttons = [a["data-pick"] for tag, a in page.elements if tag == "button" and "data-pick" in a]
    assert buttons == ["seed", "iter-00", "iter-01", "iter-02"]


def test_the_words_of_a_model_are_on_the_page(judged_by_a_model: Study) -> None:
    words = judged_by_a_model.report().words
    names = "Critic: the vision-language model looker-3. Author: the language model writer-7."
    assert names in words
    assert "a script" not in words.lower()
    assert "What the critic sees in the expert A calm walk." in words
    assert "The critic's criteria the heel lands first" in words
    c0, _, c1 = words.partition("All candidates of iter-00")[2].partition(" c1 ")
    assert "adds the clock" in c0
    assert "worse than its parent, confidence 0.80 · failure: drag · survived 100" in c0
    assert (
        "Contested: the critic says worse, the measure better. The measure alone decides, and it "
        "says better." in c0
    )
    headings = "what is wrong drags the left foot rewrite the clock remove the energy cost"
    assert f"{headings} add a term for the swinging foot" in c0
    assert "cannot tell, confidence 0.80 · no failure" in c1
    assert "Contested: with the order swapped, the critic answered better, then worse." in c1


@pytest.mark.parametrize("role", ["critic", "author", "criteria"])
def test_a_script_is_not_presented_as_a_model(judged_by_a_model: Study, role: str) -> None:
    study = judged_by_a_model
    if role == "criteria":
        asked = LOOKER.model_copy(update={"scripted": True})
        criteria = CRITERIA.model_copy(update={"model_calls": asked})
        files.write_record(study.data / "expert/criteria.json", criteria)
    else:
        asked = getattr(study, role).model_copy(update={"scripted": True})
        setattr(study, role, asked)
    study.iteration("iter-00", {"c0": {"speed": 1.1}})
    study.author, study.critic = WRITER, LOOKER
    labels = {"critic": "Critic: a script in place of the vision-language model."}
    labels["author"] = "Author: a script in place of the language model."
    label = labels.get(role, "Critic: the vision-language model looker-3.")
    assert label in study.report("before").words
    study.iteration("iter-01", {"c0": {"speed": 1.15}})
    note = "A script answered in place of a model."
    assert note in study.report().words.partition("a reward learned from a video")[0]


def test_the_table_compares_in_tolerances(finished: Study, page: Page) -> None:
    e = motion_in(finished.data / "expert/keyframes").descriptors["speed"]
    own = motion_in(finished.data / "iterations/iter-00/best").descriptors["speed"]
    off = (own.value - e.value) / tolerance("speed", e)
    assert off == pytest.approx(-1 / 3 / 0.4, abs=0.02)  # 0.8 m/s beside 1.2 m/s; 40 % tolerated
    assert f"{off:+.2f} tolerances" in page.words


def test_a_descriptor_that_the_learner_does_not_show_has_its_reason(tmp_path: Path) -> None:
    study = Study(tmp_path)
    study.iteration("seed", {"c0": {"speed": 1.1, "seconds": 0.4}})
    words = study.report().words
    assert "Not measured of iter-00: cadence, step, bob, height, knee, " in words
    assert "(no period found)." in words


def test_a_learner_that_fell_before_it_could_be_measured_is_named_so(tmp_path: Path) -> None:
    robot = load_robot("biped")
    points = np.zeros((500, 1, len(robot.keypoints), 3))
    episodes = Episodes(np.zeros((500, 1, 9)), points, np.array([50]), {}, dt=0.02)
    study = Study(tmp_path)
    study.iteration("seed", {"c0": {"speed": 1.1, "motion": Gait().of(robot, episodes)}})
    words = study.report().words
    assert "(it fell after 1.0 s, before it could be measured)." in words
    assert "closeness 0.00 of 1, fell before it could be measured" in words
    assert "accepted c0, fell before it could be measured" in words


def test_an_iteration_that_kept_the_parents_best_shows_it_again(page: Page) -> None:
    assert "It did not change: no candidate beat iter-00/c0, so it was kept." in page.words
    assert "kept iter-00/c0" in page.words
    assert page.films["iter-01"] == page.films["iter-00"]
    assert page.films["iter-00"]["src"] == "media/iter-00/c0/video.mp4"
    assert page.films["iter-02"]["src"] == "media/iter-02/c0/video.mp4"


def test_refused_and_failed_candidates_show_their_error(page: Page) -> None:
    assert "refused c1 moves E12 line 3: no such field" in page.words
    assert "not trained c0 moves trained from scratch not a number" in page.words


def test_an_iteration_whose_candidates_were_all_refused(tmp_path: Path) -> None:
    study = Study(tmp_path)
    study.iteration("seed", {"c0": {"refused": "E1"}, "c1": {"refused": "E2"}})
    page = study.report()
    assert "It did not change: no candidate beat the seed, so it was kept." in page.words
    assert "No candidate was trained; their errors say why." in page.words
    assert page.films["iter-00"]["src"] == "media/seed/video.mp4"
    assert "env-steps" not in page.words.partition("Closeness over the iterations")[2]


def test_a_change_names_terms_constants_and_lines() -> None:
    before = (
        'TARGET = {"speed": 1.0, "bob": 0.1}\nK = 2\n\n\ndef reward(s):\n    return {"a": s.time}\n'
    )
    after = """\
TARGET = {"speed": 1.3}
K = 2
J = K + 1
PERIOD = 1.2


def reward(s):
    return {"b": s.time}
"""
    change = changed(before, after)
    assert change.added == ["b"] and change.removed == ["a"]
    assert change.constants == {
        "TARGET speed": (1.0, 1.3), "PERIOD": (None, 1.2), "TARGET bob": (0.1, None),
    }  # fmt: skip
    assert change.difference[:2] == ["--- old.py", "+++ new.py"]
    assert '-    return {"a": s.time}' in change.difference
    assert '+    return {"b": s.time}' in change.difference
    assert changed(after, after).difference == []


def changed(before: str, after: str) -> RewardChange:
    return reward_change(before, after, ("old.py", "new.py"), load_robot("biped").fields)


def test_terms_are_found_however_they_are_written() -> None:
    rewards = Path(__file__).parent / "rewards"
    comprehension = (rewards / "comprehension_terms.py").read_text()
    by_element = (rewards / "typed_signature.py").read_text()
    change = changed(comprehension, by_element)
    assert change.added == ["run", "cost"]
    still = ["still_right_hip", "still_left_hip", "still_right_knee", "still_left_knee"]
    assert change.removed == [*still, "forward"]
    nested = 'W = {"a": {"b": 1.0}}\n\n\ndef reward(s):\n    return {"a": W["a"]["b"] * s.time}\n'
    assert changed(by_element, nested).added == ["a"]


def test_the_change_and_its_reason_are_on_the_page(finished: Study, page: Page) -> None:
    assert "TARGET speed 0.8 → 1.15" in page.words
    assert "+ bob" in page.words
    reason = files.read_json(finished.rewards / "iter-01/feedback.json")["critique"]["wrong"]
    assert "too slow" in reason and reason in page.words
    assert "The author's change faster" in page.words


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    study = Study(tmp_path)
    track = walker(seconds=5)
    motion = person_motion(track, notes=(EVIL,))
    study.expert(track, motion, title=EVIL, author=EVIL, licence=EVIL, source="javascript:alert(3)")
    quoted = repr(EVIL.replace('"', ""))
    study.iteration("seed", {
        "c0": {"speed": 1.1, "note": EVIL, "terms": f"{quoted}: alive(s)"},
        "c1": {"refused": "</script></pre>" + EVIL},
    })  # fmt: skip
    page = study.report(task=EVIL)
    assert [tag for tag, _ in page.elements].count("script") == 2
    assert not [k for _, attrs in page.elements for k in attrs if k.startswith("on")]
    assert all(EVIL in text for text in (page.text, page.text.partition("</pre>")[2]))
    assert "x" not in page.references and "alert" not in page.scripts[1]


def test_a_link_is_a_link(tmp_path: Path) -> None:
    study = Study(tmp_path)
    track = walker(seconds=5)
    address = "https://example.org/v?a=1&b=2"
    study.expert(track, person_motion(track), title="A walk", source=address)
    study.iteration("seed", {"c0": {"speed": 1.1}})
    with pytest.raises(AssertionError, match="beside the page"):
        study.report()
    page = Page(study.root / "report/index.html")
    assert address in page.references


def test_a_study_without_a_video_shows_the_learner_alone(tmp_path: Path) -> None:
    study = Study(tmp_path)
    expert = study.data / "expert"
    shutil.rmtree(expert / "keyframes")
    files.write_json(expert / "keyframes/motion.json", to_json(NO_EXPERT))
    (expert / "video.mp4").write_bytes(b"")
    files.write_record(expert / "provenance.json", Provenance(video=None))
    study.iteration("seed", {"c0": {"speed": 1.1}})
    page = study.report()
    assert "The biped learns without a video. Critic: measured" in page.words
    roles = [a.get("data-role") for tag, a in page.elements if tag == "video"]
    assert roles == ["learner", "untrained"] and page.films["expert"] is None
    assert "Expert" not in page.words and "Video:" not in page.words


def test_an_unknown_licence_keeps_all_rights() -> None:
    unknown = report.rights("not stated: all rights reserved")
    assert unknown == "all rights reserved, shown on this machine only"
    for own in (None, ""):
        assert report.rights(own).startswith("not stated, shown on this machine only; of another's")


def test_missing_pictures_leave_a_placeholder(finished: Study, tmp_path: Path) -> None:
    study = Study(shutil.copytree(finished.root, tmp_path / "gaps"), finished.parents)
    shutil.rmtree(study.data / "iterations/iter-02/best")
    shutil.copytree(study.data / "iterations/iter-00/best", study.data / "iterations/iter-02/best")
    for name in (
        "expert/video.mp4",
        "iterations/seed/best/sheet.jpg",
        "iterations/seed/best/track.npz",
        "iterations/seed/films/best.mp4",
        "iterations/iter-02/best/sheet.jpg",
        "iterations/iter-02/rollouts/c0/sheet.jpg",
    ):
        (study.data / name).unlink()
    page = study.report()
    assert page.films["expert"] is None and page.films["seed"] is None
    assert page.words.count("no film") == 2
    assert "no pictures: it fell at once" in page.words


def test_the_first_learner_is_shown_once_there_is_another(page: Page, tmp_path: Path) -> None:
    roles = [a.get("data-role") for tag, a in page.elements if tag == "video"]
    assert roles == ["expert", "learner", "untrained", "first"]
    young = Study(tmp_path)
    young.iteration("seed", {"c0": {"speed": 1.1}})
    roles = [a.get("data-role") for tag, a in young.report().elements if tag == "video"]
    assert roles == ["expert", "learner", "untrained"]


def test_the_same_inputs_give_the_same_bytes(finished: Study) -> None:
    finished.report("one")
    finished.report("another")
    assert files.digest(finished.root / "one") == files.digest(finished.root / "another")
    assert str(finished.root) not in (finished.root / "one/index.html").read_text()


def test_numbers_of_a_page() -> None:
    assert [pages.number(v) for v in (None, 0.12345, -2.0, 1234567, True, "a")] == [
        "–", "0.123", "−2", "1\u202f234\u202f567", "True", "a",
    ]  # fmt: skip
    assert [pages.fixed(v, 1) for v in (-0.04, -0.06, 3.0)] == ["0.0", "−0.1", "3.0"]
    assert pages.percent(0.996) == "100\u00a0%"
