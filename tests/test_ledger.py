"""The ledger grows with its comments kept, and an invalid one is refused."""

import pytest

from reelward.studies.ledger import FIRST, LedgerError, extended, last, parents, refusal, refused

OWN_FORM = """\
last: iter-01        # published
# two so far
iterations:          # name and parent

    iter-00:         # the first
        parent: seed # by hand
    iter-01: {parent: iter-00}   # the second

# the end"""


def test_a_new_ledger_has_one_iteration() -> None:
    assert parents(FIRST) == {"iter-00": "seed"}
    assert last(FIRST) == "iter-00"


def test_growing_appends_children_and_moves_last() -> None:
    assert extended(FIRST, 3) == FIRST.replace(
        "  iter-00: {parent: seed}\nlast: iter-00\n",
        "  iter-00: {parent: seed}\n  iter-01: {parent: iter-00}\n"
        "  iter-02: {parent: iter-01}\nlast: iter-02\n",
    )
    assert extended(FIRST, 1) == FIRST
    assert extended(extended(FIRST, 2), 5) == extended(FIRST, 5)


def test_comments_and_form_stay() -> None:
    longer = extended(OWN_FORM, 3)
    assert parents(longer) == {"iter-00": "seed", "iter-01": "iter-00", "iter-02": "iter-01"}
    for line in ("last: iter-02        # published", "# two so far", "iterations:  ", "# by hand",
                 "iter-01: {parent: iter-00}", "# the second", "# the end",
                 "iter-02: {parent: iter-01}"):  # fmt: skip
        assert line in longer
    assert longer.index("# name and parent") < longer.index("# the first")


def test_an_entry_of_several_lines_is_not_cut() -> None:
    text = "last: iter-00\niterations:\n  iter-00:\n    parent: seed\n"
    assert extended(text, 2).endswith("    parent: seed\n  iter-01: {parent: iter-00}\n")


def test_a_fork_goes_on_from_what_is_published() -> None:
    text = extended(FIRST, 3).replace("last: iter-02", "last: iter-00")
    assert parents(extended(text, 4))["iter-03"] == "iter-00"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "expected `iterations`"),
        ("iterations: {}\nlast: iter-00\n", "expected `iterations`"),
        ("iterations:\n  iter-00: {parent: seed}\n", "and `last`"),
        (FIRST + "more: 1\n", "expected `iterations`"),
        (FIRST.replace("iter-00: {", "iter-01: {"), "expected iter-00 in this place, got iter-01"),
        (FIRST.replace("seed", "iter-00"), "iter-00: expected {parent: one of seed}"),
        (FIRST.replace("seed", "seed, x: 1"), "iter-00: expected {parent: one of seed}"),
        (FIRST.replace("last: iter-00", "last: iter-07"), "last: expected one of iter-00"),
        (FIRST.replace("{parent: seed}", "seed"), "got seed"),
        (FIRST.replace("seed}", "seed, refused: ' '}"), "and refused: why"),
        ("iterations: [\n", "no YAML"),
    ],
)
def test_an_invalid_ledger_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(LedgerError, match=complaint.replace("{", r"\{").replace("`", ".")):
        extended(text, 2)


def test_it_never_shrinks() -> None:
    with pytest.raises(LedgerError, match="at least the 3 iterations"):
        extended(extended(FIRST, 3), 2)


def test_a_ledger_in_braces_grows_in_its_braces() -> None:
    text = "iterations: {iter-00: {parent: seed}}\nlast: iter-00\n"
    assert extended(text, 2) == (
        "iterations: {iter-00: {parent: seed}, iter-01: {parent: iter-00}}\nlast: iter-01\n"
    )


def test_a_refusal_is_written_beside_the_parent() -> None:
    text = refusal(refusal(OWN_FORM, "iter-01", "it's\n too #wild"), "iter-00", "no")
    assert refused(text) == {"iter-00": "no", "iter-01": "it's too #wild"}
    assert """{parent: iter-00, refused: "it's too #wild"}""" in text
    assert "# by hand" in text and "# the second" in text
    assert parents(extended(text, 3))["iter-02"] == "iter-01"


@pytest.mark.parametrize("mark", ["\x7f", "\x00", "\x1b", "\u2028", "\udc80", "\r\n"])
def test_a_reason_never_breaks_the_ledger(mark: str) -> None:
    text = refusal(FIRST, "iter-00", f"too{mark}wild, läuft: schief")
    assert refused(text) == {"iter-00": "too wild, läuft: schief"}


@pytest.mark.parametrize("why", ["", " \n", "\x7f"])
def test_a_refusal_needs_one_reason(why: str) -> None:
    with pytest.raises(LedgerError, match="expected one reason"):
        refusal(FIRST, "iter-00", why)
    with pytest.raises(LedgerError, match="expected one reason"):
        refusal(refusal(FIRST, "iter-00", "no"), "iter-00", "still no")
