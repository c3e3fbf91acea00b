"""Census-Income (KDD): the tabular data set of the MMoE paper.

Source: UCI Machine Learning Repository, data set 117, from the U.S. Census
Bureau's Current Population Surveys of 1994 and 1995. Tasks as in J. Ma et
al., Modeling Task Relationships in Multi-task Learning with Multi-gate
Mixture-of-Experts, KDD 2018, section 5.
"""

from __future__ import annotations

import os
import warnings
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

import pandas as pd

from mtlrec_utils.data.real.cache import fetch, find_file
from mtlrec_utils.data.real.files import (
    DataFileError,
    layout_errors,
    open_file,
    open_member,
    read_columns,
)

# File order; the publisher's names with underscores for blanks.
COLUMNS = (
    "age", "class_of_worker", "detailed_industry_recode",
    "detailed_occupation_recode", "education", "wage_per_hour",
    "enroll_in_edu_inst_last_wk", "marital_stat", "major_industry_code",
    "major_occupation_code", "race", "hispanic_origin", "sex",
    "member_of_a_labor_union", "reason_for_unemployment",
    "full_or_part_time_employment_stat", "capital_gains", "capital_losses",
    "dividends_from_stocks", "tax_filer_stat",
    "region_of_previous_residence", "state_of_previous_residence",
    "detailed_household_and_family_stat",
    "detailed_household_summary_in_household", "instance_weight",
    "migration_code_change_in_msa", "migration_code_change_in_reg",
    "migration_code_move_within_reg", "live_in_this_house_1_year_ago",
    "migration_prev_res_in_sunbelt", "num_persons_worked_for_employer",
    "family_members_under_18", "country_of_birth_father",
    "country_of_birth_mother", "country_of_birth_self", "citizenship",
    "own_business_or_self_employed",
    "fill_inc_questionnaire_for_veterans_admin", "veterans_benefits",
    "weeks_worked_in_year", "year", "income",
)  # fmt: skip

NUMBER_FEATURES = (
    "age", "wage_per_hour", "capital_gains", "capital_losses",
    "dividends_from_stocks", "num_persons_worked_for_employer",
    "weeks_worked_in_year",
)  # fmt: skip

#: What may be an input. Not the survey weight (it alone predicts "never
#: married" with AUC .67), not the columns two labels are made of. The third
#: label is made of `education`: leave it out when `college` is a task.
FEATURES = tuple(
    name
    for name in COLUMNS
    if name not in ("instance_weight", "marital_stat", "income")
)
CATEGORICAL_FEATURES = tuple(n for n in FEATURES if n not in NUMBER_FEATURES)

#: The column each label is made of, never an input of that task.
LABEL_SOURCES = {
    "income_over_50k": "income",
    "never_married": "marital_stat",
    "college": "education",
}

#: Household columns that all but spell out the marital status. Alone, in
#: this order, they reach AUC .978, .946, .899 and .818 on `never_married`
#: in the official test file, so "multi-task learning works" there is mostly
#: a lookup. (`age`, no household column, reaches .946.)
LEAKY_HOUSEHOLD_COLUMNS = (
    "detailed_household_and_family_stat",
    "detailed_household_summary_in_household",
    "tax_filer_stat",
    "family_members_under_18",
)

#: `college` is 1 for these, "some college" and above.
COLLEGE_EDUCATION = (
    "Some college but no degree",
    "Associates degree-occup /vocational",
    "Associates degree-academic program",
    "Bachelors degree(BA AB BS)",
    "Masters degree(MA MS MEng MEd MSW MBA)",
    "Prof school degree (MD DDS DVM LLB JD)",
    "Doctorate degree(PhD EdD)",
)

OFFICIAL_ROWS = {"train": 199_523, "test": 99_762}

_FILES = {"train": "census-income.data", "test": "census-income.test"}
_PACKED = "census.tar.gz"  # inside the publisher's zip
_CODES = (
    "detailed_industry_recode", "detailed_occupation_recode",
    "own_business_or_self_employed", "veterans_benefits", "year",
)  # fmt: skip
# The other strings are left to inference: naming them takes thrice as long.
_DTYPES = (
    dict.fromkeys(NUMBER_FEATURES, "int32")
    | dict.fromkeys(_CODES, "int16")
    | {"instance_weight": "float32", "income": "str"}
)
_TRAILING_BLANK = ("major_occupation_code", "citizenship")
_INCOME = {"- 50000": 0, "50000+": 1}


