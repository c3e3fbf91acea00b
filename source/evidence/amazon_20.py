"""Amazon Musical Instruments: stars from the words of a review, 2 tasks.

A review is written by who has decided already, so this is reading, not
recommending: it asks what an encoder of words is worth where text is real and
its order may count. Tasks: the stars (RMSE), and whether there are five (AUC).
By time: 70 % train, 10 % validation, 20 % test. All encoders read the first
forty words of summary and text, and have the same two trials. "tf-idf" are
linear models on weighted counts of those words (ridge and logistic regression
of scikit-learn, their strength chosen among four on validation rows).
"""

from functools import partial

import numpy as np
import pandas as pd
import tensorflow as tf
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

from mtlrec_utils.data import Schema, Task, Text
from mtlrec_utils.data.encoding import tokens
from mtlrec_utils.data.real import load_amazon_reviews
from mtlrec_utils.evidence import auc, compare, comparison_table, rmse
from mtlrec_utils.learning import replicate
from mtlrec_utils.models import TEXT_ENCODERS, text_model

# So small products lose more than they gain from a second thread.
tf.config.threading.set_intra_op_parallelism_threads(1)

SEEDS = range(5)
TUNING_SEED = 1000
LENGTH, BUCKETS = 40, 4000
FIT = {"epochs": 3, "batch_size": 128, "decay": "linear"}
RATES = (3e-3, 1e-2)
METRICS = {"stars": "rmse", "five": "auc"}
COMPARED = [
    *((name, "tf-idf") for name in TEXT_ENCODERS),
    *((name, "bag") for name in TEXT_ENCODERS if name != "bag"),
    ("bag", "no text"),
    ("tf-idf", "no text"),
]


def missing() -> str | None:
    """Say what is not there."""
    try:
        load_amazon_reviews()
    except FileNotFoundError as error:
        return str(error).splitlines()[0]
    return None


def units() -> list[dict]:
    """One category."""
    return [{"category": "Musical_Instruments"}]


def parts_of(category: str) -> list[pd.DataFrame]:
    """Return train, validation and test reviews, by time."""
    rows = load_amazon_reviews(category).sort_values(
        ["time", "user", "item"], ignore_index=True
    )
    whole = rows["summary"] + " " + rows["text"]
    rows["review"] = [" ".join(tokens(text)[:LENGTH]) for text in whole]
    rows["stars"] = rows["rating"]
    rows["five"] = (rows["rating"] == 5).astype(int)
    ends = [0, int(0.7 * len(rows)), int(0.8 * len(rows)), len(rows)]
    return [rows.iloc[a:b] for a, b in zip(ends[:-1], ends[1:], strict=True)]


def linear(parts: list[pd.DataFrame]) -> dict[str, np.ndarray]:
    """Choose and fit the two linear models; return test predictions."""
    weigh = TfidfVectorizer(min_df=2, sublinear_tf=True)
    train, validation, test = (
        (weigh.fit_transform if k == 0 else weigh.transform)(part["review"])
        for k, part in enumerate(parts)
    )
    found = {}
    for task, metric in METRICS.items():
        label, held = parts[0][task], parts[1][task]
        trials = []
        for strength in (0.3, 1.0, 3.0, 10.0):
            if task == "stars":
                model = Ridge(alpha=strength).fit(train, label)
                loss = rmse(held, model.predict(validation))
            else:
                model = LogisticRegression(C=strength, max_iter=300)
                model.fit(train, label)
                loss = -auc(held, model.predict_proba(validation)[:, 1])
            trials.append((loss, strength, model))
        best = min(trials, key=lambda trial: trial[0])[2]
        found[task] = (
            best.predict(test)
            if metric == "rmse"
            else best.predict_proba(test)[:, 1]
        )
    return found


def run(unit: dict) -> pd.DataFrame:
    """Tune, repeat and compare."""
    parts = parts_of(unit["category"])
    schema = Schema(
        [Text("review", BUCKETS, LENGTH)],
        [Task("stars", "regression", scale="standard"), Task("five")],
    ).fit(parts[0])
    train, validation, test = (schema.encode(p, user="user") for p in parts)
    predicted = {"tf-idf": linear(parts)}
    constant = {t: parts[0][t].mean() for t in METRICS}
    predicted["no text"] = {
        t: np.full(len(test), c) for t, c in constant.items()
    }
    costs = {}
    for name in TEXT_ENCODERS:
        build = partial(text_model, schema, text="review", encoder=name)
        again = partial(replicate, {name: build}, train, None, **FIT)
        losses = {
            rate: again(validation, seeds=[TUNING_SEED], learning_rate=rate)
            .table.query("metric == 'log_loss'")["value"]
            .iloc[0]
            for rate in RATES
        }
        rate = min(losses, key=losses.get)
        result = again(test, seeds=SEEDS, learning_rate=rate)
        predicted[name] = result.predictions[name]
        cost = result.table.iloc[0]
        costs[name] = (cost["parameters"], cost["steps"], rate)
    shape = (len(SEEDS), len(test))
    compared = {
        (candidate, baseline, task): compare(
            test.labels[task].ravel(),
            np.broadcast_to(predicted[candidate][task], shape),
            np.broadcast_to(predicted[baseline][task], shape),
            metric=metric,
            groups=test.users,
        )
        for candidate, baseline in COMPARED
        for task, metric in METRICS.items()
    }
    names = ("candidate_model", "baseline_model", "task")
    found = comparison_table(compared, names)
    for k, fact in enumerate(("parameters", "steps", "rate")):
        found[fact] = [
            costs.get(name, (np.nan,) * 3)[k]
            for name in found["candidate_model"]
        ]
    return found.assign(n_train=len(train), n_test=len(test))


def table(results: pd.DataFrame) -> pd.DataFrame:
    """Keep everything."""
    return results
