"""What a model may answer. Everything is bounded, and unknown fields are dropped.

The schemas are flat, and their JSON has only the keywords that every server knows: no references,
no optional fields, no lengths. Lengths are stated in the descriptions; a longer text is cut and
ends in "...", because one too many words should not cost an answer.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Annotated, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
)

from reelward.models.thoughts import without_thoughts

HEADING = 300
"""most characters under a heading of a critique"""
DESCRIPTION = 900
CRITERION = 300
CRITERIA = 8
NOTE = 200
STARTS = 16
"""opening braces at which an answer is looked for"""
NO_NOTE = "no note"


def plain(text: object, most: int) -> object:
    """One printable line in any language, without angle brackets, so that it cannot leave its block
    in a prompt. Raises ValueError if nothing of it can be printed."""
    if not isinstance(text, str):
        return text  # the schema refuses it
    line = " ".join(unicodedata.normalize("NFKC", text).translate(_PUNCTUATION).split())
    safe = "".join(c for c in line if c.isprintable()).replace("<", "(").replace(">", ")")
    if line and not safe:
        raise ValueError("expected printable text")
    return safe if len(safe) <= most else safe[: most - 3] + "..."


_PUNCTUATION = str.maketrans("‘’“”–—−×", "''\"\"---x")


def _line(most: int) -> BeforeValidator:
    return BeforeValidator(lambda text: plain(text, most))


def _note(note: object) -> object:
    """A note of any form as a line: a reward is not lost for what is said about it."""
    if isinstance(note, list):
        note = " ".join(map(str, note))
    return (plain(note, NOTE) if isinstance(note, str) else "") or NO_NOTE


def _whole_characters(text: str) -> str:
    """Refuses halves of characters, which JSON may hold and a file may not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("expected whole characters, got half of one") from None
    return text


def _lines(text: object) -> object:
    """A file that comes as a list of its lines, as one text."""
    if isinstance(text, list) and all(isinstance(line, str) for line in text):
        return "\n".join(line.rstrip("\n") for line in text)
    return text


class Answer(BaseModel):
    """An answer in the form that a prompt asks for."""

    model_config = ConfigDict(extra="ignore", strict=True)

    @classmethod
    def form(cls) -> dict[str, JsonValue]:
        """The JSON schema, as strict servers require it."""
        known = ("type", "enum", "items", "minimum", "maximum", "description")
        fields: dict[str, JsonValue] = {
            name: {key: value for key, value in field.items() if key in known}
            for name, field in cls.model_json_schema()["properties"].items()
        }
        return {
            "type": "object",
            "properties": fields,
            "required": list[JsonValue](fields),
            "additionalProperties": False,
        }

    @classmethod
    def salvage(cls, text: str) -> Self | None:
        """The answer in a text without JSON, if there is no doubt about it."""
        return None


A = TypeVar("A", bound=Answer)


class DescriptionAnswer(Answer):
    """The expert's motion in words, and the criteria for every learner."""

    description: Annotated[str, _line(DESCRIPTION)] = Field(
        description=f"the motion, at most {DESCRIPTION} characters"
    )
    criteria: Annotated[
        list[Annotated[str, _line(CRITERION)]], Field(min_length=1, max_length=CRITERIA)
    ] = Field(
        description=f"3 to {CRITERIA} checkable criteria, the most telling first, "
        f"each at most {CRITERION} characters"
    )


Failure = Literal[
    "none", "fall", "stands_still", "wrong_direction", "wrong_speed", "hop", "no_alternation",
    "shuffle", "drag", "crouch", "stiff", "lean", "tremble", "other",
]  # fmt: skip


def _name(text: object) -> object:
    """`Robot A` as A, `Stands still` as stands_still."""
    if not isinstance(text, str):
        return text
    word = re.sub(r"[\W_]+", "_", text).strip("_").lower().removeprefix("robot_")
    return word.upper() if word in ("a", "b") else word


def _share(confidence: object) -> object:
    """A confidence in percent as a fraction; 2 to 9 may be of any scale."""
    text = confidence.strip().removesuffix("%") if isinstance(confidence, str) else confidence
    with suppress(TypeError, ValueError):
        return float(text) / 100 if 10 <= float(text) <= 100 else confidence  # type: ignore[arg-type]
    return confidence