def load_census_income(
    part: str = "train",
    folder: str | os.PathLike[str] | None = None,
    *,
    file: str | os.PathLike[str] | None = None,
    download: bool = False,
) -> pd.DataFrame:
    """Load one part of Census-Income (KDD) with its three labels.

    Args:
        part: "train" (`census-income.data`) or "test"
            (`census-income.test`), each plain, gzipped, or in the
            publisher's zip.
        folder: the data folder; None for `data_folder()`.
        file: one file in this layout, read instead.
        download: fetch the publisher's zip if the part is not there.

    Returns:
        One row per person in file order; no row is dropped, though some are
        full duplicates. `COLUMNS`, in file order: the seven
        `NUMBER_FEATURES` int32; five codes (industry, occupation, own
        business, veterans benefits, year) int16, which are names and not
        quantities; `instance_weight` float32, the people a row stands for:
        use it to weigh, never as a feature; the others str, without the
        file's blanks at either end, `?` read as missing (NaN) and the
        literal `NA` of `hispanic_origin` kept; `income` without its full
        stop. Then the labels, int8 0/1: `income_over_50k`,
        `never_married`, `college`
        ("some college" or more, `COLLEGE_EDUCATION`).

    Raises:
        ValueError: unknown part.
        FileNotFoundError: the part is not there.
        DataFileError: damaged file or wrong layout.

    Warns:
        UserWarning: not the published number of rows, so no figure may be
            compared with a published one.
    """
    if part not in _FILES:
        raise ValueError(f'part: {part!r} is unknown; use "train" or "test".')
    what, stream = _open(part, folder, file, download)
    with stream as opened:
        frame = read_columns(
            opened,
            COLUMNS,
            what=what,
            dtypes=_DTYPES,
            skipinitialspace=True,
            na_values=["?"],
            # `NA` is an answer of hispanic_origin, not a missing value.
            keep_default_na=False,
        )
    _tidy_strings(frame, what)
    _add_labels(frame, what)
    if len(frame) != OFFICIAL_ROWS[part]:
        warnings.warn(
            f"{what} has {len(frame):,} rows, the official {part} file "
            f"{OFFICIAL_ROWS[part]:,}: compare no figure with a published "
            "one.",
            stacklevel=2,
        )
    return frame


def _open(
    part: str,
    folder: str | os.PathLike[str] | None,
    file: str | os.PathLike[str] | None,
    download: bool,
) -> tuple[str, AbstractContextManager[IO[bytes]]]:
    name = _FILES[part]
    if file is not None:
        path = Path(file)
        if not path.is_file():
            raise FileNotFoundError(f"file: {path} does not exist.")
        return path.name, open_file(path)
    found = find_file(folder, "census-income", [f"{name}.gz", name])
    if found is not None:
        return found.name, open_file(found)
    archive = fetch("census-income", folder, download=download)
    return name, open_member(archive, name, inside=_PACKED)


def _tidy_strings(frame: pd.DataFrame, what: str) -> None:
    frame["income"] = frame["income"].str.removesuffix(".")
    for name in COLUMNS:
        if name not in _DTYPES and frame[name].isna().all():
            frame[name] = frame[name].astype(frame["income"].dtype)
    with layout_errors(what, f"text in {' and '.join(_TRAILING_BLANK)}"):
        for name in _TRAILING_BLANK:
            frame[name] = frame[name].str.rstrip()


def _add_labels(frame: pd.DataFrame, what: str) -> None:
    income = frame["income"].map(_INCOME)
    if income.isna().any():
        row = int(income.isna().to_numpy().argmax())
        raise DataFileError(
            f"{what} line {row + 1}: income is {frame['income'].iloc[row]!r}, "
            "expected '- 50000.' or '50000+.'. Get the file again from the "
            "publisher, unchanged."
        )
    frame["income_over_50k"] = income.astype("int8")
    frame["never_married"] = (
        frame["marital_stat"].eq("Never married").astype("int8")
    )
    frame["college"] = (
        frame["education"].isin(COLLEGE_EDUCATION).astype("int8")
    )
