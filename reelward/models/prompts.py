"""Prompts are files: prompts/NAME.md, in Jinja2."""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

PROMPTS = Path("prompts")

Variables = dict[str, object]
"""values of a prompt, by the names that its file uses"""


def render(name: str, /, **variables: object) -> str:
    """The text of prompts/NAME.md. A missing variable is an error."""
    environment = Environment(
        loader=FileSystemLoader(PROMPTS), undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, autoescape=False,
    )  # fmt: skip
    environment.filters["fenced"] = fenced
    return environment.get_template(f"{name}.md").render(variables).strip() + "\n"


def fenced(text: str, language: str) -> str:
    """A text as a block of code in Markdown, in a fence that no backticks of the text can close."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def figure(value: float | None) -> str:
    """A number in a prompt; a dash for one that was not measured."""
    return "-" if value is None else f"{value:.3g}"
