"""Streams of shards: order, resuming, memory by chunks, clear errors."""

import os

import numpy as np
import pandas as pd
import pytest

from mtlrec_utils.data import Categorical, Number, Schema, Task
from mtlrec_utils.data import stream as stream_module
from mtlrec_utils.data.shards import ShardError, open_shards, write_shards
from mtlrec_utils.data.stream import Position, ShardStream, columns_read


def frame(n=53, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "item": rng.integers(9, size=n),
            "price": rng.normal(size=n),
            "click": rng.integers(2, size=n),
            "bought": rng.integers(2, size=n),
            "unread": "x",
        }
    )


def schema(rows):
    return Schema(
        [Categorical("item"), Number("price")],
        [Task("click"), Task("buy", label="bought", sample_space="click")],
    ).fit(rows)


@pytest.fixture
def shards(tmp_path):
    rows = frame()
    write_shards(rows, tmp_path / "shards", 20, rows_per_group=6)
    return rows, schema(rows), tmp_path / "shards"


def row_numbers(stream, start=None, epochs=1):
    return [b.rows.tolist() for _, b in stream.batches(start, epochs)]


def test_shards_hold_the_rows_in_order(shards):
    rows, _, folder = shards
    names = sorted(path.name for path in folder.iterdir())
    assert names == [f"part-0000{k}.parquet" for k in range(3)]
    back = pd.concat(map(pd.read_parquet, sorted(folder.iterdir())))
    pd.testing.assert_frame_equal(
        back.reset_index(drop=True), rows, check_dtype=False
    )
    opened = open_shards(folder, ["item"])
    assert [s.groups for s in opened] == [(6, 6, 6, 2)] * 2 + [(6, 6, 1)]


@pytest.mark.parametrize("cuts", [[53], [7, 7, 39], [1] * 53, [20, 20, 13]])
def test_how_frames_are_cut_does_not_matter(tmp_path, shards, cuts):
    rows, _, folder = shards
    ends = np.cumsum(cuts)
    parts = (rows[e - c : e] for c, e in zip(cuts, ends, strict=True))
    write_shards(parts, tmp_path / "again", 20, rows_per_group=6)
    for path in folder.iterdir():
        again = tmp_path / "again" / path.name
        pd.testing.assert_frame_equal(
            pd.read_parquet(path), pd.read_parquet(again)
        )


def test_a_failed_writer_leaves_nothing(tmp_path):
    def frames():
        yield frame(30)
        raise RuntimeError("the disk")

    with pytest.raises(RuntimeError):
        write_shards(frames(), tmp_path / "shards", 10)
    assert list(tmp_path.iterdir()) == []


def test_a_writer_refuses_what_would_mix(tmp_path, shards):
    with pytest.raises(ValueError, match="not empty"):
        write_shards(frame(), shards[2], 10)
    other = frame().rename(columns={"price": "cost"})
    with pytest.raises(ShardError, match="frame 1 .* no column 'price'"):
        write_shards([frame(), other], tmp_path / "new", 10)
    with pytest.raises(ValueError, match="no rows"):
        write_shards([], tmp_path / "new", 10)
    with pytest.raises(ValueError, match="rows_per_shard=0"):
        write_shards(frame(), tmp_path / "new", 0)
    assert not (tmp_path / "new").exists()


def test_without_a_seed_batches_are_those_of_the_whole_frame(shards):
    rows, made, folder = shards
    whole = list(made.encode(rows).batches(8))
    stream = ShardStream(folder, made, 8)
    found = [batch for _, batch in stream.batches()]
    assert stream.n_rows == 53
    assert len(found) == len(whole) == stream.batches_per_epoch == 7
    for ours, theirs in zip(found, whole, strict=True):
        assert np.array_equal(ours.ids, theirs.ids)
        assert np.array_equal(ours.numbers, theirs.numbers)
        assert np.array_equal(ours.rows, theirs.rows)
        for task in ("click", "buy"):
            assert np.array_equal(ours.labels[task], theirs.labels[task])
            assert np.array_equal(ours.masks[task], theirs.masks[task])


@pytest.mark.parametrize("batch_size", [1, 5, 8, 18, 60])
@pytest.mark.parametrize("buffer_groups", [1, 3, 100])
def test_an_epoch_holds_every_row_once(shards, batch_size, buffer_groups):
    rows, made, folder = shards
    stream = ShardStream(
        folder, made, batch_size, seed=1, buffer_groups=buffer_groups
    )
    first, second = (
        row_numbers(stream, Position(epoch), epoch + 1) for epoch in (0, 1)
    )
    assert sorted(sum(first, [])) == list(range(53))
    assert {len(batch) for batch in first[:-1]} <= {batch_size}
    assert first != second
    assert row_numbers(stream) == first
    encoded = made.encode(rows)
    _, batch = next(stream.batches())
    assert np.array_equal(batch.ids, encoded.ids[batch.rows])
    wanted = encoded.labels["buy"][batch.rows]
    assert np.array_equal(batch.labels["buy"], wanted)


