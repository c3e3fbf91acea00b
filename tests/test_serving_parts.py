"""The parts of the server, each alone: exact values, no clock but ours."""

import asyncio
import hmac
import json
import stat

import numpy as np
import pandas as pd
import pytest

from mtlrec_utils.data import Categorical, Number, Schema, Sequence, Task, Text
from mtlrec_utils.serving import certificates as local
from mtlrec_utils.serving import store, tokens
from mtlrec_utils.serving.batching import (
    ClosedError,
    MicroBatcher,
    OverloadedError,
)
from mtlrec_utils.serving.guard import Guard, RefusalError, retry_header
from mtlrec_utils.serving.limits import Limits, LockOut, RateLimit, Recent
from mtlrec_utils.serving.rows import RowEncoder, RowError
from mtlrec_utils.serving.tokens import TokenStore


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


# --- rate and lock-out


def test_a_bucket_gives_its_burst_then_its_rate():
    clock = Clock()
    limit = RateLimit(rate=2, burst=3, clock=clock)
    assert [limit.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert limit.take("b") == 0  # each key has its own
    clock.now += 0.25
    assert limit.take("a") == pytest.approx(0.25)
    clock.now += 0.25
    assert limit.take("a") == 0
    clock.now += 1000  # it never holds more than its burst
    assert [limit.take("a") > 0 for _ in range(4)] == [False] * 3 + [True]


def test_a_lock_doubles_up_to_the_longest():
    clock = Clock()
    lock = LockOut(free=2, first=1, longest=5, clock=clock)
    seconds = [lock.wrong("a") for _ in range(7)]
    assert seconds == [0, 0, 1, 2, 4, 5, 5]
    assert lock.left("a") == 5 and lock.left("b") == 0
    clock.now += 4
    assert lock.left("a") == 1
    clock.now += 1
    assert lock.left("a") == 0
    lock.right("a")
    assert lock.wrong("a") == 0


def test_very_many_wrong_guesses_do_not_overflow():
    lock = LockOut(free=1, first=1, longest=3600, clock=Clock())
    for _ in range(2000):
        seconds = lock.wrong("a")
    assert seconds == 3600


def test_tables_of_keys_are_bounded():
    recent = Recent(list, size=3)
    for key in (1, 2, 3, 1, 4):
        recent.get(key).append(key)
    assert len(recent) == 3
    assert recent.get(1) == [1, 1]  # 2 was unused for longest
    assert recent.get(2) == []


@pytest.mark.parametrize("bad", [{"rate": 0}, {"rows": -1}, {"burst": 0}])
def test_limits_are_positive(bad):
    with pytest.raises(ValueError, match="above 0"):
        Limits(**bad)


# --- tokens


def test_a_token_is_found_until_it_ends(tmp_path):
    clock = Clock()
    path = tmp_path / "tokens.json"
    issued = TokenStore(path, clock)
    token = issued.issue("reader", ("score",), 10)
    found = TokenStore(path, clock).find(token)
    assert found.name == "reader" and found.scopes == ("score",)
    assert len(token.partition(".")[2]) >= 43  # 256 bits
    for wrong in ("", ".", token[:-1], token + "x", "a.b", "." + token):
        assert issued.find(wrong) is None
    clock.now += 10
    assert issued.find(token) is None


def test_the_file_holds_no_token_and_is_private(tmp_path):
    path = tmp_path / "tokens.json"
    token = TokenStore(path).issue("reader")
    assert token.partition(".")[2] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_new_or_revoked_token_counts_at_once(tmp_path):
    path = tmp_path / "tokens.json"
    server, command = TokenStore(path), TokenStore(path)
    first, second = command.issue("a"), command.issue("b")
    assert server.find(first) and server.find(second)
    assert command.revoke("a") == 1
    assert server.find(first) is None and server.find(second)


def test_secrets_are_compared_in_constant_time(tmp_path, monkeypatch):
    compared = []

    def watched(a, b):
        compared.append((a, b))
        return hmac.compare_digest(a, b)

    class Watched:
        compare_digest = staticmethod(watched)

    monkeypatch.setattr(tokens, "hmac", Watched)
    kept = TokenStore(tmp_path / "tokens.json")
    token = kept.issue("reader")
    kept.find(token)
    kept.find("unknown.secret")  # compared too, with a stand-in
    kept.find("")
    assert len(compared) == 3
    assert all(len(a) == len(b) == 64 for a, b in compared)


@pytest.mark.parametrize(
    "bad",
    [
        ("", ("score",), 1),
        ("a", ("all",), 1),
        ("a", (), 1),
        ("a", ("score",), 0),
    ],
)
def test_a_token_without_name_scope_or_time_is_refused(tmp_path, bad):
    with pytest.raises(ValueError):
        TokenStore(tmp_path / "tokens.json").issue(*bad)


# --- the guard


def guarded(tmp_path, **limits):
    clock = Clock()
    kept = TokenStore(tmp_path / "tokens.json")
    token = kept.issue("reader")
    limits = Limits(**{"free_guesses": 2, "first_lock": 10, **limits})
    return Guard(kept, limits, clock=clock), f"Bearer {token}", clock


def refusal(guard, address, header, scope="score"):
    with pytest.raises(RefusalError) as refused:
        guard.admit(address, header, scope)
    return refused.value


def test_who_is_let_in(tmp_path):
    guard, right, _ = guarded(tmp_path)
    assert guard.admit("a", right, "score").name == "reader"
    assert guard.admit("a", right.replace("Bearer", "bearer"), "score")
    for header in (None, "", "Bearer", "Bearer ", right[7:], "Basic YTpi"):
        assert refusal(guard, "a", header).status == 401
    assert refusal(guard, "a", right, "admin").status == 403


def test_guesses_lock_the_address_and_the_token(tmp_path):
    guard, right, clock = guarded(tmp_path)
    guess = right[:20] + "x"
    guard.admit("owner", right, "score")
    for _ in range(3):
        assert refusal(guard, "thief", guess).status == 401
    assert refusal(guard, "thief", right).code == "locked"
    # Another address cannot go on guessing at the same token,
    assert refusal(guard, "second thief", guess).code == "locked"
    # but its owner is not locked out, and the lock ends.
    assert guard.admit("owner", right, "score")
    clock.now += 10
    assert guard.admit("new address", right, "score")
    assert guard.admit("thief", right, "score")


def test_the_rate_counts_per_token_and_address(tmp_path):
    guard, right, clock = guarded(tmp_path, rate=1, burst=2)
    assert guard.admit("a", right, "score") and guard.admit(
        "b", right, "score"
    )
    refused = refusal(guard, "c", right)  # the token has used its burst
    assert (refused.status, refused.code) == (429, "rate")
    assert refused.retry_after == pytest.approx(1)
    clock.now += 1
    assert guard.admit("d", right, "score")


def test_retry_after_is_whole_seconds():
    assert [retry_header(s) for s in (0.01, 1, 1.2)] == ["1", "1", "2"]


# --- batching


def doubled(batches):
    def run(inputs):
        batches.append(len(inputs["x"]))
        return {"y": 2 * inputs["x"]}

    return run


def part(*values):
    return {"x": np.array(values, float)[:, None]}


def test_requests_share_a_batch_and_get_their_own_rows():
    batches = []

    async def work():
        batcher = MicroBatcher(doubled(batches), max_rows=6, max_wait=1)
        answers = await asyncio.gather(
            *(batcher.score(part(i, i + 10)) for i in range(3))
        )
        await batcher.close()
        return [answer["y"].ravel().tolist() for answer in answers]

    assert asyncio.run(work()) == [[0, 20], [2, 22], [4, 24]]
    assert batches == [6]


def test_a_batch_never_exceeds_its_rows_but_for_one_large_request():
    batches = []

    async def work():
        batcher = MicroBatcher(doubled(batches), max_rows=4, max_wait=0)
        sizes = [3, 2, 2, 7, 1]
        await asyncio.gather(*(batcher.score(part(*range(n))) for n in sizes))
        await batcher.close()

    asyncio.run(work())
    assert batches == [3, 4, 7, 1]


def test_a_full_queue_refuses_and_a_closed_one_answers_what_waits():
    async def work():
        batcher = MicroBatcher(
            doubled([]), max_rows=8, max_wait=1, max_waiting=3
        )
        first = asyncio.ensure_future(batcher.score(part(1, 2)))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await batcher.score(part(1, 2))
        await batcher.close()  # does not wait for its second to pass
        with pytest.raises(ClosedError):
            await batcher.score(part(1))
        return (await first)["y"].ravel().tolist()

    assert asyncio.run(work()) == [2, 4]


def test_a_failure_reaches_its_batch_and_not_the_next_one():
    def run(inputs):
        if inputs["x"].min() < 0:
            raise ArithmeticError
        return {"y": inputs["x"]}

    async def work():
        batcher = MicroBatcher(run, max_rows=1, max_wait=0)
        bad, good = await asyncio.gather(
            batcher.score(part(-1)),
            batcher.score(part(1)),
            return_exceptions=True,
        )
        await batcher.close()
        return bad, good

    bad, good = asyncio.run(work())
    assert isinstance(bad, ArithmeticError)
    assert good["y"].item() == 1


@pytest.mark.parametrize(
    "bad", [{"max_rows": 0}, {"max_wait": -1}, {"max_waiting": 0}]
)
def test_a_batcher_without_room_is_refused(bad):
    async def work():
        MicroBatcher(doubled([]), **bad)

    with pytest.raises(ValueError, match="at least 1"):
        asyncio.run(work())


# --- rows


FRAME = pd.DataFrame(
    {
        "user": [3, 1, 2, 3],
        "mood": [0.5, -0.0, 2.0, 0.5],
        "country": ["se", "fi", "se", "no"],
        "member": [True, False, True, True],
        "past": [[1, 2], [3], [], [2, 2, 1]],
        "title": ["The Long, long Road", "a b c d e", "", "Über"],
        "price": [1.0, 2.5, np.nan, 10.0],
        "age": [20, 30, 40, 50],
        "click": [0, 1, 0, 1],
    }
)
SCHEMA = Schema(
    [
        Categorical("user"),
        Categorical("mood"),
        Categorical("country", min_count=2),
        Categorical("member"),
        Sequence("past", 2, vocabulary_of="user"),
        Text("title", buckets=50, length=3),
        Number("price", transform="log"),
        Number("age"),
    ],
    [Task("click")],
).fit(FRAME)
COLUMNS = [f.column for f in SCHEMA.features]


def as_rows(frame):
    return json.loads(frame[COLUMNS].to_json(orient="records"))


def test_rows_are_encoded_as_the_schema_encodes_frames():
    other = FRAME.assign(
        user=[9, 1, 3, 2],
        country=["xx", "fi", None, "se"],
        mood=[7.5, 0.0, 0.5, np.nan],
        past=[[9, 1, 2], None, [3, 9], []],
        title=[None, "road", "Long-Long road 7 8", "x"],
    )
    encoder = RowEncoder(SCHEMA)
    for frame in (FRAME, other):
        found, wanted = encoder.encode(as_rows(frame)), SCHEMA.encode(frame)
        np.testing.assert_array_equal(found["ids"], wanted.ids)
        np.testing.assert_array_equal(found["numbers"], wanted.numbers)
        assert found["ids"].dtype == np.int32
        assert found["numbers"].dtype == np.float32


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("user", "3", "whole number"),
        ("user", 3.0, "whole number"),
        ("user", True, "whole number"),
        ("user", 2**63, "too large"),
        ("mood", "0.5", "a number"),
        ("mood", 10**400, "too large"),
        ("mood", float("inf"), "too large"),
        ("country", 1, "text"),
        ("member", 1, "true or false"),
        ("past", 1, "list"),
        ("past", ["a"], "whole number"),
        ("past", [1] * 10_001, "list of at most"),
        ("title", 1, "text"),
        ("title", "x" * 10_001, "text of at most"),
        ("price", "1", "a number"),
        ("price", True, "a number"),
        ("price", 10**400, "too large"),
        ("age", 1e300, "too large"),
    ],
)
def test_a_wrong_value_is_named_by_row_and_column(column, value, reason):
    rows = as_rows(FRAME)
    rows[2][column] = value
    with pytest.raises(RowError, match=reason) as refused:
        RowEncoder(SCHEMA).encode(rows)
    assert repr(column) in str(refused.value)


