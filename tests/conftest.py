"""What every test file starts from."""

from collections.abc import Iterator

import matplotlib as mpl
import pytest


@pytest.fixture(autouse=True, scope="module")
def the_style_of_figures_ends_with_the_file() -> Iterator[None]:
    """A file that turns the house style on does not pass it to the next."""
    with mpl.rc_context():
        yield
