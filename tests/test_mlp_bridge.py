"""EMCDR's network: a map it must find, rows it must not read."""

from __future__ import annotations

import numpy as np
import pytest

from mtlrec_utils.learning.transfer.mapping import mlp_bridge


def test_the_network_of_emcdr_learns_a_map_and_reads_linked_users_only():
    rng = np.random.default_rng(2)
    source, turn = 0.5 * rng.normal(size=(120, 2)), np.array([[0, 1], [-1, 0]])
    carried = mlp_bridge(
        source[:100],
        source[:100] @ turn,
        weight_decay=0.0,
        learning_rate=3e-2,
        epochs=60,
        batch_size=50,
    )
    wanted = source[100:] @ turn
    error = np.sqrt(np.mean((carried(source[100:]) - wanted) ** 2))
    assert error < 0.1 * wanted.std()
    poisoned = np.where(np.arange(120)[:, None] < 3, np.nan, source)
    with pytest.raises(ValueError, match="linked users only"):
        mlp_bridge(source, poisoned)
    with pytest.raises(ValueError, match="do not pair up"):
        mlp_bridge(source, source[:5])
