"""The loaders on the genuine files named by MTLREC_DATA; skipped without.

Counts and ranges are facts about the published files. No row of them is
repeated here: the licences forbid most of them to be passed on.
"""

import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from mtlrec_utils.data.real import (
    census_income,
    kuairand,
    load_amazon_books_movies,
    load_census_income,
    load_kuairand,
    load_movielens,
    load_ratings_pair,
)
from mtlrec_utils.data.real.files import open_member


def real_file(relative):
    root = os.environ.get("MTLREC_DATA")
    if not root:
        pytest.skip("MTLREC_DATA is not set; it names the real data's folder")
    path = Path(root) / relative
    if not path.exists():
        pytest.skip(f"{relative} is missing in the folder MTLREC_DATA names")
    return path


def counts(series):
    return series.value_counts().sort_index().tolist()


def not_digits(series):
    return int((~series.str.fullmatch(r"\d+")).sum())


# --- MovieLens --------------------------------------------------------------


@pytest.fixture(scope="module")
def ml_100k():
    path = real_file("movielens/ml-100k.zip")
    return load_movielens("100k", path.parents[1])


def test_movielens_100k_ratings(ml_100k):
    assert ml_100k.name == "MovieLens-100K" and ml_100k.complete is True
    ratings = ml_100k.ratings
    assert len(ratings) == 100_000
    assert counts(ratings["rating"]) == [6110, 11370, 27145, 34174, 21201]
    assert sorted(ratings["user"].unique()) == list(range(1, 944))
    assert sorted(ratings["item"].unique()) == list(range(1, 1683))
    assert ratings["time"].min() == 874724710
    assert ratings["time"].max() == 893286638
    assert not ratings.duplicated(["user", "item"]).any()
    assert ratings.groupby("user").size().min() == 20


def test_movielens_100k_items(ml_100k):
    items = ml_100k.items
    assert items["item"].tolist() == list(range(1, 1683))
    unknown = items[items["item"] == 267].iloc[0]
    assert unknown["title"] == "unknown"
    assert pd.isna(unknown["release_date"]) and pd.isna(unknown["imdb_url"])
    assert items["release_date"].isna().sum() == 1
    assert items["title"].duplicated().sum() == 18
    genres = set("|".join(items["genres"]).split("|"))
    assert len(genres) == 19 and (items["genres"] != "").all()
    assert items["year"].between(1900, 1998).sum() + items[
        "year"
    ].isna().sum() == len(items)


def test_movielens_100k_titles_are_latin_1(ml_100k):
    path = real_file("movielens/ml-100k.zip")
    with open_member(path, "u.item") as stream:
        raw = stream.read()
    with pytest.raises(UnicodeDecodeError):
        raw.decode("utf-8")
    foreign = ml_100k.items["title"].str.contains(r"[^\x00-\x7f]")
    letters = "".join(ml_100k.items.loc[foreign, "title"])
    assert foreign.any()
    assert all(c.isalpha() for c in letters if c > "\x7f")


def test_movielens_100k_users(ml_100k):
    users = ml_100k.users
    assert len(users) == 943
    assert users["age"].min() == 7 and users["age"].max() == 73
    assert set(users["sex"]) == {"F", "M"}
    assert users["occupation"].nunique() == 21
    assert not_digits(users["zip_code"]) == 18
    assert users["zip_code"].str.len().eq(5).all()


@pytest.fixture(scope="module")
def ml_1m_slice():
    path = real_file("movielens/ml-1m-slice.zip")
    return load_movielens("1m", file=path)


def test_movielens_1m_slice_is_never_called_1m(ml_1m_slice):
    assert ml_1m_slice.complete is False
    assert ml_1m_slice.name == "103,934 ratings in the layout of ml-1m"


def test_movielens_1m_slice_ratings(ml_1m_slice):
    ratings = ml_1m_slice.ratings
    assert len(ratings) == 103_934
    assert counts(ratings["rating"]) == [5770, 12813, 29474, 37361, 18516]
    assert ratings["user"].nunique() == 1135
    assert ratings["item"].nunique() == 3437
    assert ratings["time"].min() == 975768738
    assert ratings["time"].max() == 1046454590
    assert not ratings.duplicated(["user", "item"]).any()
    assert ratings.groupby("user").size().min() == 1
    assert ratings["item"].isin(ml_1m_slice.items["item"]).all()
    assert ratings["user"].isin(ml_1m_slice.users["user"]).all()