def test_another_seed_is_another_order(shards):
    _, made, folder = shards
    orders = [
        row_numbers(ShardStream(folder, made, 8, seed=seed))
        for seed in (None, 0, 1)
    ]
    assert orders[0] != orders[1] != orders[2]


@pytest.mark.parametrize("batch_size", [4, 6, 7, 25])
def test_resuming_gives_exactly_the_rest(shards, batch_size):
    _, made, folder = shards
    stream = ShardStream(folder, made, batch_size, seed=3, buffer_groups=2)
    whole = row_numbers(stream, epochs=2)
    for steps in range(len(whole) + 1):
        start = stream.position(steps)
        assert row_numbers(stream, start, 2) == whole[steps:]


def test_positions_count_batches(shards):
    _, made, folder = shards
    stream = ShardStream(folder, made, 8)
    places = [place for place, _ in stream.batches(epochs=2)]
    assert places[5:8] == [Position(0, 6), Position(1, 0), Position(1, 1)]
    assert places[-1] == stream.position(14) == Position(2, 0)
    assert row_numbers(stream, Position(0, 7), 1) == []


def test_resuming_reads_one_chunk_not_those_before(shards, monkeypatch):
    _, made, folder = shards
    read = []
    real = stream_module.read_group

    def counted(shard, group, columns):
        read.append((shard.path.name, group))
        return real(shard, group, columns)

    monkeypatch.setattr(stream_module, "read_group", counted)
    stream = ShardStream(folder, made, 6, buffer_groups=2)
    next(stream.batches(Position(0, 7)))  # row 42, in the last shard
    assert read == [("part-00002.parquet", 0), ("part-00002.parquet", 1)]


def test_only_the_columns_of_the_schema_are_read(shards):
    _, made, _ = shards
    assert columns_read(made, "item") == ["item", "price", "click", "bought"]


def test_users_pass_through(shards):
    rows, made, folder = shards
    stream = ShardStream(folder, made, 100, user="item")
    (_, batch), *_ = stream.batches()
    assert np.array_equal(batch.users, rows["item"])


def test_a_truncated_shard_is_named(shards):
    _, made, folder = shards
    path = folder / "part-00001.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ShardError, match="part-00001.* truncated or damaged"):
        ShardStream(folder, made, 8)


def test_damaged_data_are_named_when_they_are_read(shards):
    _, made, folder = shards
    path = folder / "part-00001.parquet"
    content = bytearray(path.read_bytes())
    content[4:200] = os.urandom(196)
    path.write_bytes(bytes(content))
    stream = ShardStream(folder, made, 8)
    with pytest.raises(ShardError, match="part-00001.parquet"):
        list(stream.batches())


def test_a_changed_shard_is_named(shards):
    rows, made, folder = shards
    path = folder / "part-00002.parquet"
    changed = rows[40:].assign(price=rows["price"][40:].astype(str))
    changed.to_parquet(path)
    with pytest.raises(
        ShardError, match="part-00002.* 'price' is .*string.* double in"
    ):
        ShardStream(folder, made, 8)
    rows[40:].drop(columns="price").to_parquet(path)
    with pytest.raises(ShardError, match="no column 'price'; it has item"):
        ShardStream(folder, made, 8)


def test_a_value_the_schema_refuses_is_named(shards):
    rows, made, folder = shards
    wrong = rows[20:40].assign(click=7)
    wrong.to_parquet(folder / "part-00001.parquet")
    stream = ShardStream(folder, made, 8)
    with pytest.raises(ShardError, match="part-00001.parquet, row group 0"):
        list(stream.batches())


def test_bad_arguments_are_refused(shards, tmp_path):
    _, made, folder = shards
    for bad in ({"batch_size": 0}, {"seed": -1}, {"buffer_groups": 0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            ShardStream(folder, made, **{"batch_size": 8, **bad})
    with pytest.raises(FileNotFoundError, match="write_shards"):
        ShardStream(tmp_path, made, 8)
    with pytest.raises(ShardError, match="does not exist"):
        ShardStream([tmp_path / "none.parquet"], made, 8)
    stream = ShardStream(folder, made, 8)
    with pytest.raises(ValueError, match="not in a stream"):
        next(stream.batches(Position(0, 8)))
