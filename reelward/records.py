"""What crosses a stage as JSON: one frozen pydantic model for each kind of file.

  provenance.json      Provenance   where the video comes from
  proposal.json        Proposal     the author's candidates
  candidates/index.json Candidates  each candidate checked; later stages copy it and add failures
  critique.json        Judgement    the critic's word on each candidate, and the measure's
  feedback.json        Feedback     what an iteration brought, for the next author
  criteria.json        Criteria     what the critic will judge by
  stats.json           Stats        how the episodes of a rollout went
  gait.json            ExpertGait   what training must know of the expert

`files.read_record` and `files.write_record` are their only way from and to the disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

AuthorKind = Literal["measured", "llm", "fixed"]
CriticKind = Literal["measured", "vlm", "person"]
MeasureKind = Literal["gait", "fitness"]
Evidence = Literal["critique", "sheets", "terms"]
Start = Literal["scratch", "warm"]
Verdict = Literal["better", "same", "worse", "cannot_tell"]

ASK_A_MODEL: frozenset[str] = frozenset({"llm", "vlm"})  # authors and critics
HEADINGS = ("wrong", "rewrite", "remove", "add")  # of a critique (arXiv 2410.09286)

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
"""Of a candidate and of its files and folders: it must not lead out of them."""


class Record(BaseModel):
    """Base of all records: immutable, and without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# --- calls of models ---------------------------------------------------------------------------


class ModelSettings(Record):
    """A language model in a role, as params.yaml names it."""

    name: str | None
    temperature: float | None
    """None: the server's own."""
    max_tokens: int
    """Most tokens of an answer."""


class Message(Record):
    """A turn of a conversation with a model."""

    role: Literal["user", "assistant"]
    text: str
    pictures: tuple[str, ...] = ()
    """SHA-256 digests of JPEG files."""


class Request(Record):
    """All that decides a model's answer: neither the address of its server nor what that can do."""

    role: str
    model: str
    answer: str
    """Name of the schema that the answer follows."""
    max_tokens: int
    temperature: float | None
    repeat: int
    """0, or 1 when the question is asked again after an empty or cut reply."""
    messages: tuple[Message, ...]


class Reply(Record):
    """What a model answered, before anything is made of it."""

    text: str
    refusal: str | None
    finish: str
    """Why the model stopped; `length` means cut off at max_tokens."""
    model: str
    """That answered; empty where the server gives no name."""
    prompt_tokens: int | None
    completion_tokens: int | None
    """None where the server does not count."""


class Exchange(Record):
    request: Request
    reply: Reply


class ModelCalls(Record):
    """Which model answered, and every call that was made for an output."""

    model: str
    answered_by: tuple[str, ...]
    scripted: bool
    """A script answered in place of a model."""
    calls: tuple[Exchange, ...]


# --- the expert --------------------------------------------------------------------------------


class VideoSource(Record):
    """Where the expert's video comes from, and what was cut out of it."""

    source: str
    """Address, or name of a file."""
    title: str | None
    author: str | None
    licence: str | None
    """None where neither the site nor the user names one."""
    source_sha256: str
    sha256: str
    """Of the video that was cut out."""
    section_s: tuple[float, float]
    """Start and end in the source (s)."""
    crop_px: tuple[int, int, int, int]
    """x, y, width and height in the source."""
    frames: int
    seconds: float
    width: int
    height: int
    fps: float

    @property
    def name(self) -> str:
        return self.title or self.source

    @property
    def link(self) -> str | None:
        """The address where it can be watched; None for a file and a wheel."""
        links = (
            x for x in (self.title, self.source) if x and x.startswith(("https://", "http://"))
        )
        return next(links, None)


class Provenance(Record):
    """Where the expert comes from; `video` is None for a study without one."""

    video: VideoSource | None


class ExpertGait(Record):
    """What training must know of the expert: `alternate`, the legs do the same half a cycle apart."""

    alternate: bool


class Criteria(Record):
    """What the critic will judge by, fixed before it sees a robot."""

    description: str
    criteria: tuple[str, ...]
    model_calls: ModelCalls | None = None


# --- what the author proposes ------------------------------------------------------------------


class Proposed(Record):
    """What a candidate is called and how its training begins."""

    name: Name
    start: Start
    """From scratch, or warm from the parent's policy."""
    number: int
    """Its place among the candidates, from 0; it enters the seed of the training."""
    note: str
    """What was changed and why, in a few words."""
    error: str | None = None
    """Why it was not written, was refused, or failed."""


class Candidate(Proposed):
    """A proposed reward."""

    source: str
    """Text of the reward file."""


C = TypeVar("C", bound=Sequence[Proposed])


def distinct(candidates: C) -> C:
    """Raises ValueError where two candidates have the same name, so the same files."""
    if len({c.name.lower() for c in candidates}) < len(candidates):
        raise ValueError("expected candidates of different names")
    return candidates


class Proposal(Record):
    """The candidates of one iteration."""

    author: AuthorKind
    candidates: Annotated[tuple[Candidate, ...], AfterValidator(distinct)]
    model_calls: ModelCalls | None = None


