"""Searching for the largest inner products: exact, approximate, in time."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mtlrec_utils.models import index as module
from mtlrec_utils.models.index import (
    ApproximateIndex,
    ExactIndex,
    list_recall,
    milliseconds,
    recall_and_time,
)

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    return rng.normal(size=(400, 8)), rng.normal(size=(30, 8))


def test_exact_is_brute_force(vectors):
    items, users = vectors
    lists, scores = ExactIndex(items).search(users, 10)
    brute = np.array(
        [sorted(range(400), key=lambda i: -(u @ items[i]))[:10] for u in users]
    )
    assert (lists == brute).all()
    expected = np.take_along_axis(users @ items.T, brute, axis=1)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)


def test_blocks_do_not_matter(vectors, monkeypatch):
    items, users = vectors
    whole = ExactIndex(items).search(users, 5)
    monkeypatch.setattr(module, "_AT_ONCE", 7 * len(items))
    parts = ExactIndex(items).search(users, 5)
    assert (whole[0] == parts[0]).all()
    np.testing.assert_allclose(whole[1], parts[1], rtol=1e-5)


def test_of_equal_scores_the_lower_number_comes_first():
    items = np.array([[0.0, 1], [2, 0], [1, 5], [2, 9], [2, 3]])
    lists, scores = ExactIndex(items).search([[1.0, 0]], 4)
    assert lists.tolist() == [[1, 3, 4, 2]]
    assert scores.tolist() == [[2, 2, 2, 1]]


def test_all_cells_are_the_exact_search(vectors):
    pytest.importorskip("faiss")
    items, users = vectors
    exact, scores = ExactIndex(items).search(users, 10)
    index = ApproximateIndex(items, 20, n_probe=20)
    found, ours = index.search(users, 10)
    assert (found == exact).all()
    np.testing.assert_allclose(ours, scores, rtol=1e-4, atol=1e-5)
    index.n_probe = 1
    fewer, _ = index.search(users, 10)
    assert 0.1 < list_recall(fewer, exact) < 0.9


def test_more_cells_never_find_less(vectors):
    pytest.importorskip("faiss")
    items, users = vectors
    exact, _ = ExactIndex(items).search(users, 10)
    index, recalls = ApproximateIndex(items, 20), []
    for n_probe in (1, 2, 5, 10, 20):
        index.n_probe = n_probe
        recalls.append(list_recall(index.search(users, 10)[0], exact))
    assert recalls == sorted(recalls) and recalls[-1] == 1


def test_a_cell_with_few_items_leaves_places_empty():
    pytest.importorskip("faiss")
    items = np.concatenate([np.full((3, 2), 5.0), np.full((9, 2), -5.0)])
    lists, scores = ApproximateIndex(items, 2).search([[1.0, 1]], 5)
    assert sorted(lists[0, :3]) == [0, 1, 2]
    assert (lists[0, 3:] == -1).all() and np.isneginf(scores[0, 3:]).all()


def test_a_saved_index_searches_alike(vectors, tmp_path):
    pytest.importorskip("faiss")
    items, users = vectors
    index = ApproximateIndex(items, 20, n_probe=3)
    index.save(tmp_path / "items.index")
    again = ApproximateIndex.load(tmp_path / "items.index")
    assert (again.n_cells, again.n_probe, again.n_items) == (20, 3, 400)
    for ours, theirs in zip(
        index.search(users, 7), again.search(users, 7), strict=True
    ):
        assert (ours == theirs).all()
    assert [p.name for p in tmp_path.iterdir()] == ["items.index"]


def test_files_that_are_no_index(tmp_path):
    faiss = pytest.importorskip("faiss")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        ApproximateIndex.load(tmp_path / "none")
    (tmp_path / "text").write_text("not an index at all")
    with pytest.raises(ValueError, match="no index of faiss"):
        ApproximateIndex.load(tmp_path / "text")
    faiss.write_index(faiss.IndexFlatIP(3), str(tmp_path / "flat"))
    with pytest.raises(ValueError, match="holds a IndexFlat"):
        ApproximateIndex.load(tmp_path / "flat")


def test_the_same_seed_gives_the_same_cells(vectors):
    pytest.importorskip("faiss")
    items, users = vectors
    one, two = (ApproximateIndex(items, 20, seed=4) for _ in range(2))
    assert (one.search(users, 5)[0] == two.search(users, 5)[0]).all()


def test_recall_of_lists_by_hand():
    assert list_recall([[1, 2], [-1, 3]], [[2, 1], [3, 4]]) == 0.75
    with pytest.raises(ValueError, match="a list for each user"):
        list_recall([[1]], [[1], [2]])


def test_milliseconds_are_of_one_search(monkeypatch):
    clock = iter(np.arange(100.0))
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(clock))
    calls = []
    spent = milliseconds(calls.append, np.ones((4, 2)), repeats=3)
    assert spent == 1000 / 4  # a round of four takes one tick, a second
    assert len(calls) == 16 and calls[0].shape == (1, 2)


def test_the_curve_begins_with_the_exact_search(vectors):
    pytest.importorskip("faiss")
    items, users = vectors
    table = recall_and_time(items, users[:5], 5, 20, [1, 20])
    assert table["n_probe"].tolist() == [0, 1, 20]
    assert table["recall"].iloc[[0, 2]].tolist() == [1, 1]
    assert (table["milliseconds"] > 0).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ExactIndex([1.0, 2]), r"items has shape \(2,\)"),
        (lambda: ExactIndex([[np.nan, 1]]), "NaN or infinity"),
        (lambda: ExactIndex([[1.0, 2]]).search([[1.0]], 1), "length 1"),
        (lambda: ExactIndex([[1.0, 2]]).search([[1.0, 2]], 2), "k=2 must be"),
        (lambda: ApproximateIndex([[1.0, 2]], 2), "n_cells=2 must be"),
        (lambda: ApproximateIndex([[1.0, 2]], 1, 2), "n_probe=2 must be"),
    ],
)
def test_bad_arguments_are_explained(call, message):
    pytest.importorskip("faiss")
    with pytest.raises(ValueError, match=message):
        call()


def test_the_exact_search_needs_neither_faiss_nor_keras():
    code = (
        "import sys; sys.modules['faiss'] = None\n"
        "from mtlrec_utils.models.index import ApproximateIndex, ExactIndex\n"
        "print(ExactIndex([[1.0], [2.0]]).search([[1.0]], 1)[0])\n"
        "print([n for n in ('keras', 'tensorflow') if n in sys.modules])\n"
        "try:\n    ApproximateIndex([[1.0]], 1)\n"
        "except ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert lines[:2] == ["[[1]]", "[]"], done.stderr
    assert "pip install faiss-cpu" in lines[2]
