"""Finding the course's files in a checkout and in an installed wheel."""

import pytest

from mtlrec_utils.classroom import course_folder


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "somewhere" / "mtlrec_utils"
    folder.mkdir(parents=True)
    return folder


def checkout(package):
    (package.parent / "pyproject.toml").write_text('name = "mtlrec-utils"\n')


def test_this_checkout_has_its_datasets():
    assert (course_folder("datasets").parent / "mtlrec_utils").is_dir()


def test_a_checkout(package):
    checkout(package)
    (package.parent / "datasets").mkdir()
    assert course_folder(package=package) == package.parent / "datasets"


def test_the_wheel_comes_first(package):
    checkout(package)
    (package.parent / "datasets").mkdir()
    (package / "_datasets").mkdir()
    assert course_folder(package=package) == package / "_datasets"


def test_another_package_called_datasets_is_not_ours(package):
    (package.parent / "datasets").mkdir()
    with pytest.raises(FileNotFoundError, match="complete checkout"):
        course_folder(package=package)


def test_an_unknown_folder(package):
    checkout(package)
    with pytest.raises(FileNotFoundError, match="'nowhere'"):
        course_folder("nowhere", package=package)