def test_movielens_1m_side_tables(ml_1m_slice):
    items, users = ml_1m_slice.items, ml_1m_slice.users
    assert len(items) == 3883 and items["item"].is_unique
    assert len(set("|".join(items["genres"]).split("|"))) == 18
    assert items["year"].notna().all()
    letters = set("".join(items["title"]))
    assert any("\xe0" <= c <= "\xff" for c in letters)
    assert len(users) == 6040 and users["user"].is_unique
    assert sorted(users["age_group"].unique()) == [1, 18, 25, 35, 45, 50, 56]
    assert users["occupation"].nunique() == 21
    assert not_digits(users["zip_code"]) == 66


# --- Census-Income ----------------------------------------------------------


@pytest.fixture(scope="module")
def census():
    path = real_file("census-income/census-income.test.gz")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the official file is complete
        return load_census_income("test", path.parents[1])


def test_census_rows_and_labels(census):
    assert census.shape == (99_762, 45)
    assert counts(census["income"]) == [93_576, 6_186]
    assert counts(census["income_over_50k"]) == [93_576, 6_186]
    assert set(census["income"]) == {"- 50000", "50000+"}
    assert census["never_married"].mean() == pytest.approx(0.4325, abs=5e-5)
    assert census["college"].mean() == pytest.approx(0.3349, abs=5e-5)


def test_census_missing_values_and_the_literal_na(census):
    missing = census.isna().sum()
    assert missing[missing > 0].to_dict() == {
        "state_of_previous_residence": 330,
        "migration_code_change_in_msa": 49_946,
        "migration_code_change_in_reg": 49_946,
        "migration_code_move_within_reg": 49_946,
        "migration_prev_res_in_sunbelt": 49_946,
        "country_of_birth_father": 3_429,
        "country_of_birth_mother": 3_072,
        "country_of_birth_self": 1_764,
    }
    assert (census["hispanic_origin"] == "NA").sum() == 405
    late = census["year"] == 95
    for column in missing.index[missing == 49_946]:
        assert census[column].isna().equals(late)


def test_census_strings_are_clean(census):
    text = census.drop(columns=census.select_dtypes("number").columns)
    assert text.shape[1] == 29
    for name, column in text.items():
        values = column.dropna().drop_duplicates()
        assert (values == values.str.strip()).all(), name
        assert not values.isin(["?", ""]).any(), name


def test_census_ranges_and_cardinalities(census):
    ranges = {
        "age": (0, 90),
        "detailed_industry_recode": (0, 51),
        "detailed_occupation_recode": (0, 46),
        "wage_per_hour": (0, 9900),
        "capital_gains": (0, 99_999),
        "capital_losses": (0, 4608),
        "dividends_from_stocks": (0, 99_999),
        "num_persons_worked_for_employer": (0, 6),
        "own_business_or_self_employed": (0, 2),
        "veterans_benefits": (0, 2),
        "weeks_worked_in_year": (0, 52),
        "year": (94, 95),
    }
    for name, (low, high) in ranges.items():
        assert (census[name].min(), census[name].max()) == (low, high), name
    weight = census["instance_weight"]
    assert weight.min() == pytest.approx(43.26, abs=0.005)
    assert weight.max() == pytest.approx(16258.2, abs=0.05)
    assert counts(census["year"]) == [49_816, 49_946]
    distinct = {
        "class_of_worker": 9, "education": 17, "marital_stat": 7,
        "major_industry_code": 24, "major_occupation_code": 15, "race": 5,
        "hispanic_origin": 10, "sex": 2, "tax_filer_stat": 6,
        "detailed_household_and_family_stat": 37,
        "detailed_household_summary_in_household": 8,
        "family_members_under_18": 5, "citizenship": 5,
    }  # fmt: skip
    for name, number in distinct.items():
        assert census[name].nunique() == number, name


def test_census_duplicates_stay(census):
    raw = census[list(census_income.COLUMNS)]
    assert raw.duplicated().sum() == 883
    without = raw.drop(columns="instance_weight")
    assert without.duplicated().sum() == 20_898


def single_column_auc(frame, column, label):
    """Target-encode one column on half the rows, score the other half."""
    half = np.random.default_rng(0).random(len(frame)) < 0.5
    rates = frame[half].groupby(column)[label].mean()
    rest = frame[~half]
    scores = rest[column].map(rates).fillna(frame[half][label].mean())
    return roc_auc_score(rest[label], scores)


@pytest.mark.parametrize(
    ("column", "published"),
    [
        *zip(
            census_income.LEAKY_HOUSEHOLD_COLUMNS,
            (0.978, 0.946, 0.899, 0.818),
            strict=True,
        ),
        ("age", 0.946),
    ],
)
def test_census_household_columns_leak_the_marital_status(
    census, column, published
):
    found = single_column_auc(census, column, "never_married")
    assert found == pytest.approx(published, abs=0.005)


def test_census_weight_predicts_labels_though_it_is_no_feature(census):
    found = single_column_auc(census, "instance_weight", "never_married")
    assert found == pytest.approx(0.674, abs=0.01)
    assert "instance_weight" not in census_income.FEATURES


