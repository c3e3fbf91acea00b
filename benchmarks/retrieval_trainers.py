"""One training of a retrieval model by one library, in its own process.

    python -m benchmarks.retrieval_trainers NAME INPUT.npz OUTPUT.npz

``INPUT`` holds the pairs a model learns from, ``users`` and ``items`` [N],
the ``shape`` (users, items) and the ``seed``. ``OUTPUT`` gets all ``scores``
[users, items] and the ``seconds`` of the training alone: imports and the
conversion of the data are not in it, the first trace of a network is.

Each function imports what it needs: no environment has all of the libraries.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
from scipy import sparse

FACTORS, SWEEPS, ALPHA, PENALTY, NEIGHBOURS = 16, 10, 4.0, 10.0, 100
DIMENSION, RATE, EPOCHS, BATCH = 32, 1e-2, 10, 512

Result = tuple[np.ndarray, float]


def matrix(data: dict) -> sparse.csr_matrix:
    """Return the pairs as a matrix of ones, [users, items]."""
    ones = np.ones(len(data["users"]), np.float32)
    found = sparse.csr_matrix(
        (ones, (data["users"], data["items"])), shape=tuple(data["shape"])
    )
    found.data[:] = 1
    return found


def our_als(data: dict) -> Result:
    """Alternating least squares of this course."""
    from mtlrec_utils.models.classic import ImplicitALS

    model = ImplicitALS(FACTORS, ALPHA, PENALTY, SWEEPS, int(data["seed"]))
    return _fitted(lambda x: model.fit(x).scores, matrix(data))


def implicit_als(data: dict) -> Result:
    """The same objective: implicit wants the whole confidence, 1 + alpha."""
    from implicit.cpu.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(
        factors=FACTORS,
        regularization=PENALTY,
        iterations=SWEEPS,
        num_threads=1,
        random_state=int(data["seed"]),
    )
    pairs = matrix(data) * (1 + ALPHA)

    def fit(x):
        model.fit(x, show_progress=False)
        return lambda: model.user_factors @ model.item_factors.T

    return _fitted(fit, pairs)


def our_neighbours(data: dict) -> Result:
    """Item neighbours by cosine of this course."""
    from mtlrec_utils.models.classic import ItemNeighbours

    model = ItemNeighbours(NEIGHBOURS)
    return _fitted(lambda x: model.fit(x).scores, matrix(data))


def implicit_neighbours(data: dict) -> Result:
    """The same; implicit counts an item among its own neighbours."""
    from implicit.nearest_neighbours import CosineRecommender

    model = CosineRecommender(K=NEIGHBOURS + 1, num_threads=1)

    def fit(x):
        model.fit(x, show_progress=False)
        return lambda: (x @ model.similarity).toarray()

    return _fitted(fit, matrix(data))


def _fitted(
    fit: Callable[[sparse.csr_matrix], Callable[[], np.ndarray]],
    pairs: sparse.csr_matrix,
) -> Result:
    began = time.perf_counter()
    scores = fit(pairs)
    return scores, time.perf_counter() - began


def our_towers(data: dict) -> Result:
    """Two towers over ids of this course, in-batch softmax with logQ."""
    import pandas as pd

    from mtlrec_utils.data import Categorical, Schema, Task
    from mtlrec_utils.learning import fit
    from mtlrec_utils.models import (
        item_shares,
        item_vectors,
        two_towers,
        user_vectors,
    )

    n_users, n_items = data["shape"]
    pairs = pd.DataFrame({"user": data["users"], "item": data["items"]})
    # In the vocabulary from the start, as in the other library.
    every = pd.DataFrame(
        {
            "user": np.arange(max(n_users, n_items)) % n_users,
            "item": np.arange(max(n_users, n_items)) % n_items,
        }
    ).assign(click=1)
    schema = Schema(
        [Categorical("user"), Categorical("item")], [Task("click")]
    ).fit(every)
    rows = schema.encode(pairs.assign(click=1))
    seed = int(data["seed"])
    model = two_towers(
        schema,
        user_features=["user"],
        item_features=["item"],
        embedding_dimension=DIMENSION,
        tower_units=(),
        dimension=DIMENSION,
        shares=item_shares(schema, rows),
        seed=seed,
    )
    began = time.perf_counter()
    fit(
        model,
        rows,
        learning_rate=RATE,
        epochs=EPOCHS,
        batch_size=BATCH,
        seed=seed,
        progress=False,
    )
    seconds = time.perf_counter() - began
    encoded = schema.encode(every, labels=False)
    users = user_vectors(model, encoded)[:n_users]
    items = item_vectors(model, encoded)[:n_items]
    return lambda: users @ items.T, seconds


def keras_rs_towers(data: dict) -> Result:
    """The same two towers of Keras layers and keras-rs, by compile and fit."""
    import keras
    import keras_rs

    keras.utils.set_random_seed(int(data["seed"]))
    n_users, n_items = map(int, data["shape"])
    share = np.bincount(data["items"], minlength=n_items) / len(data["items"])

    def tower(n: int) -> keras.Sequential:
        return keras.Sequential(
            [
                keras.layers.Embedding(n, DIMENSION),
                keras.layers.Dense(DIMENSION),
            ]
        )

    class Retrieval(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.users, self.items = tower(n_users), tower(n_items)
            self.corrected = keras_rs.layers.SamplingProbabilityCorrection()
            self.without_hits = keras_rs.layers.RemoveAccidentalHits()

        def call(self, inputs):
            user, item = inputs["user"], inputs["item"]
            scores = keras.ops.matmul(
                self.users(user), keras.ops.transpose(self.items(item))
            )
            scores = self.corrected(scores, inputs["share"])
            labels = keras.ops.eye(keras.ops.shape(user)[0])
            return self.without_hits(scores, labels, item)

        def compute_loss(self, x, y, y_pred, sample_weight, training=True):
            places = keras.ops.arange(keras.ops.shape(y_pred)[0])
            return keras.ops.mean(
                keras.losses.sparse_categorical_crossentropy(
                    places, y_pred, from_logits=True
                )
            )

    model = Retrieval()
    model.compile(optimizer=keras.optimizers.Adam(RATE))
    inputs = {
        "user": data["users"].astype(np.int32),
        "item": data["items"].astype(np.int32),
        "share": share[data["items"]].astype(np.float32),
    }
    began = time.perf_counter()
    model.fit(inputs, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    seconds = time.perf_counter() - began
    users = np.array(model.users(np.arange(n_users)))
    items = np.array(model.items(np.arange(n_items)))
    return lambda: users @ items.T, seconds


TRAINERS = {
    "our_als": our_als,
    "implicit_als": implicit_als,
    "our_neighbours": our_neighbours,
    "implicit_neighbours": implicit_neighbours,
    "our_towers": our_towers,
    "keras_rs_towers": keras_rs_towers,
}


def main(name: str, source: str, target: str) -> None:
    """Train one model and keep what it scores."""
    data = dict(np.load(source))
    scores, seconds = TRAINERS[name](data)
    np.savez(target, scores=scores().astype(np.float32), seconds=seconds)


if __name__ == "__main__":
    main(*sys.argv[1:])
