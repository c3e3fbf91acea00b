"""Encoded rows: arrays that stay together.

`Examples` is what a schema makes of a frame and what a model trains on.
Splits of frames come from `mtlrec_utils.data.splits`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mtlrec_utils.data.splits import split_at_random, split_by_time

__all__ = ["Examples", "concatenate", "split_at_random", "split_by_time"]


@dataclass(frozen=True, eq=False, repr=False)
class Examples:
    """N encoded rows. The arrays are read-only views.

    Attributes:
        ids: int32 [N, C], row numbers per field (see `Schema.id_columns`).
        numbers: float32 [N, M], scaled numbers.
        labels: task -> [N], float32 (int32 for multiclass), 0 where masked.
        masks: task -> float32 [N], 1 where the label is known, else 0.
        users: int64 [N], group of each row, or None.
        rows: int64 [N], position of each row in the encoded frame.
    """

    ids: np.ndarray
    numbers: np.ndarray
    labels: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]
    users: np.ndarray | None
    rows: np.ndarray

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "ids", _frozen(self.ids, np.int32))
        set_(self, "numbers", _frozen(self.numbers, np.float32))
        set_(self, "rows", _frozen(self.rows, np.int64))
        if self.users is not None:
            set_(self, "users", _frozen(self.users, np.int64))
        labels = {t: _label_array(a) for t, a in self.labels.items()}
        masks = {t: _frozen(a, np.float32) for t, a in self.masks.items()}
        set_(self, "labels", labels)
        set_(self, "masks", masks)
        self._check()

    def _check(self) -> None:
        if self.ids.ndim != 2 or self.numbers.ndim != 2:
            raise ValueError(
                f"Examples: ids {self.ids.shape} and numbers "
                f"{self.numbers.shape} must be matrices with a row per "
                "example. Use shape [N, 0] when there are none."
            )
        if set(self.labels) != set(self.masks):
            raise ValueError(
                f"Examples: labels of {sorted(self.labels)} but masks of "
                f"{sorted(self.masks)}. Give each task both."
            )
        n = len(self.ids)
        if len(self.numbers) != n:
            raise ValueError(
                f"Examples: {len(self.numbers)} rows of numbers for {n} "
                "rows of ids. All parts need one entry per row."
            )
        parts: dict[str, np.ndarray | None] = {
            "rows": self.rows,
            "users": self.users,
            **{f"labels[{t!r}]": a for t, a in self.labels.items()},
            **{f"masks[{t!r}]": a for t, a in self.masks.items()},
        }
        for name, array in parts.items():
            if array is not None and array.shape != (n,):
                raise ValueError(
                    f"Examples: {name} has shape {array.shape}, but ids "
                    f"have {n} rows. All parts need one entry per row."
                )
        for task, mask in self.masks.items():
            if np.isnan(self.labels[task]).any():
                raise ValueError(
                    f"Examples: labels of {task!r} hold NaN, and NaN times "
                    "a mask of 0 is NaN in a loss. Put 0 where masked."
                )
            if not ((mask == 0) | (mask == 1)).all():
                raise ValueError(
                    f"Examples: the mask of {task!r} must be 0 or 1. Pass "
                    "row weights to the loss instead."
                )

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        tasks = ", ".join(
            f"{task} {self.observed(task):,}" for task in self.labels
        )
        return (
            f"Examples({len(self):,} rows, {self.ids.shape[1]} id columns, "
            f"{self.numbers.shape[1]} numbers; labels: {tasks or 'none'})"
        )

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        """What a model reads: {"ids": [N, C], "numbers": [N, M]}."""
        return {"ids": self.ids, "numbers": self.numbers}

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks that have labels."""
        return tuple(self.labels)

    def observed(self, task: str) -> int:
        """Return how many rows have a known label of `task`."""
        return int(np.count_nonzero(self.masks[self._known(task)]))

    def subset(self, index: Any) -> Examples:
        """Return the chosen rows, in the order chosen.

        Args:
            index: positions (integers; they may repeat), a boolean array
                [N], or a slice.

        Raises:
            ValueError: a boolean array of another length, a position
                outside the rows, or something that is neither.
        """
        return self._take(self._positions(index))

    def _take(self, chosen: np.ndarray | slice) -> Examples:
        # Rows of checked examples need no second check: a batch costs
        # little more than its gathers.
        def part(array: np.ndarray) -> np.ndarray:
            taken = array[chosen]
            taken.flags.writeable = False
            return taken

        taken = object.__new__(Examples)
        set_ = object.__setattr__
        set_(taken, "ids", part(self.ids))
        set_(taken, "numbers", part(self.numbers))
        set_(taken, "rows", part(self.rows))
        users = None if self.users is None else part(self.users)
        set_(taken, "users", users)
        for name in ("labels", "masks"):
            arrays = getattr(self, name)
            set_(taken, name, {t: part(a) for t, a in arrays.items()})
        return taken

    def _positions(self, index: Any) -> np.ndarray | slice:
        if isinstance(index, slice):
            return index
        chosen = np.asarray(index)
        if chosen.size == 0 and chosen.dtype != bool:
            chosen = chosen.astype(np.int64)
        if chosen.ndim != 1 or chosen.dtype.kind not in "biu":
            raise ValueError(
                "Examples.subset: index must be a one-dimensional array of "
                f"positions or booleans, got shape {chosen.shape} of "
                f"{chosen.dtype}."
            )
        if chosen.dtype == bool and len(chosen) != len(self):
            raise ValueError(
                f"Examples.subset: {len(chosen)} booleans for {len(self)} "
                "rows. Build the condition from arrays of these examples."
            )
        if chosen.dtype != bool and chosen.size:
            low, high = int(chosen.min()), int(chosen.max())
            if low < -len(self) or high >= len(self):
                raise ValueError(
                    f"Examples.subset: positions {low} to {high} for "
                    f"{len(self)} rows. Positions count from 0 within "
                    "these examples; `rows` counts in the encoded frame."
                )
        return chosen

    def batches(
        self, batch_size: int, seed: int | None = None
    ) -> Iterator[Examples]:
        """Yield whole batches; the last one may be smaller.

        Args:
            batch_size: rows per batch.
            seed: shuffle the rows; None keeps their order.
        """
        if batch_size < 1:
            raise ValueError(
                f"Examples.batches: batch_size={batch_size!r} must be at "
                "least 1."
            )
        order = None
        if seed is not None:
            order = np.random.default_rng(seed).permutation(len(self))
        for start in range(0, len(self), batch_size):
            part = slice(start, start + batch_size)
            yield self._take(part if order is None else order[part])

    def keep_labels(self, task: str, n: int, seed: int) -> Examples:
        """Hide all but `n` known labels of one task.

        Rows and other tasks stay as they are. With one seed the choices
        are nested: the labels kept for a small n are among those kept for
        a larger one.

        Raises:
            ValueError: fewer than `n` labels are known.
        """
        labels, masks = self.labels[self._known(task)], self.masks[task]
        known = np.flatnonzero(masks)
        if not 0 <= n <= len(known):
            raise ValueError(
                f"Examples.keep_labels: n={n} for task {task!r}, which has "
                f"{len(known)} known labels. Choose n from 0 to that."
            )
        kept = np.random.default_rng(seed).permutation(known)[:n]
        mask = np.zeros_like(masks)
        mask[kept] = 1
        hidden = np.where(mask == 1, labels, labels.dtype.type(0))
        return replace(
            self,
            labels={**self.labels, task: hidden},
            masks={**self.masks, task: mask},
        )

    def with_tasks(self, names: Iterable[str]) -> Examples:
        """Return the same rows with only the named tasks' labels."""
        if isinstance(names, str):
            names = [names]
        chosen = [self._known(name) for name in names]
        return replace(
            self,
            labels={name: self.labels[name] for name in chosen},
            masks={name: self.masks[name] for name in chosen},
        )

    def _known(self, task: str) -> str:
        if task not in self.labels:
            raise ValueError(
                f"Examples have no labels of task {task!r}. They have "
                f"{', '.join(self.labels) or 'none'}."
            )
        return task


