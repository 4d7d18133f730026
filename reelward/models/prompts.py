"""Prompts are files: prompts/NAME.md, in Jinja2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

PROMPTS = Path("prompts")


def render(name: str, **values: Any) -> str:
    """The text of prompts/NAME.md. A value that is missing is an error."""
    environment = Environment(
        loader=FileSystemLoader(PROMPTS), undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, autoescape=False,
    )  # fmt: skip
    return environment.get_template(f"{name}.md").render(values).strip() + "\n"