def test_a_row_of_other_columns_is_refused():
    encoder, row = RowEncoder(SCHEMA), as_rows(FRAME)[0]
    with pytest.raises(RowError, match="does not know"):
        encoder.encode([{**row, "more": 1}])
    with pytest.raises(RowError, match="Row 1 lacks 'age'"):
        encoder.encode([row, {k: v for k, v in row.items() if k != "age"}])
    with pytest.raises(RowError, match="not an object"):
        encoder.encode([[1]])


# --- versions and certificates


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "a/b", "../x", "a" * 65, "a\n", None]
)
def test_a_version_stays_in_its_folder(tmp_path, name):
    with pytest.raises(store.ModelError, match="cannot be the name"):
        store.version_folder(tmp_path, name)


def test_a_pointer_to_nothing_is_refused(tmp_path):
    with pytest.raises(store.ModelError, match="no current version"):
        store.current_version(tmp_path)
    (tmp_path / "current").write_bytes(b"\xff")
    with pytest.raises(store.ModelError, match="no current version"):
        store.current_version(tmp_path)
    store.point_to(tmp_path, "1")
    assert store.current_version(tmp_path) == "1"


def test_what_an_interrupted_export_left_is_no_version(tmp_path):
    (tmp_path / "versions" / ".2.abcd.part").mkdir(parents=True)
    (tmp_path / "versions" / "1").mkdir()
    assert store.versions(tmp_path) == ["1"]


def test_certificates_are_kept_and_made_anew_when_they_must(tmp_path):
    first = local.certificates(tmp_path)
    kept = first.certificate.read_bytes()
    assert local.certificates(tmp_path).certificate.read_bytes() == kept
    assert stat.S_IMODE(first.key.stat().st_mode) == 0o600
    files = [path.name for path in tmp_path.iterdir()]
    assert sorted(files) == ["authority.pem", "server.key", "server.pem"]
    local.certificates(tmp_path, ("other.host",))
    renewed = first.certificate.read_bytes()
    assert renewed != kept
    first.key.write_text("cut")
    local.certificates(tmp_path, ("other.host",))
    assert first.certificate.read_bytes() != renewed


def test_a_certificate_that_runs_out_is_replaced(tmp_path):
    first = local.certificates(tmp_path, days=1e-4)
    kept = first.certificate.read_bytes()
    assert local.certificates(tmp_path).certificate.read_bytes() != kept
