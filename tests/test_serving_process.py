"""The server as its users start it: a process, its signals, its end."""

import os
import signal

import numpy as np
import pytest
import serving_cases as cases

from mtlrec_utils.learning import predict
from mtlrec_utils.serving import (
    TokenStore,
    activate,
    current_version,
    export_model,
    start_server,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("process")
    for version, seed in (("1", 0), ("2", 1)):
        export_model(cases.model(seed), cases.schema(), place / "m", version)
    activate(place / "m", "1")
    return place


@pytest.fixture(scope="module")
def tokens(place):
    store = TokenStore(place / "state" / "tokens.json")
    return {
        scope: store.issue(scope, (scope,)) for scope in ("score", "admin")
    }


def test_what_was_chosen_and_issued_outlives_kill_9(place, tokens):
    expected = {
        seed: predict(
            cases.model(seed), cases.schema().encode(cases.log()[:3])
        )
        for seed in (0, 1)
    }
    with start_server(place / "m", place / "state") as server:
        client = server.client(tokens["score"])
        answer = client.score(cases.rows(3))
        np.testing.assert_allclose(
            answer.scores["click"], expected[0]["click"], atol=1e-6
        )
        server.client(tokens["admin"]).activate("2")
        server.kill()
        assert not server.running
    assert current_version(place / "m") == "2"
    with start_server(place / "m", place / "state") as again:
        answer = again.client(tokens["score"]).score(cases.rows(3))
        assert answer.version == "2"
        np.testing.assert_allclose(
            answer.scores["click"], expected[1]["click"], atol=1e-6
        )
        os.kill(again.process_id, signal.SIGTERM)
        assert again.stop() == -signal.SIGTERM, "-9: it did not end in time"
        assert tokens["score"] not in "\n".join(again.log)


def test_a_server_that_cannot_start_says_why(place):
    with pytest.raises(RuntimeError, match="no current version") as error:
        start_server(place / "empty", place / "state")
    assert "Traceback" not in str(error.value)
