"""METHODS.md: up to date, complete, and every link leads somewhere."""

import ast
import inspect
import re

import pytest

from mtlrec_utils.learning import balancing
from tools import method_sources, methods_markdown, methods_page


@pytest.fixture(scope="module")
def written():
    return methods_page.PAGE.read_text("utf-8")


def test_the_page_is_what_code_and_tables_say_now(written):
    assert written == methods_page.page(), "run python -m tools.methods_page"


def test_every_method_pattern_and_mapping_has_its_section(written):
    sections = set(re.findall(r"^### (\w+)$", written, re.M))
    exported = {
        name
        for name in balancing.__all__
        if inspect.isclass(kind := getattr(balancing, name))
        and issubclass(kind, balancing.Balancing)
        and not inspect.isabstract(kind)
        and kind is not balancing.Balancing
    }
    others = {*method_sources.PATTERNS, *method_sources.MAPPINGS}
    assert sections == exported | others


def test_every_section_has_code_and_tests_that_name_the_method(written):
    parts = re.split(r"^### (\w+)$", written, flags=re.M)
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        code, tests = (
            re.findall(rf"^\* {kind}: (.+)$", text, re.M)[0]
            for kind in ("Code", "Tests")
        )
        for line in (code, tests):
            links = re.findall(r"\]\(([^)]+)\)", line)
            assert links, f"{name}: {line}"
            for link in links:
                file = method_sources.ROOT / link
                assert re.search(rf"\b{name}\b", file.read_text("utf-8"))


def test_every_link_leads_to_a_file_or_a_section(written):
    anchors = {
        f"#{n.lower()}" for n in re.findall(r"^### (\w+)$", written, re.M)
    }
    for link in set(re.findall(r"\]\(([^)]+)\)", written)):
        if link.startswith("#"):
            assert link in anchors
        else:
            assert (method_sources.ROOT / link).exists(), link


def test_methods_of_the_results_table_are_known():
    names = set(method_sources.table_names().values())
    table = methods_markdown.results("balancing_methods")
    assert set(table["method"]) <= names


def test_code_lines_leave_out_text(tmp_path):
    path = tmp_path / "small.py"
    path.write_text(
        'class Small:\n    """What it is.\n\n    More.\n\n    Args:\n'
        '        x: y.\n    """\n\n    # a remark\n    def f(self):\n'
        '        """Text."""\n        return 1\n'
    )
    (method,) = method_sources._methods(path, ast.ClassDef)
    assert method.lines == 3
    assert method.text == "What it is.\n\nMore."
    assert method.summary == "What it is."