def concatenate(parts: Iterable[Examples]) -> Examples:
    """Join examples of one schema, first part first.

    `rows` are kept: they still count within each part's own frame.

    Raises:
        ValueError: nothing to join, or parts that do not fit together.
    """
    parts = list(parts)
    if not parts:
        raise ValueError("concatenate: no examples given.")
    first = parts[0]
    for part in parts[1:]:
        same = (
            part.ids.shape[1] == first.ids.shape[1]
            and part.numbers.shape[1] == first.numbers.shape[1]
            and set(part.labels) == set(first.labels)
            and (part.users is None) == (first.users is None)
        )
        if not same:
            raise ValueError(
                f"concatenate: {first!r} and {part!r} differ in columns, "
                "tasks or users. Encode both with one schema and the same "
                "options."
            )
    users = None
    if first.users is not None:
        users = np.concatenate([part.users for part in parts])
    return Examples(
        ids=np.concatenate([part.ids for part in parts]),
        numbers=np.concatenate([part.numbers for part in parts]),
        labels={
            t: np.concatenate([part.labels[t] for part in parts])
            for t in first.labels
        },
        masks={
            t: np.concatenate([part.masks[t] for part in parts])
            for t in first.labels
        },
        users=users,
        rows=np.concatenate([part.rows for part in parts]),
    )


def _label_array(array: Any) -> np.ndarray:
    whole = np.asarray(array).dtype.kind in "iu"
    return _frozen(array, np.int32 if whole else np.float32)


def _frozen(array: Any, dtype: Any) -> np.ndarray:
    """Return a read-only view; the caller's own array stays writable."""
    view = np.asarray(array, dtype=dtype).view()
    view.flags.writeable = False
    return view
