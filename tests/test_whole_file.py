"""A file is there whole, or as it was before."""

import os
import stat

import pytest

from mtlrec_utils.whole_file import whole_file


def test_the_target_is_as_before_until_the_block_ends(tmp_path):
    path = tmp_path / "new" / "table.csv"
    with whole_file(path) as part:
        part.write_text("half")
        assert not path.exists()
        assert part.parent == path.parent and part.suffix == ".csv"
    assert path.read_text() == "half"
    with whole_file(path) as part:
        part.write_text("other")
        assert path.read_text() == "half"
    assert path.read_text() == "other"
    assert os.listdir(path.parent) == ["table.csv"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(type(error)), whole_file(path) as part:
        part.write_text("half of the new")
        raise error
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["table.csv"]


def test_two_writers_do_not_meet(tmp_path):
    path = tmp_path / "table.csv"
    with whole_file(path) as one, whole_file(path) as two:
        assert one != two
        one.write_text("one")
        two.write_text("two")
    assert path.read_text() == "one", "the block that ends last wins"


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_a_secret_is_private_from_the_first_byte(tmp_path):
    def mode(path):
        return stat.S_IMODE(path.stat().st_mode)

    with whole_file(tmp_path / "key", mode=0o600) as part:
        assert mode(part) == 0o600
        part.write_text("secret")
    assert mode(tmp_path / "key") == 0o600
    with whole_file(tmp_path / "open") as part:
        part.unlink()
        part.write_text("written anew, as some libraries do")
    assert mode(tmp_path / "open") == 0o644
