"""What a schema learned from training rows, and how it encodes with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mtlrec_utils.data.columns import column_of, read_values
from mtlrec_utils.data.encoding import (
    Scaling,
    fit_scaling,
    number_columns,
    read_text,
    sequence_entries,
    sequence_rows,
    text_rows,
)
from mtlrec_utils.data.features import (
    Categorical,
    Feature,
    IdFeature,
    Number,
    Sequence,
    Text,
    lay_out,
    table_of,
)
from mtlrec_utils.data.vocabulary import Vocabulary


@dataclass(frozen=True)
class Learned:
    """Vocabularies and scalings by the column they were learned from."""

    vocabularies: dict[str, Vocabulary]
    scalings: dict[str, Scaling]

    def number_names(self, features: tuple[Feature, ...]) -> tuple[str, ...]:
        """Return the names of the number matrix's columns."""
        names: list[str] = []
        for feature in _numbers(features):
            names.append(feature.column)
            if self.scalings[feature.column].missing:
                names.append(f"{feature.column}_missing")
        return tuple(names)

    def ids(
        self, features: tuple[Feature, ...], frame: pd.DataFrame
    ) -> np.ndarray:
        """Encode the id features: int32 [N, C]."""
        places = {place.name: place for place in lay_out(features)}
        width = max((place.stop for place in places.values()), default=0)
        ids = np.empty((len(frame), width), np.int32)
        for feature in features:
            if isinstance(feature, Number):
                continue
            place = places[feature.column]
            series = column_of(frame, feature.column, "Schema.encode")
            ids[:, place.start : place.stop] = self._rows(feature, series)
        return ids

    def _rows(self, feature: IdFeature, series: pd.Series) -> np.ndarray:
        if isinstance(feature, Text):
            return text_rows(series, feature)
        vocabulary = self.vocabularies[table_of(feature)]
        if isinstance(feature, Sequence):
            return sequence_rows(series, feature, vocabulary)
        found = read_values(series, feature.column)
        return vocabulary.rows(found, feature.column)[:, None]

    def numbers(
        self, features: tuple[Feature, ...], frame: pd.DataFrame
    ) -> np.ndarray:
        """Encode the number features: float32 [N, M]."""
        blocks = [np.empty((len(frame), 0), np.float32)]
        for feature in _numbers(features):
            series = column_of(frame, feature.column, "Schema.encode")
            scaling = self.scalings[feature.column]
            blocks.append(number_columns(series, feature, scaling))
        return np.concatenate(blocks, axis=1)


def learn(features: tuple[Feature, ...], train: pd.DataFrame) -> Learned:
    """Learn vocabularies and scalings from training rows.

    Raises:
        SchemaError: a column does not fit its feature.
    """
    learned = Learned({}, {})
    for feature in features:
        series = column_of(train, feature.column, "Schema.fit")
        if isinstance(feature, Number):
            scaling = fit_scaling(series, feature)
            learned.scalings[feature.column] = scaling
        elif isinstance(feature, Text):
            read_text(series, feature)  # nothing to learn, but checked
        elif table_of(feature) == feature.column:
            vocabulary = _learn_vocabulary(feature, series)
            learned.vocabularies[feature.column] = vocabulary
    for feature in features:  # borrowed tables must be of the same type
        if isinstance(feature, Categorical | Sequence):
            borrowed = table_of(feature) != feature.column
            if borrowed:
                learned._rows(feature, train[feature.column])
    return learned


def _learn_vocabulary(
    feature: Categorical | Sequence, series: pd.Series
) -> Vocabulary:
    if isinstance(feature, Sequence):
        found = sequence_entries(series, feature)[1]
    else:
        found = read_values(series, feature.column)
    return Vocabulary.fit(found, feature.column, feature.min_count)


def _numbers(features: tuple[Feature, ...]) -> list[Number]:
    return [f for f in features if isinstance(f, Number)]
