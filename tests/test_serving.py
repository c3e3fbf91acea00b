"""The server as a whole: answers, refusals, swaps, its end."""

import asyncio
import json
import logging
import socket
import sys
import threading
import time

import numpy as np
import pytest
import serving_cases as cases

from mtlrec_utils.learning import predict
from mtlrec_utils.serving import (
    Client,
    ModelError,
    ServingError,
    TokenStore,
    activate,
    current_version,
    export_model,
    store,
)
from mtlrec_utils.serving.__main__ import main
from mtlrec_utils.serving.limits import Limits
from mtlrec_utils.serving.load import load
from mtlrec_utils.serving.releases import BOUND, load_backend
from mtlrec_utils.serving.server import Settings

LIMITS = Limits(
    body_bytes=20_000,
    rows=32,
    seconds_of_headers=0.6,
    seconds_of_body=0.6,
    rate=1e6,
    burst=1e6,
    free_guesses=1_000_000,
)
TIGHT = Limits(
    rate=1e6, burst=1e6, free_guesses=2, first_lock=0.4, longest_lock=1.0
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serving") / "model"
    for version, seed in (("1", 0), ("2", 1)):
        export_model(cases.model(seed), cases.schema(), folder, version)
    activate(folder, "1")
    return folder


@pytest.fixture(scope="module")
def service(folder):
    """Settings, the port, tokens by scope, and everything logged."""
    settings = Settings(folder, port=0, limits=LIMITS)
    tokens = TokenStore(settings.tokens)
    scopes = {s: tokens.issue(s, (s,)) for s in ("score", "metrics", "admin")}
    scopes["old"] = tokens.issue("old", ("score",), 1e-6)
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    with cases.running(settings) as server:
        yield settings, server.port, scopes, lines
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def client(service):
    settings, port, scopes, _ = service
    with client_of(settings, port, scopes["score"]) as client:
        yield client


def client_of(settings, port, token):
    address = f"https://127.0.0.1:{port}"
    return Client(address, token, cases.authority(settings))


def expected(n, seed=0, start=0):
    part = cases.log().iloc[start : start + n]
    return predict(cases.model(seed), cases.schema().encode(part))


def body(rows):
    return json.dumps({"rows": rows}).encode()


def test_scores_equal_those_of_predict(client):
    found = client.score(cases.rows(20))
    assert found.version == "1"
    for task, wanted in expected(20).items():
        np.testing.assert_allclose(found.scores[task], wanted, atol=BOUND)


def test_a_batch_scores_as_single_rows_do(client):
    together = client.score(cases.rows(5)).scores
    for place, row in enumerate(cases.rows(5)):
        alone = client.score([row]).scores
        for task in together:
            assert abs(alone[task][0] - together[task][place]) < 1e-6


@pytest.mark.parametrize("backend", ["litert", "saved_model"])
def test_both_back_ends_keep_the_printed_bound(folder, backend):
    version = store.version_folder(folder, "1")
    manifest, _, loaded, difference = load_backend(version, backend)
    assert difference <= BOUND
    inputs = cases.schema().encode(cases.log().iloc[:50]).inputs
    found = loaded.score({name: inputs[name] for name in manifest.inputs})
    for task, wanted in expected(50).items():
        np.testing.assert_allclose(found[task][:, 0], wanted, atol=BOUND)


def test_the_client_trusts_one_authority_only(service):
    settings, port, scopes, _ = service
    with (
        Client(f"https://127.0.0.1:{port}", scopes["score"]) as stranger,
        pytest.raises(Exception, match=r"(?i)certificate"),
    ):
        stranger.model()
    with pytest.raises(ValueError, match="https only"):
        Client(f"http://127.0.0.1:{port}", scopes["score"])
    client = client_of(settings, port, scopes["score"])
    assert scopes["score"] not in repr(client) + str(vars(client))
    client.close()


def test_old_tls_is_refused(service):
    import ssl

    settings, port, _, _ = service
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cases.authority(settings))
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    with plain, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(plain, server_hostname="127.0.0.1")


ROW = cases.rows(1)[0]


