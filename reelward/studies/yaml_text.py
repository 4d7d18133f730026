"""Read YAML as DVC does, and edit it so that comments and form stay."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

_NULL = "tag:yaml.org,2002:null"


def edited(text: str, edit: Callable[[CommentedMap], None]) -> str:
    """`text`, a YAML mapping, after `edit` has changed it in place."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 10**6
    yaml.representer.add_representer(
        type(None), lambda representer, _: representer.represent_scalar(_NULL, "null")
    )
    root = yaml.load(text)
    edit(root)
    out = io.StringIO()
    yaml.dump(root, out)
    return out.getvalue()


def loaded(text: str) -> Any:
    """The content of a YAML text. Raises ruamel.yaml.YAMLError."""
    return YAML(typ="safe").load(text)
