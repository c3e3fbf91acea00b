"""Rows larger than memory: parquet shards -> whole encoded batches.

A chunk of row groups is read, encoded and shuffled at a time, and batches
are cut from it. So memory holds a chunk, however many shards there are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from mtlrec_utils.data.examples import Examples, concatenate
from mtlrec_utils.data.shards import (
    Shard,
    ShardError,
    open_shards,
    read_group,
)

__all__ = ["Position", "ShardStream"]


@dataclass(frozen=True, order=True)
class Position:
    """A place in the stream: before batch ``batch`` of epoch ``epoch``."""

    epoch: int = 0
    batch: int = 0


class _Group(NamedTuple):
    """One row group of a shard, and the number of its first row."""

    shard: Shard
    number: int
    first: int
    n_rows: int


class ShardStream:
    """Encoded batches from parquet shards, in a seeded order.

    The order of an epoch is drawn from (seed, epoch) alone: first the
    shards are shuffled, and the row groups within each; then every
    ``buffer_groups`` consecutive row groups make a chunk, whose rows are
    shuffled together. This is not a shuffle of all rows: two rows can meet
    in a batch only if their row groups meet in a chunk.

    Args:
        source: a folder of shards (``*.parquet``, by name) or the files.
        schema: fitted, encodes the rows.
        batch_size: rows per batch; an epoch's last may have fewer.
        seed: of the order; None keeps that of the files.
        buffer_groups: row groups in memory at a time.
        user: column that groups rows (see ``Schema.encode``).

    Attributes:
        n_rows: rows of all shards.
        batches_per_epoch: batches of one epoch.

    Raises:
        ShardError: a shard is truncated, damaged, or unlike the first.
        FileNotFoundError: there is no shard.
        ValueError: a size below 1, a negative seed, no rows.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        schema: Any,
        batch_size: int,
        *,
        seed: int | None = None,
        buffer_groups: int = 4,
        user: str | None = None,
    ) -> None:
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("buffer_groups", buffer_groups, 1),
            ("seed", 0 if seed is None else seed, 0),
        ):
            if value < least:
                raise ValueError(
                    f"ShardStream: {name}={value!r} must be at least {least}."
                )
        self.schema = schema
        self.batch_size = batch_size
        self.seed = seed
        self.buffer_groups = buffer_groups
        self._user = user
        self._columns = columns_read(schema, user)
        self.shards = open_shards(source, self._columns)
        self.n_rows = sum(sum(shard.groups) for shard in self.shards)
        if not self.n_rows:
            raise ValueError("ShardStream: the shards hold no rows.")
        self.batches_per_epoch = -(-self.n_rows // batch_size)

    def position(self, steps: int) -> Position:
        """Return where the stream stands after so many batches."""
        return Position(*divmod(steps, self.batches_per_epoch))

    def batches(
        self, start: Position | None = None, epochs: int = 1
    ) -> Iterator[tuple[Position, Examples]]:
        """Yield the batches from a position on.

        Those of a stream that starts later are exactly those that an
        uninterrupted one gives from there; only the chunk that holds the
        first of them is read for it, and none before.

        Args:
            start: where to begin; None is the very beginning.
            epochs: number of the epoch to end before.

        Yields:
            (position after this batch, the batch). ``rows`` of a batch
            count over all shards, in the order of the files.

        Raises:
            ShardError: a row group is damaged or does not fit the schema.
            ValueError: a position outside the epoch.
        """
        start = start or Position()
        if not 0 <= start.batch <= self.batches_per_epoch or start.epoch < 0:
            raise ValueError(
                f"ShardStream: {start} is not in a stream of "
                f"{self.batches_per_epoch} batches per epoch."
            )
        for epoch in range(start.epoch, epochs):
            first = start.batch if epoch == start.epoch else 0
            for batch, rows in enumerate(self._epoch(epoch, first), first):
                done = epoch * self.batches_per_epoch + batch + 1
                yield self.position(done), rows

    def _epoch(self, epoch: int, first: int) -> Iterator[Examples]:
        skipped = first * self.batch_size
        held: list[Examples] = []  # fewer rows than a batch
        n_held = 0
        for number, groups in enumerate(self._chunks(epoch)):
            n_rows = sum(group.n_rows for group in groups)
            if skipped >= n_rows:
                skipped -= n_rows
                continue
            rows = self._read(groups, epoch, number)
            at, skipped = skipped, 0
            while at < n_rows:
                part = rows.subset(slice(at, at + self.batch_size - n_held))
                at += len(part)
                n_held += len(part)
                held.append(part)
                if n_held == self.batch_size:
                    yield part if len(held) == 1 else concatenate(held)
                    held, n_held = [], 0
            if held:  # copies, so that the chunk itself can go
                held = [concatenate(held)]
            del rows
        if held:
            yield held[0]

    def _chunks(self, epoch: int) -> Iterator[list[_Group]]:
        """Yield the row groups of each chunk, in the epoch's order."""
        firsts = np.cumsum([0, *(sum(s.groups) for s in self.shards)])
        order = np.arange(len(self.shards))
        rng = None
        if self.seed is not None:
            rng = np.random.default_rng([self.seed, epoch])
            order = rng.permutation(order)
        chunk: list[_Group] = []
        for s in order:
            shard = self.shards[s]
            starts = firsts[s] + np.cumsum([0, *shard.groups[:-1]])
            inner = np.arange(len(shard.groups))
            if rng is not None:
                inner = rng.permutation(inner)
            for g in inner:
                chunk.append(
                    _Group(shard, int(g), int(starts[g]), shard.groups[g])
                )
                if len(chunk) == self.buffer_groups:
                    yield chunk
                    chunk = []
        if chunk:
            yield chunk

    def _read(
        self, groups: Sequence[_Group], epoch: int, chunk: int
    ) -> Examples:
        rows = concatenate(self._encoded(group) for group in groups)
        if self.seed is None:
            return rows
        rng = np.random.default_rng([self.seed, epoch, chunk, 1])
        return rows.subset(rng.permutation(len(rows)))

    def _encoded(self, group: _Group) -> Examples:
        frame = read_group(group.shard, group.number, self._columns)
        try:
            rows = self.schema.encode(frame, user=self._user)
        except ValueError as error:
            raise ShardError(
                f"{group.shard.path.name}, row group {group.number}: {error}"
            ) from error
        return replace(rows, rows=rows.rows + group.first)


def columns_read(schema: Any, user: str | None = None) -> list[str]:
    """Name the columns of a frame that a schema reads."""
    columns = [feature.column for feature in schema.features]
    for task in schema.tasks:
        columns += [task.label or task.name, task.sample_space]
    return list(dict.fromkeys(c for c in (*columns, user) if c is not None))