@pytest.mark.parametrize(
    ("status", "code", "sent"),
    [
        (400, "json", {"body": b'{"rows": ['}),
        (400, "json", {"body": b"\xff\xfe"}),
        (400, "json", {"body": b"[1]"}),
        (400, "json", {"body": b"[" * 15_000}),
        (400, "json", {"body": b'{"rows": [{"user": NaN}]}'}),
        (400, "json", {"body": b'{"rows": [{"user": -Infinity}]}'}),
        (400, "json", {"body": b""}),
        (401, "no_token", {"token": ""}),
        (401, "no_token", {"token": "guess"}),
        (401, "no_token", {"token": "old"}),
        (401, "no_token", {"token": "0123456789ab.secret"}),
        (403, "scope", {"path": "/v1/activate"}),
        (403, "scope", {"method": "GET", "path": "/metrics"}),
        (404, "no_route", {"path": "/v2/score"}),
        (404, "no_route", {"path": "/docs", "method": "GET"}),
        (405, "method", {"method": "GET"}),
        (413, "too_large", {"body": b" " * 20_001}),
        (413, "too_large", {"length": 10**12}),
        (413, "too_many_rows", {"body": body([ROW] * 33)}),
        (415, "content_type", {"kind": "text/plain"}),
        (415, "content_type", {"kind": ""}),
        (415, "content_encoding", {"extra": ["content-encoding: gzip"]}),
        (422, "rows", {"body": b"{}"}),
        (422, "rows", {"body": body([])}),
        (422, "rows", {"body": b'{"rows": 1}'}),
        (422, "row", {"body": body([1])}),
        (422, "row", {"body": body([{**ROW, "user": "one"}])}),
        (422, "row", {"body": body([{**ROW, "user": True}])}),
        (422, "row", {"body": body([{**ROW, "user": 2**70}])}),
        (422, "row", {"body": body([{**ROW, "user": [1]}])}),
        (422, "row", {"body": b'{"rows": [{"user": 1e999}]}'}),
        (422, "row", {"body": body([{**ROW, "more": 1}])}),
        (422, "row", {"body": body([{"user": 1}])}),
    ],
)
def test_a_hostile_request_gets_its_status(service, status, code, sent):
    settings, port, scopes, _ = service
    token = sent.pop("token", "score")
    sent = {"body": b"{}", **sent}
    raw = cases.request(scopes.get(token, token), **sent)
    found, headers, answered = cases.ask(settings, port, raw)
    assert found == status, answered
    assert json.loads(answered)["error"]["code"] == code
    assert "traceback" not in answered.decode().lower()
    assert "server" not in headers
    assert headers["x-content-type-options"] == "nosniff"