def test_census_stand_in_pair_reads_like_the_official_pair(census):
    folder = real_file("census-income/standin")
    with pytest.warns(UserWarning, match="66,508 rows, the official train"):
        train = load_census_income("train", folder)
    with pytest.warns(UserWarning, match="33,254 rows, the official test"):
        test = load_census_income("test", folder)
    both = pd.concat([train, test], ignore_index=True)
    pd.testing.assert_frame_equal(both, census)


# --- KuaiRand ---------------------------------------------------------------


@pytest.fixture(scope="module")
def videos():
    path = real_file("kuairand/KuaiRand-Pure-features.tar.gz")
    return load_kuairand(file=path)


def test_kuairand_users(videos):
    users = videos.users
    assert users.shape == (27_285, 31)
    assert sorted(users["user"]) == list(range(27_285))
    assert users["user_active_degree"].nunique() == 9
    assert (users["is_lowactive_period"] == 0).all()
    assert users["is_live_streamer"].isna().sum() == 21_127
    assert (users["is_live_streamer"].dropna() == 1).all()
    assert users["fans_user_num"].max() == 1_986_249
    assert users["onehot_feat4"].isna().sum() == 874
    for number in range(12, 18):
        assert users[f"onehot_feat{number}"].isna().sum() == 714


def test_kuairand_videos(videos):
    items = videos.items
    assert items.shape == (7_583, 12)
    assert sorted(items["item"]) == list(range(7_583))
    kinds = items["video_type"].value_counts().to_dict()
    assert kinds == {"NORMAL": 7_506, "AD": 76, "UNKNOWN": 1}
    assert items["upload_type"].nunique() == 14
    assert items["video_duration"].isna().sum() == 239
    assert items["music_type"].isna().sum() == 203
    assert items["tag"].isna().sum() == 96
    assert items["tag"].nunique() == 110
    assert items["upload_dt"].min() == pd.Timestamp(2022, 4, 9)
    assert items["upload_dt"].max() == pd.Timestamp(2022, 4, 11)


def test_kuairand_without_its_logs_says_how_to_get_them(videos):
    path = real_file("kuairand/KuaiRand-Pure-features.tar.gz")
    for logs, name in (
        ("standard", kuairand.STANDARD_LOGS[0]),
        ("random", kuairand.RANDOM_LOGS[0]),
    ):
        with pytest.raises(FileNotFoundError, match=name) as error:
            load_kuairand(file=path, logs=logs)
        assert "zenodo.org/records/10439422" in str(error.value)


def test_kuairand_log_piece_joins_with_the_tables(videos):
    log = pd.read_csv(real_file("kuairand/kuairand_sample.csv"))
    assert log.shape == (200, 42) and log["is_click"].sum() == 32
    assert log["user_id"].nunique() == 145
    assert log["video_id"].nunique() == 29
    joined = log.merge(
        videos.users, left_on="user_id", right_on="user", validate="m:1"
    ).merge(videos.items, left_on="video_id", right_on="item", validate="m:1")
    assert len(joined) == 200
    same = joined["register_days_x"] == joined["register_days_y"]
    assert same.all()


# --- Amazon books and films -------------------------------------------------


def test_amazon_pair():
    folder = real_file("amazon-books-movies").parent
    data = load_amazon_books_movies(folder)
    assert data.duplicates == {"source": 6_645, "target": 5_939}
    assert len(data.source) == 38_149 - 6_645
    assert len(data.target) == 68_023 - 5_939
    assert data.source["user"].nunique() == 1_426
    assert data.target["user"].nunique() == 1_381
    assert data.source["item"].nunique() == 723
    assert data.target["item"].nunique() == 1_338
    assert len(data.overlap) == 1_329
    assert not set(data.source["item"]) & set(data.target["item"])
    assert data.source["item"].str.startswith("0").any()
    for frame in (data.source, data.target):
        assert frame["rating"].between(1, 5).all()
        assert not frame.duplicated(["user", "item"]).any()
        assert "time" not in frame


def test_amazon_repeats_must_be_settled():
    folder = real_file("amazon-books-movies")
    books = folder / "Amazon-Books-Dense.inter.gz"
    films = folder / "Amazon-Movies-Dense.inter.gz"
    with pytest.raises(ValueError, match="source: 6645 rows repeat"):
        load_ratings_pair(books, films)
    last = load_ratings_pair(books, films, duplicates="last")
    mean = load_ratings_pair(books, films, duplicates="mean")
    assert len(last.source) == len(mean.source)
    key = ["user", "item"]
    both = last.source.merge(mean.source, on=key, validate="1:1")
    assert len(both) == len(last.source)
    assert (both["rating_x"] != both["rating_y"]).any()
