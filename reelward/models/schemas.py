"""What a model may answer. Everything is bounded, and nothing beyond it is accepted.

The schemas are flat, and their JSON holds only what every server knows: no references, no optional
fields. Lengths are brought about here rather than asked for: too long is cut, not refused.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

HEADING = 300
"""most characters under one heading"""
KEPT = 0.7
"""share of a text that must survive as ASCII: else it is in another language"""


def plain(text: Any, most: int) -> Any:
    """One line of printable ASCII without angle brackets, so that it cannot leave its block."""
    if not isinstance(text, str):
        return text
    line = " ".join(unicodedata.normalize("NFKC", text).translate(_DASHES).split())
    ascii_only = "".join(c for c in line if " " <= c <= "~")
    if len(ascii_only) < KEPT * len(line):
        raise ValueError("expected English in plain ASCII")
    told = ascii_only.replace("<", "(").replace(">", ")")
    return told if len(told) <= most else told[: most - 3] + "..."


_DASHES = str.maketrans("‘’“”–—−×", "''\"\"---x")


def _line(most: int) -> BeforeValidator:
    return BeforeValidator(lambda text: plain(text, most))


class Answer(BaseModel):
    """A reply in the form that was asked for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @classmethod
    def form(cls) -> dict[str, Any]:
        """Its JSON schema, as strict servers want it."""
        whole = cls.model_json_schema()
        known = ("type", "enum", "items", "minimum", "maximum", "description")
        fields = {
            name: {k: v for k, v in field.items() if k in known}
            for name, field in whole["properties"].items()
        }
        return {
            "type": "object",
            "properties": fields,
            "required": list(fields),
            "additionalProperties": False,
        }

    @classmethod
    def salvage(cls, text: str) -> Self | None:
        """The answer in a text that is no JSON, where that can be told for certain."""
        return None


A = TypeVar("A", bound=Answer)


class Described(Answer):
    """The expert's motion in words, and what a learner is to be judged by."""

    description: Annotated[str, _line(900)] = Field(
        description="the motion, in at most 900 characters"
    )
    criteria: Annotated[list[Annotated[str, _line(160)]], Field(min_length=1, max_length=8)] = (
        Field(description="3 to 8 checkable criteria, the most telling first")
    )


Failure = Literal[
    "none", "fall", "stands_still", "wrong_direction", "wrong_speed", "hop", "no_alternation",
    "shuffle", "drag", "crouch", "stiff", "lean", "tremble", "other",
]  # fmt: skip


class Critique(Answer):
    """The paper's four headings (arXiv 2410.09286) and what code acts on."""

    wrong: Annotated[str, _line(HEADING)] = Field(description="what is wrong with the motion")
    rewrite: Annotated[str, _line(HEADING)] = Field(
        description="which part of the reward to change, and how"
    )
    remove: Annotated[str, _line(HEADING)] = Field(
        description="what to remove from the reward, or nothing"
    )
    add: Annotated[str, _line(HEADING)] = Field(description="what to add to the reward, or nothing")
    failure: Failure = Field(description="the failure that names it best")
    closer: Literal["A", "B", "same", "cannot_tell"] = Field(
        description="which robot moves more like the expert"
    )
    confidence: Annotated[float, Field(ge=0, le=1)] = Field(description="from 0 to 1")


class Written(Answer):
    """A reward file, whole."""

    note: Annotated[str, _line(200)] = Field(description="what it changes and why, in one line")
    reward: str = Field(description="the whole reward file")

    @classmethod
    def salvage(cls, text: str) -> Self | None:
        blocks = [b for b in _blocks(text) if re.search(r"^def reward\(", b, re.M)]
        if len(blocks) != 1:
            return None
        said = re.match(r'\s*"""(.+?)"""', blocks[0], re.S)
        return cls(note=said[1] if said else "no note", reward=blocks[0])


def parse(text: str, kind: type[A]) -> A:
    """The answer in `text`: bare, in a fenced block, or with prose around it. Raises ValueError with
    what is wrong in one line; two values for one key and NaN are wrong."""
    text = re.sub(r"<think>.*?</think>", "", text, flags=re.S).strip()
    begin, end = text.find("{"), text.rfind("}")
    complaint = "no JSON object in it"
    for part in dict.fromkeys((text, text[begin : end + 1], *_blocks(text))):
        if not part.lstrip().startswith("{"):
            continue
        try:
            found = json.loads(
                part, strict=False, object_pairs_hook=_once, parse_constant=_no_constant
            )
        except ValueError as e:
            complaint = str(e)
            continue
        try:
            return kind.model_validate(found)
        except ValueError as e:
            errors = e.errors() if isinstance(e, ValidationError) else []
            told = [f"{'.'.join(map(str, x['loc']))}: {x['msg']}" for x in errors[:4]]
            complaint = "; ".join(told) or str(e)
            break
    if (saved := kind.salvage(text)) is not None:
        return saved
    raise ValueError(" ".join(complaint.split())[:400])


def _blocks(text: str) -> list[str]:
    return re.findall(r"```[\w-]*[ \t]*\n(.*?)```", text, re.S)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if twice := [n for n in names if names.count(n) > 1]:
        raise ValueError(f"key {twice[0]!r} is given twice")
    return dict(pairs)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")
