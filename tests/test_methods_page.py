"""METHODS.md: up to date, complete, and every link leads somewhere."""

import ast
import inspect
import re

import pytest

from mtlrec_utils import models
from mtlrec_utils.learning import balancing, transfer
from tools import (
    method_sources,
    methods_markdown,
    methods_page,
    methods_transfer,
)

# What these modules offer beside methods: a loss's layer, files, lists.
NO_METHODS = {
    "DomainGap",
    "export_module",
    "exported_layer",
    "layer_groups",
    "layer_table",
    "load_module",
    "save_module",
    "unfreeze",
}
SECTIONS = {
    "fine-tuning": (
        method_sources.FINE_TUNING,
        methods_transfer.FINE_TUNING_TABLES,
    ),
    "alignment": (
        method_sources.ALIGNMENT,
        methods_transfer.ALIGNMENT_TABLES,
    ),
    "many domains": (
        method_sources.MANY_DOMAINS,
        methods_transfer.DOMAIN_TABLES,
    ),
}
# What stands in the tables to be beaten, or shares over tasks alone.
REFERENCES = {
    "alone",
    "always the mean",
    "as is",
    "base rate",
    "domain",
    "film mean",
    "item mean",
    "target labels",
    "task and domain",
    "task and domain, wide",
    "unknown",
}


@pytest.fixture(scope="module")
def written():
    return methods_page.PAGE.read_text("utf-8")


def test_the_page_is_what_code_and_tables_say_now(written):
    assert written == methods_page.page(), "run python -m tools.methods_page"


def test_every_method_has_its_section(written):
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
    domains = {name for listed, _ in SECTIONS.values() for name in listed}
    assert sections == exported | others | domains


def test_every_public_method_of_transfer_and_of_domains_is_listed():
    modules = ("multidomain", "star", "pepnet")
    modules += ("domain_alignment", "domain_distances")
    offered = set(transfer.__all__).union(
        *(models._OFFERED[module] for module in modules)
    )
    listed = {name for names, _ in SECTIONS.values() for name in names}
    assert offered >= NO_METHODS
    assert offered - NO_METHODS <= listed | set(method_sources.MAPPINGS)
    assert listed - offered == {"fit"}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_method_of_the_tables_is_listed_or_a_reference(section):
    listed, tables = SECTIONS[section]
    names = [name for several in listed.values() for name in several]
    told = {method for each in tables for method in each.rows["method"]}
    assert len(set(names)) == len(names)
    assert told - REFERENCES == set(names)
    for each in tables:
        own = set(each.rows["method"])
        if each.against in own:
            base = each.rows.query(f"method == '{each.against}'")
            assert (base["difference"] == 0).all()


@pytest.mark.parametrize("section", SECTIONS)
def test_a_line_counts_the_verdicts_or_says_that_there_is_no_table(
    section, written
):
    listed, tables = SECTIONS[section]
    for code, names in listed.items():
        if code == "estimated_prior":  # its line has the priors it found
            continue
        for name in names or ("",):
            start = rf"^\| \[{code}\]\(#{code.lower()}\) \| {re.escape(name)} "
            (line,) = re.findall(rf"{start}\|(.+) \|$", written, re.M)
            cells = line.split(" | ")[1:]
            for each, cell in zip(tables, cells, strict=True):
                assert cell == expected_cell(each, name), (code, name)


def expected_cell(stored, name):
    if name == stored.against:
        return "baseline"
    rows = stored.rows
    rows = rows[rows["method"] == name]
    if "domain" in rows:
        rows = rows[~rows["domain"].isin(["average", "all"])]
    words, found = ("helps", "hurts", "cannot tell"), []
    for metric in rows["metric"].unique():
        said = list(rows.loc[rows["metric"] == metric, "verdict"])
        counts = [f"{w} {said.count(w)}" for w in words if w in said]
        found.append(f"{metric}: {', '.join(counts)}".replace("_", " "))
    cell = "; ".join(found) or "no table"
    return cell.replace("auc", "AUC").replace("rmse", "RMSE")


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_shows_every_difference_of_its_method(section, written):
    listed, tables = SECTIONS[section]
    parts = re.split(r"^###? (.+)$", written, flags=re.M)
    texts = dict(zip(parts[1::2], parts[2::2], strict=True))
    for code, names in listed.items():
        wanted = []
        for each in tables:
            rows = each.rows[each.rows["method"].isin(names)]
            rows = rows[rows["method"] != each.against]
            wanted += [
                f"{row.verdict} ({row.difference:+.4f})"
                for row in rows.itertuples()
            ]
        shown = re.findall(
            r"(helps|hurts|cannot tell) (\([+-]\d\.\d{4}\))", texts[code]
        )
        assert sorted(" ".join(each) for each in shown) == sorted(wanted), code


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


def test_points_of_a_section_are_those_of_the_tables(written):
    parts = re.split(r"^### (.+)$", written, flags=re.M)
    text = dict(zip(parts[1::2], parts[2::2], strict=True))
    table = methods_markdown.results("fine_tuning").set_index("method")
    own = table.loc["L2-SP"].query("metric == 'auc'")
    worse = sum(high < 0 for high in own["films_high"])
    assert (
        f"{min(own['films_change']):+.3f} to {max(own['films_change']):+.3f}, "
        f"its interval below 0 in {worse} of {len(own)} settings"
    ) in text["L2SP"]
    steps = table[table["part"] == "speed"]["value"]
    assert (
        f"scratch: {steps['fine-tuned']:.0f}, scratch {steps['scratch']:.0f}: "
    ) in text["transfer_weights"]
    sizes = table.groupby("method")["parameters"].first()
    assert f"frozen {sizes['frozen']:.0f}, scratch" in text["freeze"]
    cells = methods_markdown.results("domain_alignment")
    mmd = cells.loc[cells["method"] == "MMD", "domain_accuracy"]
    assert f"MMD {min(mmd):.2f} to {max(mmd):.2f}, " in text["mmd_loss"]
    rare = cells.loc[cells["target_prior"] == 0.05, "estimated_prior"]
    assert f"; 0.05 found as {rare.iloc[0]:.2f} |" in written
    assert rare.nunique() == 1


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


def test_a_source_that_only_the_module_names_is_told(tmp_path):
    path = tmp_path / "small.py"
    module = '"""A module.\n\n    a = b\n\nSource: a paper.\n"""\n'
    for own, told in (
        ("What.", "What.\n\n    a = b\n\nSource: a paper."),
        ("What.\n\n    Source: own.", "What.\n\nSource: own."),
    ):
        path.write_text(f'{module}def f():\n    """{own}"""\n')
        (method,) = method_sources._methods(path, ast.FunctionDef)
        assert method.text == told