def test_a_body_without_a_length_is_measured_too(service):
    settings, port, scopes, _ = service
    head = (
        "POST /v1/score HTTP/1.1\r\nhost: localhost\r\n"
        f"authorization: Bearer {scopes['score']}\r\n"
        "content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    ).encode()
    part = b"2710\r\n" + b" " * 10_000 + b"\r\n"
    raw = head + 3 * part + b"0\r\n\r\n"
    assert cases.ask(settings, port, raw)[0] == 413


def test_unknown_ids_are_scored_as_unknown(service, client):
    stranger = {**ROW, "user": 10**9, "genre": "no such genre", "item": None}
    found = client.score([stranger]).scores["click"]
    ids = cases.schema().encode(
        cases.log().iloc[:1].assign(user=10**9, genre="x", item=10**9),
        labels=False,
    )
    wanted = predict(cases.model(), ids)["click"]
    np.testing.assert_allclose(found, wanted, atol=BOUND)


def test_a_slow_body_is_not_waited_for(service):
    settings, port, scopes, _ = service
    with cases.connected(settings, port) as connection:
        connection.sendall(cases.request(scopes["score"], b"{", length=9))
        assert cases.answer(connection)[0] == 408


def test_slow_headers_are_not_waited_for(service):
    settings, port, _, _ = service
    with cases.connected(settings, port) as connection:
        connection.sendall(b"POST /v1/score HTTP/1.1\r\nhost: ")
        assert cases.answer(connection)[0] == 0
    with cases.connected(settings, port) as connection:
        assert cases.answer(connection)[0] == 0  # not a byte


def test_plain_http_on_the_tls_port_gets_nothing(service):
    _, port, _, _ = service
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        plain.sendall(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert b"HTTP/1.1 200" not in cases.answer(plain)[2]
        assert cases.answer(plain)[0] == 0


def test_nonsense_inside_tls_is_a_bad_request(service):
    settings, port, _, _ = service
    assert cases.ask(settings, port, b"\x00\x01\x02\r\n\r\n")[0] == 400


def test_health_needs_no_token_and_tells_nothing(service):
    settings, port, _, _ = service
    for path, state in (("live", "live"), ("ready", "ready")):
        raw = cases.request("", b"", "GET", f"/health/{path}")
        status, _, answered = cases.ask(settings, port, raw)
        assert (status, json.loads(answered)) == (200, {"status": state})


def test_metrics_count_by_route_and_status(service):
    settings, port, scopes, _ = service
    raw = cases.request(scopes["score"], b"{}", path="/v1/secret-in-a-path")
    cases.ask(settings, port, raw)
    with client_of(settings, port, scopes["metrics"]) as client:
        text = client.metrics()
    assert 'mtlrec_requests_total{route="other",status="404"}' in text
    assert 'mtlrec_version{version="1"} 1.0' in text
    assert "secret-in-a-path" not in text


def test_swap_and_roll_back_under_load_without_a_failure(service):
    settings, port, scopes, _ = service
    address = f"https://127.0.0.1:{port}"
    requests = [cases.rows(2, start) for start in range(600)]
    met = []

    def send():
        work = load(
            address,
            cases.authority(settings),
            scopes["score"],
            requests,
            connections=4,
        )
        met.append(asyncio.run(work))

    sender = threading.Thread(target=send)
    with client_of(settings, port, scopes["admin"]) as admin:
        sender.start()
        time.sleep(0.1)
        assert admin.activate("2") == "2"
        assert current_version(settings.model) == "2"
        time.sleep(0.1)
        assert admin.roll_back() == "1"
        assert current_version(settings.model) == "1"
        sender.join()
    assert met[0].statuses == {200: 600}
    assert met[0].versions.total() == 600


def test_a_swap_changes_the_scores_and_is_undone(service, client):
    settings, port, scopes, _ = service
    with client_of(settings, port, scopes["admin"]) as admin:
        admin.activate("2")
        second = client.score(cases.rows(3))
        admin.roll_back()
    first = client.score(cases.rows(3))
    assert (first.version, second.version) == ("1", "2")
    for found, seed in ((first, 0), (second, 1)):
        wanted = expected(3, seed)["click"]
        np.testing.assert_allclose(found.scores["click"], wanted, atol=BOUND)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda f: (f / "model.tflite").unlink(), "is missing"),
        (
            lambda f: (f / "model.tflite").write_bytes(
                (f / "model.tflite").read_bytes()[:-100]
            ),
            "has changed",
        ),
        (lambda f: (f / "schema.json").write_text("{}"), "has changed"),
        (lambda f: (f / "more").write_text(""), "not in the manifest"),
        (lambda f: (f / "manifest.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "manifest.json").unlink(), "no version"),
    ],
)
def test_a_damaged_version_is_refused_and_the_old_one_stays(
    service, client, damage, reason
):
    import shutil

    settings, port, scopes, _ = service
    good = store.version_folder(settings.model, "2")
    bad = store.version_folder(settings.model, "bad")
    shutil.copytree(good, bad)
    manifest = bad / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"2"', '"bad"', 1))
    try:
        damage(bad)
        with client_of(settings, port, scopes["admin"]) as admin:
            with pytest.raises(ServingError, match=reason) as refused:
                admin.activate("bad")
            assert refused.value.status == 409
        with pytest.raises(ModelError, match=reason):
            activate(settings.model, "bad")
        assert client.score([ROW]).version == "1"
        assert current_version(settings.model) == "1"
    finally:
        shutil.rmtree(bad)


def test_a_version_that_scores_otherwise_is_refused(service, client):
    import shutil

    settings, port, scopes, _ = service
    bad = store.version_folder(settings.model, "other")
    shutil.copytree(store.version_folder(settings.model, "2"), bad)
    form = json.loads((bad / "manifest.json").read_text())
    form["version"] = "other"
    form["probe"]["outputs"]["click"][0] += 0.01
    (bad / "manifest.json").write_text(json.dumps(form))
    with client_of(settings, port, scopes["admin"]) as admin:
        for version in ("other", "../1", "none"):
            with pytest.raises(ServingError) as refused:
                admin.activate(version)
            assert refused.value.status == 409
    assert client.score([ROW]).version == "1"
    shutil.rmtree(bad)


def test_logs_hold_no_token_and_no_trace(service):
    _, _, scopes, lines = service
    text = "\n".join(lines)
    assert '"path": "/v1/score"' in text
    assert "secret-in-a-path" not in text
    assert "Traceback" not in text
    for token in scopes.values():
        identity, _, secret = token.partition(".")
        assert secret not in text


def test_an_error_of_ours_is_a_500_without_a_word(folder, tmp_path):
    class Broken:
        def __init__(self, backend):
            pass

        def score(self, inputs):
            raise KeyError("a secret of the machine")

    settings = Settings(folder, tmp_path, port=0, limits=LIMITS)
    token = TokenStore(settings.tokens).issue("a")
    with cases.running(settings, wrap=Broken) as server:
        raw = cases.request(token, body([ROW]))
        status, _, answered = cases.ask(settings, server.port, raw)
    assert status == 500
    assert b"secret" not in answered and b"KeyError" not in answered


def test_the_lock_out_grows_and_ends(folder, tmp_path):
    settings = Settings(folder, tmp_path, port=0, limits=TIGHT)
    token = TokenStore(settings.tokens).issue("a")
    with cases.running(settings) as server:

        def status(presented):
            raw = cases.request(presented, body([ROW]))
            return cases.ask(settings, server.port, raw)

        guess = token.partition(".")[0] + ".guess"
        assert [status(guess)[0] for _ in range(4)] == [401, 401, 401, 429]
        found = status(token)  # the same address: right tokens wait, too
        assert found[0] == 429 and found[1]["retry-after"] == "1"
        time.sleep(0.5)
        assert status(guess)[0] == 401  # twice as long from here
        time.sleep(0.5)
        assert status(token)[0] == 429
        time.sleep(0.5)
        assert status(token)[0] == 200
        assert status(guess)[0] == 401  # forgotten: guesses are free again
        assert status(token)[0] == 200


def test_too_many_at_once_are_refused_with_503(folder, tmp_path):
    held = threading.Event()

    class Slow:
        def __init__(self, backend):
            self.backend = backend

        def score(self, inputs):
            held.wait(10)
            return self.backend.score(inputs)

    limits = Limits(rows_waiting=4, rate=1e6, burst=1e6)
    settings = Settings(folder, tmp_path, port=0, limits=limits, batch_rows=1)
    token = TokenStore(settings.tokens).issue("a")
    with cases.running(settings, wrap=Slow) as server:
        work = []

        def send():
            raw = cases.request(token, body(cases.rows(2)))
            work.append(cases.ask(settings, server.port, raw))

        threads = [threading.Thread(target=send) for _ in range(6)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 10
        while len(work) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        held.set()
        for thread in threads:
            thread.join()
    statuses = sorted(status for status, _, _ in work)
    assert statuses == [200, 200, 200, 503, 503, 503]
    assert all(h["retry-after"] == "1" for s, h, _ in work if s == 503)


def test_a_request_in_flight_is_answered_when_the_server_stops(
    folder, tmp_path
):
    class Slow:
        def __init__(self, backend):
            self.backend = backend

        def score(self, inputs):
            started.set()
            time.sleep(0.5)
            return self.backend.score(inputs)

    started, work = threading.Event(), []
    settings = Settings(folder, tmp_path, port=0, limits=LIMITS)
    token = TokenStore(settings.tokens).issue("a")

    def send():
        raw = cases.request(token, body([ROW]))
        work.append(cases.ask(settings, server.port, raw)[0])

    with cases.running(settings, wrap=Slow) as server:
        thread = threading.Thread(target=send)
        thread.start()
        assert started.wait(10)
        server.should_exit = True
        thread.join()
    assert work == [200]
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", server.port), 1)


def test_nothing_to_serve_is_said_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    command = ["serving", "--model", str(tmp_path / "model")]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit, match="no current version"):
        main()


def test_the_command_line_issues_and_revokes(tmp_path, monkeypatch, capsys):
    place = ["serving", "--model", str(tmp_path), "--state", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [*place, "--new-token", "reader"])
    main()
    token = capsys.readouterr().out.strip()
    assert TokenStore(tmp_path / "tokens.json").find(token).name == "reader"
    monkeypatch.setattr(sys, "argv", [*place, "--revoke", "reader"])
    main()
    assert TokenStore(tmp_path / "tokens.json").find(token) is None
