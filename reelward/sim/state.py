"""The state that rewards and policies read: named fields, computed when they are first read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from torch import Tensor


class State(Mapping[str, Tensor]):
    """The fields of N environments, `[N, *shape]`. Each is computed when it is first read after a
    step and kept until the next."""

    def __init__(self, compute: Mapping[str, Callable[[], Tensor]]) -> None:
        self._compute = dict(compute)
        self._values: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._values:
            self._values[name] = self._compute[name]()
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._compute)

    def __len__(self) -> int:
        return len(self._compute)

    def forget(self) -> None:
        """The simulations have changed: compute every field anew."""
        self._values.clear()


class Share(Mapping[str, Tensor]):
    """The fields of some of the environments."""

    def __init__(self, fields: State, rows: slice) -> None:
        self._fields, self._rows = fields, rows

    def __getitem__(self, name: str) -> Tensor:
        return self._fields[name][self._rows]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


def of_shares(fields: State, shares: Sequence[slice]) -> Sequence[Mapping[str, Tensor]]:
    """The fields of each share of the environments."""
    return [fields] if len(shares) == 1 else [Share(fields, rows) for rows in shares]
