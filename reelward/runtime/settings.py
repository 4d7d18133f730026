"""How a run is carried out: environment variables REELWARD_NAME and the file local.yaml."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from reelward.runtime.errors import InputError
from reelward.runtime.validation import expected, nearest, read_yaml, shortened

SETTINGS = (
    "renderer", "pull", "checkpoint_s", "require_jail", "debug", "mode", "calls", "call_seconds",
    "retry_seconds", "critic_server", "author_server", "budget_calls", "budget_tokens",
    "budget_money", "prices",
)  # fmt: skip
"""Keys of local.yaml. Others are refused: a misspelt budget would be no budget."""


def setting(name: str, default: Any = None) -> Any:
    """The setting `name`: from the environment (REELWARD_NAME), else from local.yaml, else `default`.
    The value is converted to the type of `default`; a number is finite and at least 0. Raises InputError
    where it cannot be."""
    value = os.environ.get(f"REELWARD_{name.upper()}")
    if value is None and (local := Path("local.yaml")).is_file():
        settings = read_yaml(local)
        for key in settings.keys() - set(SETTINGS):
            raise InputError(f"{local}: {shortened(key)}: unknown key; {nearest(key, SETTINGS)}")
        value = settings.get(name)
    if value is None or default is None or isinstance(default, str):
        return default if value is None else value
    try:
        kind: Any = bool if isinstance(default, bool) else type(default)
        if kind in (int, float):
            kind = Annotated[kind, Field(ge=0, allow_inf_nan=None if kind is int else False)]
        return TypeAdapter(kind).validate_python(value)
    except ValidationError:
        raise InputError(
            f"{name} = {shortened(value)} (REELWARD_{name.upper()} or local.yaml): "
            f"expected {expected(kind)}"
        ) from None
