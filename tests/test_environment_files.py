"""pyproject.toml, environment.yml and the lock files say the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCKS = {
    "requirements.lock": ("serving", "test", "dev"),
    "tests/colab-2026-08.lock": ("serving", "test"),
}


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements(*extras: str) -> dict[str, Requirement]:
    lines = list(project()["dependencies"])
    for extra in extras:
        lines += project()["optional-dependencies"][extra]
    parsed = [Requirement(line) for line in lines]
    return {
        canonicalize_name(r.name): r
        for r in parsed
        if r.name != project()["name"]
    }


def locked(lock: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    pattern = r"^([A-Za-z0-9_.-]+)(?:\[.*\])?==([^\s;]+)"
    text = (ROOT / lock).read_text()
    for name, version in re.findall(pattern, text, re.MULTILINE):
        found.setdefault(canonicalize_name(name), set()).add(version)
    return found


def test_environment_yml_has_the_ranges_of_pyproject():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, _, pip = listed["dependencies"]
    assert python == "python" + project()["requires-python"]
    assert pip["pip"][0] == "-e ."
    parsed = [Requirement(line) for line in pip["pip"][1:]]
    have = {canonicalize_name(r.name): r.specifier for r in parsed}
    want = {
        name: r.specifier
        for name, r in requirements("serving", "test", "dev").items()
    }
    assert have == want


@pytest.mark.parametrize("lock", LOCKS)
def test_locked_versions_lie_in_the_ranges(lock):
    pins = locked(lock)
    for name, requirement in requirements(*LOCKS[lock]).items():
        assert name in pins, f"{lock} lacks {name}: run `make lock`"
        for version in pins[name]:
            assert version in requirement.specifier, (lock, name, version)


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_are_hashed_and_name_no_index(lock):
    text = (ROOT / lock).read_text()
    assert "://" not in text
    entries = re.findall(r"^\S+==.*\n(.*)\n", text, re.MULTILINE)
    assert entries
    assert all("--hash=sha256:" in line for line in entries)


def test_colab_lock_holds_what_colab_publishes():
    published = {}
    for line in (ROOT / "tests/colab-2026-08.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            published[canonicalize_name(name)] = version
    pins = locked("tests/colab-2026-08.lock")
    assert {"tensorflow", "keras", "numpy", "pandas"} <= pins.keys()
    for name, versions in pins.items():
        if name in published:
            assert versions == {published[name]}, name
