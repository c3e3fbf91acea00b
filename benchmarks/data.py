"""One table of rows for all libraries: a planted model with known truth.

20 id fields of 10 to 200,000 values (log-spaced, Zipf 1.1), 5 numbers and
2 binary tasks. An id has a weight per task and a short vector; the logit is
the sum of weights, products of the fields' vectors and a bend in the
numbers. The tasks' weights are correlated.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

N_FIELDS = 20
SMALLEST, LARGEST = 10, 200_000
ZIPF = 1.1
N_NUMBERS = 5
TASKS = ("click", "conversion")
FIELDS = tuple(f"field_{f}" for f in range(N_FIELDS))
NUMBERS = tuple(f"number_{n}" for n in range(N_NUMBERS))
TRAIN_SHARE = 0.85
_VECTOR = 4


@dataclass(frozen=True)
class Table:
    """Rows as every library gets them.

    Attributes:
        ids: int32 [N, 20], from 0 in each field.
        numbers: float32 [N, 5].
        labels: float32 [N, 2], one column per task.
        truth: float32 [N, 2], probabilities of the labels.
        field_sizes: number of values of each field.
        n_train: rows to train on; the rest is the test part.
    """

    ids: np.ndarray
    numbers: np.ndarray
    labels: np.ndarray
    truth: np.ndarray
    field_sizes: tuple[int, ...]
    n_train: int

    def columns(self, rows: slice) -> dict[str, np.ndarray]:
        """Rows as one array per column, the form most libraries take."""
        ids = {
            name: np.ascontiguousarray(self.ids[rows, f])
            for f, name in enumerate(FIELDS)
        }
        numbers = {
            name: np.ascontiguousarray(self.numbers[rows, n])
            for n, name in enumerate(NUMBERS)
        }
        return {**ids, **numbers}

    @property
    def train_rows(self) -> slice:
        return slice(0, self.n_train)

    @property
    def test_rows(self) -> slice:
        return slice(self.n_train, len(self.ids))


def field_sizes(largest: int = LARGEST) -> tuple[int, ...]:
    """Numbers of values of the fields, from few to many."""
    return tuple(np.geomspace(SMALLEST, largest, N_FIELDS).round().astype(int))


def generate(n_rows: int, n_train: int, seed: int = 0) -> Table:
    """Draw the table; same arguments, same bytes."""
    rng = np.random.default_rng(seed)
    sizes = field_sizes()
    numbers = rng.normal(size=(n_rows, N_NUMBERS)).astype("float32")
    ids = np.empty((n_rows, N_FIELDS), "int32")
    weights = np.zeros((n_rows, len(TASKS)))
    vectors = np.zeros((n_rows, _VECTOR))
    squares = np.zeros((n_rows, _VECTOR))
    for f, size in enumerate(sizes):
        cumulated = np.cumsum(np.arange(1, size + 1) ** -ZIPF)
        draws = rng.random(n_rows) * cumulated[-1]
        ids[:, f] = np.searchsorted(cumulated, draws)
        effects = rng.normal(size=(size, 3))  # of both tasks, of each alone
        own = 0.8 * effects[:, :1] + 0.6 * effects[:, 1:]
        weights += own[ids[:, f]]
        vector = rng.normal(size=(size, _VECTOR))[ids[:, f]]
        vectors += vector
        squares += vector**2
    pairs = (vectors**2 - squares).sum(axis=1)
    bend = np.tanh(numbers[:, 0] * numbers[:, 1]) + np.abs(numbers[:, 2])
    logits = (
        np.array([-1.5, -2.5])
        + 1.4 * _standard(weights)
        + 0.7 * _standard(pairs)[:, None]
        + 0.7 * _standard(bend)[:, None] * np.array([1.0, -1.0])
        + 0.5 * numbers[:, 3:]
    )
    truth = 1 / (1 + np.exp(-logits))
    labels = rng.random(truth.shape) < truth
    return Table(
        ids,
        numbers,
        labels.astype("float32"),
        truth.astype("float32"),
        sizes,
        n_train,
    )


def _standard(values: np.ndarray) -> np.ndarray:
    return (values - values.mean(axis=0)) / values.std(axis=0)


def save(table: Table, path: Path) -> None:
    """Write the table; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            np.savez(file, **vars(table))
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def load(path: str | Path) -> Table:
    """Read a table that ``save`` wrote."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    sizes = tuple(int(size) for size in arrays.pop("field_sizes"))
    return Table(
        **{**arrays, "field_sizes": sizes, "n_train": int(arrays["n_train"])}
    )