class CritiqueAnswer(Answer):
    """The four headings of a critique (arXiv 2410.09286), and the fields that code acts on."""

    wrong: Annotated[str, _line(HEADING)] = Field(
        description=f"what is wrong with the motion, at most {HEADING} characters"
    )
    rewrite: Annotated[str, _line(HEADING)] = Field(
        description=f"which part of the reward to rewrite and how, at most {HEADING} characters"
    )
    remove: Annotated[str, _line(HEADING)] = Field(
        description=f"what to remove from the reward, or nothing, at most {HEADING} characters"
    )
    add: Annotated[str, _line(HEADING)] = Field(
        description=f"what to add to the reward, or nothing, at most {HEADING} characters"
    )
    failure: Annotated[Failure, BeforeValidator(_name)] = Field(
        description="the name that fits the failure best"
    )
    closer: Annotated[Literal["A", "B", "same", "cannot_tell"], BeforeValidator(_name)] = Field(
        description="which robot moves more like the expert"
    )
    confidence: Annotated[float, Field(ge=0, le=1), BeforeValidator(_share)] = Field(
        description="from 0 to 1"
    )


class RewardAnswer(Answer):
    """A whole reward file."""

    note: Annotated[str, BeforeValidator(_note)] = Field(
        default=NO_NOTE,
        description=f"what it changes and why, in one line of at most {NOTE} characters",
    )
    reward: Annotated[str, BeforeValidator(_lines), AfterValidator(_whole_characters)] = Field(
        description="the whole reward file"
    )

    @classmethod
    def salvage(cls, text: str) -> Self | None:
        rewards = [block for block in _blocks(text) if re.search(r"^def reward\(", block, re.M)]
        if len(rewards) != 1:
            return None
        docstring = re.match(r'\s*"""(.+?)"""', rewards[0], re.S)
        return cls(note=docstring[1] if docstring else NO_NOTE, reward=rewards[0])


def parse(text: str, schema: type[A]) -> A:
    """The answer in a reply: bare, in a fenced block, alone in a list, or with prose around it; the
    last one if there are several. Raises ValueError with what is wrong in one line; a key that is
    given twice and NaN are wrong."""
    text = without_thoughts(text)
    if text.startswith('"{'):  # JSON in a JSON string
        with suppress(ValueError):
            text = str(json.loads(text, strict=False))
    begin, end = text.find("{"), text.rfind("}")
    no_answers, no_json = list[str](), list[str]()
    for part in dict.fromkeys((text, text[begin : end + 1], *reversed(_blocks(text)))):
        if not re.match(r"\s*(\[\s*)?\{", part):
            continue
        try:
            return _answer(part, schema)
        except ValidationError as e:
            errors = [f"{'.'.join(map(str, x['loc']))}: {x['msg']}" for x in e.errors()[:4]]
            no_answers.append("; ".join(errors))
        except (ValueError, RecursionError) as e:
            no_json.append(str(e))
    for begin in _last_braces(text):
        with suppress(ValueError, RecursionError):
            return schema.model_validate(_decoder.raw_decode(text, begin)[0])
    if (salvaged := schema.salvage(text)) is not None:
        return salvaged
    complaint = next(iter(no_answers + no_json), "no JSON object in it")
    line = " ".join(complaint.split())[:400]  # it may name keys that the model chose
    raise ValueError("".join(c if " " <= c <= "~" else f"\\u{ord(c):04x}" for c in line))


def whole(text: str, schema: type[Answer]) -> str | None:
    """The part of a reply that was cut off which is a whole answer: a JSON object that is closed and
    after which no other begins, or the one reward in blocks that are all closed. None if there is
    none."""
    begin = -1
    for _ in range(STARTS):
        if (begin := text.find("{", begin + 1)) < 0:
            break
        with suppress(ValueError, RecursionError):
            value, end = _decoder.raw_decode(text, begin)
            schema.model_validate(value)
            return None if re.search(r'\{\s*("|$)', text[end:]) else text[begin:end]
    closed = text.count("```") % 2 == 0 and schema.salvage(text) is not None
    return text if closed else None


def _answer(part: str, schema: type[A]) -> A:
    """The answer that a text is from end to end, also alone in a list or under a name of its own."""
    values = _decoder.decode(part.strip())
    while True:
        inner = values if isinstance(values, list) else []
        if isinstance(values, dict) and not values.keys() & schema.model_fields.keys():
            inner = [value for value in values.values() if isinstance(value, dict)]
        if len(inner) != 1:
            return schema.model_validate(values)
        values = inner[0]


def _last_braces(text: str) -> Iterator[int]:
    """Places of the last opening braces, the last one first."""
    begin = len(text)
    for _ in range(STARTS):
        begin = text.rfind("{", 0, begin)
        if begin < 0:
            return
        yield begin


def _blocks(text: str) -> list[str]:
    return re.findall(r"```[\w-]*[ \t]*\n(.*?)```", text, re.S)


def _unique(pairs: Sequence[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    values: dict[str, JsonValue] = {}
    for name, value in pairs:
        if name in values:
            raise ValueError(f"key {name!r} is given twice")
        values[name] = value
    return values


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


_decoder = json.JSONDecoder(strict=False, object_pairs_hook=_unique, parse_constant=_no_constant)