class CheckedCandidate(Proposed):
    """A candidate after its check: the reward's facts, or why it was refused or failed."""

    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}\.py$")] | None
    """Name of the reward file beside the index; None where the reward was refused."""
    terms: tuple[str, ...] = ()
    period: float | None = None
    """Of the gait clock (s)."""
    targets: dict[str, float] = {}
    weights: dict[str, float] = {}

    def failed(self, why: str | None) -> CheckedCandidate:
        """The same candidate with an error, if `why` is one and it had none."""
        return self.model_copy(update={"error": self.error or why})


class Candidates(Record):
    """All candidates of an iteration, in the author's order; refused and failed ones keep their place."""

    candidates: Annotated[tuple[CheckedCandidate, ...], AfterValidator(distinct)]

    @property
    def sound(self) -> tuple[CheckedCandidate, ...]:
        return tuple(c for c in self.candidates if c.error is None)


# --- what was measured and judged --------------------------------------------------------------


class Row(Record):
    """One figure of a measure, expert and learner side by side."""

    name: str
    unit: str
    expert: float | None
    learner: float | None
    """None where the learner's motion does not show it."""
    off: float | None
    """Learner minus expert in tolerances."""
    tolerance: float
    weight: float
    part: float | None
    """What the figure earns, from 0 at the tolerance to 1 at no difference."""
    words: str = ""
    """The difference in plain words, such as "the knee bends too much"."""
    why: str = ""
    """Why the figure cannot be used; empty where it can."""

    @property
    def usable(self) -> bool:
        return not self.why


class Comparison(Record):
    """What a measure says of a learner beside the expert."""

    closeness: float
    """From 0 to 1."""
    survival: float
    """Share of the episode without a fall."""
    gates: dict[str, bool]
    """Conditions that a learner must meet to be selected."""
    failure: str = "none"
    """The failure that the gates show: fall, hop, wrong_speed, ..."""
    rows: tuple[Row, ...]

    @property
    def eligible(self) -> bool:
        return all(self.gates.values())

    @property
    def usable_rows(self) -> tuple[Row, ...]:
        """Rows that count, the largest difference first."""
        usable = [row for row in self.rows if row.usable]
        return tuple(sorted(usable, key=lambda r: -abs(9.0 if r.off is None else r.off)))

    def gain_over(self, before: Comparison) -> float:
        """Closeness gained. While neither has any, the survival gained: a learner that falls is not
        measured, and one that falls later is nearer to being measured."""
        if self.closeness or before.closeness:
            return self.closeness - before.closeness
        return self.survival - before.survival

    def figure(self, name: str) -> float | None:
        """The learner's figure `name`, None where the expert has none to compare it with."""
        return next((r.learner for r in self.rows if r.name == name and r.usable), None)


class Critique(Comparison):
    """A critic's word on one candidate beside the measure's figures."""

    wrong: str = ""
    rewrite: str = ""
    remove: str = ""
    add: str = ""
    verdict: Verdict
    """Against the parent's best."""
    measured_verdict: Verdict
    """What the measure alone says."""
    confidence: float = 0.0
    contested_because: tuple[str, ...] = ()
    """Why the critic's verdict does not count; empty where it does."""

    @property
    def contested(self) -> bool:
        return bool(self.contested_because)

    @property
    def headings(self) -> dict[str, str]:
        return {name: getattr(self, name) for name in HEADINGS}


class Judgement(Record):
    """All critiques of an iteration."""

    critic: CriticKind
    parent: Critique
    """The parent's best, by the measure alone."""
    candidates: dict[Name, Critique]
    model_calls: ModelCalls | None = None


class Stats(Record):
    """How the episodes of a rollout went."""

    episodes: int
    seconds: float
    lived_s: tuple[float, ...]
    """Of each episode, the time before a fall (s)."""
    term_means: dict[str, float]
    """Mean of each reward term a step."""


# --- what an iteration brought -----------------------------------------------------------------


class TermCurve(Record):
    """One reward term over a training."""

    min: float
    mean: float
    max: float
    share: float
    """Of the absolute sum of all terms."""
    points: tuple[float | None, ...]


class Training(Record):
    """A learning curve at a few moments."""

    env_steps: tuple[float | None, ...]
    returns: tuple[float | None, ...]
    episode_length: tuple[float | None, ...]
    terms: dict[str, TermCurve]


class Trial(Record):
    """A candidate that was trained and judged: what it aimed at, and what it reached."""

    name: str
    parent: str
    start: Start
    note: str
    targets: dict[str, float]
    weights: dict[str, float]
    figures: dict[str, float | None]
    """The learner's figures by name."""
    closeness: float
    eligible: bool
    failure: str


class Feedback(Record):
    """What an iteration brought. The default is the state before the first iteration."""

    iteration: str = "seed"
    number: int = -1
    selected: str = ""
    """The reward to go on from: iteration/candidate."""
    env_steps: int = 0
    """Of the selected policy, its warm starts included."""
    region: float = 1.0
    """How far the measured author may move next."""
    critique: Critique | None = None
    """Of the selected candidate."""
    training: Training | None = None
    advice: str = ""
    """What to change where the loop does not advance; empty where it does."""
    refused: dict[str, str] = {}
    trials: tuple[Trial, ...] = ()

    @property
    def first(self) -> bool:
        return self.number < 0
