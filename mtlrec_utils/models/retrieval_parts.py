"""What retrieval models are put together from."""

from __future__ import annotations

from typing import Any

import keras

from mtlrec_utils.models.drawn_items import NegativeItems
from mtlrec_utils.models.feature_parts import TakeColumns
from mtlrec_utils.models.features_and_towers import tasks_by_name
from mtlrec_utils.models.retrieval_towers import Tower


def matched_model(
    inputs: dict[str, Any], last: Any, ends: list[Any], name: str
) -> keras.Model:
    """Put the last layer behind the ends: output {task: [B, 1]}."""
    return keras.Model(inputs, {last.name: last(ends)}, name=name)


def only_task(schema: Any) -> Any:
    """Return a schema's one task.

    Raises:
        ValueError: it has none, several, a multiclass one, or one named
            like a layer of the model.
    """
    tasks = tasks_by_name(schema)
    if len(tasks) != 1:
        raise ValueError(
            f"A retrieval model has one task, the schema {len(tasks)}: "
            f"{', '.join(tasks)}. Choose: schema.with_tasks(['click'])."
        )
    (task,) = tasks.values()
    if task.name == "negatives" or task.name.startswith(("user_", "item_")):
        raise ValueError(
            f"A task cannot be called {task.name!r}: the model has layers of "
            f"that name. Rename it, as in Task({'is_' + task.name!r}, "
            f"label={task.name!r})."
        )
    if task.kind == "multiclass":
        raise ValueError(
            f"Task {task.name!r} is multiclass; a score is one number."
        )
    return task


def item_column(schema: Any, name: str) -> Any:
    """Return where a Categorical feature stands among the ids.

    Raises:
        ValueError: the schema has no such feature.
    """
    for column in schema.id_columns:
        if column.name == name and column.stop == column.start + 1:
            return column
    raise ValueError(
        f"item={name!r} is no Categorical feature of the schema; its id "
        f"features are {', '.join(c.name for c in schema.id_columns)}."
    )


def number_of_identities(schema: Any, item: str) -> int:
    """Return the rows of the item's vocabulary, unknown and padding too."""
    return int(schema.field_sizes[item_column(schema, item).field])


def item_identity(schema: Any, inputs: dict[str, Any], item: str) -> Any:
    """Take the column that says which item a row is about, [B, 1]."""
    place = item_column(schema, item)
    return TakeColumns([place.start], name="item_identity")(inputs["ids"])


def drawn_items(
    schema: Any,
    inputs: dict[str, Any],
    tower: Tower,
    item: str,
    catalogue: Any,
    count: int,
    per_row: bool,
    seed: int | None,
) -> list[Any]:
    """Draw items and send them through the item tower.

    Returns:
        Their vectors [n, d] and identity [n, 1].
    """
    if catalogue is None:
        raise ValueError(
            "Negatives are drawn from the catalogue: pass catalogue="
            "schema.encode(items, labels=False), with a row per item."
        )
    column = item_column(schema, item)
    part = tower.part
    layer = NegativeItems(
        len(catalogue),
        len(part.ids),
        len(part.numbers),
        count,
        per_row,
        seed=seed,
        name="negatives",
    )
    ids, numbers, identity = layer(inputs["ids"])
    layer.ids.assign(catalogue.ids[:, list(part.ids)])
    layer.numbers.assign(catalogue.numbers[:, list(part.numbers)])
    layer.identity.assign(catalogue.ids[:, [column.start]])
    found = {"ids": ids, "numbers": numbers}
    used = {"ids": part.ids, "numbers": part.numbers}
    return [tower({k: v for k, v in found.items() if used[k]}), identity]


def refuse_catalogue(catalogue: Any, n_negatives: Any, where: str) -> None:
    """Raise where negatives are given to a model that draws none."""
    if catalogue is not None or n_negatives is not None:
        raise ValueError(
            f"{where} draws no negatives; leave catalogue and n_negatives "
            "out, or choose another."
        )
