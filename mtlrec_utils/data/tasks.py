"""Tasks: what a model predicts, and on which rows it is known."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from mtlrec_utils.data.columns import SchemaError, column_of, read_numbers

KINDS = ("binary", "regression", "multiclass")

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_WITHOUT = "Rows that have no labels yet: encode(frame, labels=False)."
_FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Task:
    """One thing to predict.

    Attributes:
        name: letters, digits and underscores; names the model's output.
        kind: "binary" (labels 0 and 1), "regression" (any finite number)
            or "multiclass" (whole numbers 0 .. classes - 1).
        label: column of the label; the task's name when None.
        sample_space: a 0/1 column: the task lives on the rows where it is
            1 (purchases on clicked rows, for example). None: all rows.
        classes: number of classes (multiclass only).
        missing: what a missing label inside the sample space means:
            "error" refuses the frame, "masked" leaves the row out.
        outside: the label of rows outside the sample space, when those
            rows have one after all. "Clicked and bought" lives on every
            row and is 0 where nobody clicked:
            Task("click_and_purchase", label="purchase",
            sample_space="click", outside=0). None: those rows are masked.
        scale: "standard" trains a regression on (label - center) / spread,
            so that its loss is of the size of the others': 1 for who
            predicts the mean. Labels, predictions and metrics keep the
            label's own unit. "none" trains on the label as it is.
        center, spread: mean and standard deviation of the known training
            labels, put here by Schema.fit when scale="standard".
    """

    name: str
    kind: str = "binary"
    label: str | None = None
    sample_space: str | None = None
    classes: int | None = None
    missing: str = "error"
    outside: float | None = None
    scale: str = "none"
    center: float = 0.0
    spread: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise SchemaError(
                f"Task name {self.name!r}: a name starts with a letter and "
                "holds letters, digits and underscores only (it names a "
                "layer of the model). Put the column into label=..."
            )
        if self.kind not in KINDS:
            raise SchemaError(
                f"Task {self.name!r}: unknown kind {self.kind!r}. Choose "
                f"one of {', '.join(KINDS)}."
            )
        if self.missing not in ("error", "masked"):
            raise SchemaError(
                f"Task {self.name!r}: missing={self.missing!r}. Choose "
                "'error' or 'masked'."
            )
        if self.kind != "multiclass" and self.classes is not None:
            raise SchemaError(
                f"Task {self.name!r}: classes={self.classes!r} is for "
                f"kind='multiclass', not for {self.kind!r}. Leave it out."
            )
        if self.kind == "multiclass" and (
            not isinstance(self.classes, int | np.integer)
            or isinstance(self.classes, bool)
            or self.classes < 2
        ):
            raise SchemaError(
                f"Task {self.name!r}: a multiclass task needs classes=K, "
                f"a whole number of at least 2, got {self.classes!r}."
            )
        if self.sample_space == self.label_column:
            raise SchemaError(
                f"Task {self.name!r}: the label column "
                f"{self.label_column!r} is its own sample space, so every "
                "label would be 1. Name the column that opens the task."
            )
        self._check_outside()
        self._check_scale()

    def _check_outside(self) -> None:
        if self.outside is None:
            return
        if self.sample_space is None:
            raise SchemaError(
                f"Task {self.name!r}: outside={self.outside!r} is the label "
                "of rows outside a sample space, but the task has none. "
                "Name the column that opens it: sample_space=..."
            )
        number = isinstance(self.outside, int | float)
        if isinstance(self.outside, bool) or not number:
            raise SchemaError(
                f"Task {self.name!r}: outside={self.outside!r} must be a "
                "label, a number such as 0, or None to mask those rows."
            )
        value = np.array([self.outside], dtype=np.float64)
        _check_kind(self, value, f"outside={self.outside!r}")

    def _check_scale(self) -> None:
        if self.scale not in ("none", "standard"):
            raise SchemaError(
                f"Task {self.name!r}: scale={self.scale!r}. Choose 'none' "
                "or 'standard'."
            )
        if self.scale == "standard" and self.kind != "regression":
            raise SchemaError(
                f"Task {self.name!r}: scale='standard' is for "
                f"kind='regression', not for {self.kind!r}, whose labels "
                "are no measurements. Leave it out."
            )
        learned = self.center, self.spread
        if self.scale == "none" and learned != (0.0, 1.0):
            raise SchemaError(
                f"Task {self.name!r}: center and spread are learned by "
                "Schema.fit. Leave them out and say scale='standard'."
            )
        if not np.isfinite(learned).all() or self.spread <= 0:
            raise SchemaError(
                f"Task {self.name!r}: center={self.center!r} and spread="
                f"{self.spread!r} must be finite, the spread above 0. "
                "Leave them to Schema.fit."
            )

    @property
    def label_column(self) -> str:
        """The column that holds the label."""
        return self.name if self.label is None else self.label


def read_labels(
    task: Task, frame: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray]:
    """Read a task's labels and mask.

    Labels outside the sample space are never looked at, unless the task
    says with `outside` what they are.

    Returns:
        labels [N], float32 (int32 for multiclass), 0 where masked; and
        mask [N], float32: 1 where the label is known.

    Raises:
        SchemaError: a label is missing inside the sample space, lies
            outside the task's kind, or contradicts `outside`.
    """
    where = f"Task {task.name!r}"
    column = task.label_column
    series = column_of(frame, column, f"{where}, label", _WITHOUT)
    open_rows = np.ones(len(frame), dtype=bool)
    if task.sample_space is not None:
        open_rows = _read_sample_space(task, frame)
    values = read_numbers(series, column, f"{where}, label")
    absent = open_rows & np.isnan(values)
    if absent.any() and task.missing == "error":
        raise SchemaError(
            f"{where}: label column {column!r} is NaN on "
            f"{int(absent.sum())} row(s) of the task's sample space. Drop "
            "those rows, name the rows that have labels with "
            "sample_space=..., or say Task(..., missing='masked')."
        )
    if task.outside is not None:
        _check_closed_rows(task, values, ~open_rows)
        values = np.where(open_rows, values, task.outside)
        open_rows = np.ones(len(frame), dtype=bool)
    known = open_rows & ~absent
    _check_kind(task, values[known], f"label column {column!r}")
    dtype = np.int32 if task.kind == "multiclass" else np.float32
    labels = np.where(known, values, 0.0).astype(dtype)
    return labels, known.astype(np.float32)


def fit_task(task: Task, train: pd.DataFrame) -> Task:
    """Check the labels of training rows and learn their scale.

    Returns:
        The task; with scale="standard", its center and spread are those
        of the known labels.

    Raises:
        SchemaError: as in `read_labels`, or labels that do not vary.
    """
    labels, mask = read_labels(task, train)
    if task.scale == "none":
        return task
    known = labels[mask > 0].astype(np.float64)
    if not len(known) or known.min() == known.max():
        raise SchemaError(
            f"Task {task.name!r}: scale='standard' needs training labels "
            f"that vary, but the {len(known)} known one(s) in column "
            f"{task.label_column!r} do not. Say scale='none', or give rows "
            "with more labels."
        )
    return replace(task, center=float(known.mean()), spread=float(known.std()))


def _read_sample_space(task: Task, frame: pd.DataFrame) -> np.ndarray:
    column = str(task.sample_space)
    purpose = f"Task {task.name!r}, sample space"
    series = column_of(frame, column, purpose, _WITHOUT)
    values = read_numbers(series, column, purpose)
    wrong = int(((values != 0) & (values != 1)).sum())  # NaN included
    if wrong:
        raise SchemaError(
            f"{purpose}: column {column!r} is neither 0 nor 1 on {wrong} "
            "row(s) (missing values included). Fill or convert it: "
            f"(frame[{column!r}] == 1).astype(int)."
        )
    return values == 1


def _check_closed_rows(
    task: Task, values: np.ndarray, closed: np.ndarray
) -> None:
    """Refuse labels that cannot be: a purchase without a click."""
    wrong = closed & ~np.isnan(values) & (values != task.outside)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise SchemaError(
            f"Task {task.name!r}: label column {task.label_column!r} must be "
            f"{task.outside:g} or missing where {task.sample_space!r} is 0, "
            f"but {int(wrong.sum())} row(s) are not, the first at position "
            f"{row}: {values[row]:g}. Either the sample space is the wrong "
            "column, or those rows are damaged and must be dropped."
        )


def _check_kind(task: Task, values: np.ndarray, what: str) -> None:
    if task.kind == "binary":
        wrong = (values != 0) & (values != 1)
        range_ = "0 or 1"
        remedy = "Convert it, for example (rating >= 4).astype(int)."
    elif task.kind == "regression":
        wrong = ~(np.abs(values) <= _FLOAT32_MAX)
        range_ = "a finite 32-bit number"
        remedy = "Drop or clip those rows."
    else:
        top = int(task.classes or 0) - 1
        wrong = (values < 0) | (values > top) | (values != np.floor(values))
        range_ = f"a whole number from 0 to {top}"
        remedy = "Number the classes from 0, or raise classes=K."
    if wrong.any():
        raise SchemaError(
            f"Task {task.name!r} ({task.kind}): {what} must be {range_}; "
            f"{int(wrong.sum())} row(s) are not, for example "
            f"{values[wrong][0]:g}. {remedy}"
        )
