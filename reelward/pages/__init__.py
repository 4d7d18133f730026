"""Self-contained HTML pages: the frame, the style and the macros that all pages share."""

from __future__ import annotations

from pathlib import Path

import jinja2

SHARED = Path(__file__).parent


def render(template: Path, **context: object) -> str:
    """The page of a Jinja template, which extends `frame.html` and includes the CSS and the JavaScript
    beside it. All text from outside is escaped; a name that is missing is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, SHARED]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": count, "number": number, "fixed": fixed, "percent": percent}
    return environment.get_template(template.name).render(context)


def count(value: int) -> str:
    """A whole number in groups of three digits."""
    return _minus(f"{value:,}").replace(",", "\u202f")


def number(value: object, digits: int = 3) -> str:
    """A number with `digits` significant digits; a dash for None; other values as they are."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return count(round(value)) if abs(value) >= 1000 else _minus(f"{value:.{digits}g}")


def fixed(value: float, digits: int) -> str:
    """A number with `digits` decimals; zero has no sign."""
    return _minus(f"{value:z.{digits}f}")


def percent(fraction: float) -> str:
    return f"{100 * fraction:.0f}\u00a0%"


def _minus(text: str) -> str:
    return text.replace("-", "−")
