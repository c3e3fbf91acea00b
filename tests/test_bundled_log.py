"""The bundled log is what the world would write today."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from tools import make_bundled_log
from tools.make_bundled_log import CARD, LOG, bundled_log, checksum_in_card


def test_card_states_the_checksum_of_the_file():
    assert LOG.stat().st_size <= 5_000_000
    found = hashlib.sha256(LOG.read_bytes()).hexdigest()
    assert found == checksum_in_card()


def test_file_holds_what_the_world_writes():
    bundled, made = pd.read_parquet(LOG), bundled_log()
    assert list(bundled) == list(made)
    assert len(bundled) == 100_000
    for name in made:
        left, right = bundled[name].to_numpy(), made[name].to_numpy()
        if name == "watch_minutes":
            # exp differs in its last bit from one processor to another.
            assert np.allclose(left, right, rtol=1e-6, equal_nan=True)
        else:
            assert bundled[name].equals(made[name].astype(bundled[name].dtype))


def test_card_describes_every_column():
    text = CARD.read_text(encoding="utf-8")
    table = [line for line in text.splitlines() if line.startswith("| ")]
    named = [
        name.strip()
        for line in table[1:]
        for name in line.split("|")[1].split(",")
    ]
    assert named == list(pd.read_parquet(LOG))


def test_main_writes_log_and_checksum(tmp_path, monkeypatch):
    card = tmp_path / CARD.name
    card.write_text(CARD.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(make_bundled_log, "ROOT", tmp_path)
    monkeypatch.setattr(make_bundled_log, "LOG", tmp_path / LOG.name)
    monkeypatch.setattr(make_bundled_log, "CARD", card)
    make_bundled_log.main()
    made = (tmp_path / LOG.name).read_bytes()
    assert hashlib.sha256(made).hexdigest() == checksum_in_card()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [card.name, LOG.name]
    )
    card.write_text("no checksum", encoding="utf-8")
    with pytest.raises(ValueError, match="sha256"):
        checksum_in_card()
