"""Loaders on tiny made-up files in the official layouts; needs no data."""

import functools
import gzip
import io
import tarfile
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mtlrec_utils.data.real import (
    REMOTE_FILES,
    DataFileError,
    cache,
    census_income,
    download,
    kuairand,
    load_census_income,
    load_kuairand,
    load_movielens,
    movielens,
)
from mtlrec_utils.data.real.files import member_names, open_member

# --- archives ---------------------------------------------------------------


def write_zip(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return path


def tar_bytes(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return buffer.getvalue()


def write_folder(path, members):
    for name, body in members.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
    return path


def sources(tmp_path, members):
    tar = tmp_path / "a.tar.gz"
    tar.write_bytes(tar_bytes(members))
    return [
        write_zip(tmp_path / "a.zip", members),
        tar,
        write_folder(tmp_path / "a", members),
    ]


def test_member_is_found_in_zip_tar_and_folder(tmp_path):
    members = {"top/sub/one": b"1", "top/two": b"22"}
    for source in sources(tmp_path, members):
        assert member_names(source) == ["one", "two"]
        with open_member(source, "two") as stream:
            assert stream.read() == b"22"


def test_absent_and_ambiguous_members(tmp_path):
    members = {"a/one": b"1", "b/one": b"1", "__MACOSX/a/two": b"", "two": b""}
    for source in sources(tmp_path, members):
        with (
            pytest.raises(DataFileError, match="has no file named 'three'"),
            open_member(source, "three"),
        ):
            pass
        with (
            pytest.raises(DataFileError, match="has 2 file named 'one'"),
            open_member(source, "one"),
        ):
            pass
        with open_member(source, "two") as stream:
            assert stream.read() == b""


def test_reading_refuses_unsafe_member_names(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"u.data": b"", "../u.item": b""})
    with (
        pytest.raises(DataFileError, match="outside its own folder"),
        open_member(path, "u.data"),
    ):
        pass


def test_web_page_saved_as_an_archive(tmp_path):
    (tmp_path / "ml-1m.zip").write_text("<html>log in</html>")
    with pytest.raises(DataFileError, match="is a web page"):
        load_movielens("1m", tmp_path)


def test_wrong_format_and_truncation(tmp_path):
    path = tmp_path / "ml-1m.zip"
    path.write_bytes(b"\x00" * 100)
    with pytest.raises(DataFileError, match="not a zip file"):
        load_movielens("1m", tmp_path)
    write_zip(path, {"ml-1m/movies.dat": b"1" * 1000})
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataFileError, match="damaged or was cut off"):
        load_movielens("1m", tmp_path)


# --- MovieLens --------------------------------------------------------------


def flags(*genres):
    return "|".join(
        "1" if genre in genres else "0" for genre in movielens.GENRES_100K
    )


def movielens_100k():
    items = (
        f'1|"Là-bas", a film (1994)|01-Feb-1994||http://x/|'
        f"{flags('Comedy', 'Drama')}\n"
        f"2|nothing||||{flags('unknown')}\n"
    )
    return {
        "ml-100k/u.data": b"1\t2\t5\t800000000\n2\t1\t1\t800000001\n",
        "ml-100k/u.item": items.encode("latin-1"),
        "ml-100k/u.user": b"1|30|F|writer|01234\n2|7|M|none|NA\n",
    }


def test_movielens_100k_layout(tmp_path):
    for source in sources(tmp_path, movielens_100k()):
        data = load_movielens("100k", file=source)
        assert data.complete is False
        assert data.name == "2 ratings in the layout of ml-100k"
        assert data.ratings.to_dict("list") == {
            "user": [1, 2],
            "item": [2, 1],
            "rating": [5.0, 1.0],
            "time": [800000000, 800000001],
        }
        assert [str(t) for t in data.ratings.dtypes] == [
            "int32",
            "int32",
            "float32",
            "int64",
        ]
        first, second = data.items.to_dict("records")
        assert first["title"] == '"Là-bas", a film (1994)'
        assert first["genres"] == "Comedy|Drama"
        assert first["year"] == 1994.0
        assert first["release_date"] == pd.Timestamp(1994, 2, 1)
        assert second["genres"] == "unknown"
        assert np.isnan(second["year"]) and pd.isna(second["imdb_url"])
        assert pd.isna(second["release_date"])
        assert list(data.users["zip_code"]) == ["01234", "NA"]
        assert list(data.users["occupation"]) == ["writer", "none"]


def test_a_part_under_the_official_name_is_refused(tmp_path):
    write_zip(tmp_path / "movielens" / "ml-100k.zip", movielens_100k())
    with pytest.raises(DataFileError, match=r"has 2 ratings.*100,000"):
        load_movielens("100k", tmp_path)


def test_row_count_decides_about_the_name(tmp_path, monkeypatch):
    write_folder(tmp_path / "movielens", movielens_100k())
    monkeypatch.setitem(movielens.OFFICIAL_RATINGS, "100k", 2)
    data = load_movielens("100k", tmp_path)
    assert data.complete is True
    assert data.name == "MovieLens-100K"


def movielens_1m():
    return {
        "ml-1m/ratings.dat": b"1::10::5::978300760\n12::9::3::978300761\n",
        "ml-1m/movies.dat": (
            "9::Fée: a tale (1999)::Children's|Drama\n10::No year::War\n"
        ).encode("latin-1"),
        "ml-1m/users.dat": b"1::F::1::10::00501\n12::M::56::0::98107-2117\n",
    }


def test_movielens_1m_layout(tmp_path):
    path = write_zip(tmp_path / "part.zip", movielens_1m())
    data = load_movielens("1m", file=path)
    assert "1M" not in data.name and "MovieLens" not in data.name
    assert data.ratings.to_numpy().tolist() == [
        [1, 10, 5, 978300760],
        [12, 9, 3, 978300761],
    ]
    assert list(data.items["title"]) == ["Fée: a tale (1999)", "No year"]
    assert list(data.items["genres"]) == ["Children's|Drama", "War"]
    assert data.items["year"].iloc[0] == 1999
    assert data.items["year"].isna().tolist() == [False, True]
    assert list(data.users["occupation"]) == ["K-12 student", "other"]
    assert list(data.users["age_group"]) == [1, 56]
    assert list(data.users["zip_code"]) == ["00501", "98107-2117"]


@pytest.mark.parametrize(
    ("member", "body", "message"),
    [
        ("ratings.dat", b"1::2::3\n", "found 3 columns"),
        ("ratings.dat", b"1::2::3::4\n1::2::x::4\n", "official layout"),
        ("ratings.dat", b"1::2::9::4\n", "between 9.0 and 9.0"),
        ("ratings.dat", b"", "official layout"),
        ("movies.dat", b"1::two\n", "line 1 has 2 fields"),
        ("movies.dat", b"one::two::three\n", "official layout"),
        ("users.dat", b"1::F::1::21::00501\n", "outside 0-20"),
    ],
)
def test_wrong_contents_name_the_member(tmp_path, member, body, message):
    members = movielens_1m() | {f"ml-1m/{member}": body}
    path = write_zip(tmp_path / "part.zip", members)
    with pytest.raises(DataFileError, match=message) as error:
        load_movielens("1m", file=path)
    assert member in str(error.value) or "part.zip" in str(error.value)


def movielens_csv():
    return {
        "ml-x/ratings.csv": (
            b"userId,movieId,rating,timestamp\r\n"
            b"1,3,0.5,964982703\r\n2,3,4.0,964982704\r\n"
        ),
        "ml-x/movies.csv": (
            'movieId,title,genres\n3,"Fée, La (2001)",Action|IMAX\n'
            "4,NA,(no genres listed)\n"
        ).encode(),
    }


@pytest.mark.parametrize("edition", ["latest-small", "25m", "32m"])
def test_movielens_csv_layout(tmp_path, edition):
    path = write_zip(tmp_path / "x.zip", movielens_csv())
    data = load_movielens(edition, file=path)
    assert data.complete is (None if edition == "latest-small" else False)
    assert data.users is None
    assert list(data.ratings) == ["user", "item", "rating", "time"]
    assert list(data.ratings["rating"]) == [0.5, 4.0]
    assert list(data.items["title"]) == ["Fée, La (2001)", "NA"]
    assert list(data.items["genres"]) == ["Action|IMAX", ""]
    assert data.items["year"].iloc[0] == 2001


def test_movielens_wrong_arguments(tmp_path):
    with pytest.raises(ValueError, match="'10m' is unknown"):
        load_movielens("10m", tmp_path)
    with pytest.raises(FileNotFoundError, match="load_movielens"):
        load_movielens("1m", tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_movielens("1m", file=tmp_path / "no.zip")


# --- Census-Income ----------------------------------------------------------

QUIRKS = {
    "class_of_worker": "Private",
    "education": "High school graduate",
    "marital_stat": "Never married",
    "hispanic_origin": "NA",
    "state_of_previous_residence": "?",
    "citizenship": "Foreign ",
    "income": "- 50000.",
}


def census_line(**changes):
    row = dict.fromkeys(census_income.COLUMNS, "Not in universe")
    codes = census_income._CODES
    row |= dict.fromkeys((*census_income.NUMBER_FEATURES, *codes), "0")
    row |= {"instance_weight": "1053.55"} | QUIRKS | changes
    return ", ".join(row.values()) + "\n"


def census_bytes():
    return (
        census_line(age="73")
        + census_line(
            marital_stat="Divorced",
            education="Some college but no degree",
            income="50000+.",
        )
        + census_line(age="73")
    ).encode()


def census(tmp_path, part="train", **options):
    with pytest.warns(UserWarning, match="compare no figure"):
        return load_census_income(part, tmp_path, **options)


def check_census(frame):
    assert list(frame)[:42] == list(census_income.COLUMNS)
    assert len(frame) == 3  # full duplicates stay
    assert list(frame["age"]) == [73, 0, 73]
    assert list(frame["hispanic_origin"]) == ["NA"] * 3
    state = frame["state_of_previous_residence"]
    assert state.isna().all() and state.dtype == frame["sex"].dtype
    assert frame["citizenship"].eq("Foreign").all()  # no trailing blank
    assert frame["class_of_worker"].eq("Private").all()
    assert list(frame["income"]) == ["- 50000", "50000+", "- 50000"]
    assert list(frame["income_over_50k"]) == [0, 1, 0]
    assert list(frame["never_married"]) == [1, 0, 1]
    assert list(frame["college"]) == [0, 1, 0]
    for label in census_income.LABEL_SOURCES:
        assert frame[label].dtype == np.int8
    assert frame["instance_weight"].dtype == np.float32
    assert frame["veterans_benefits"].dtype == np.int16
    assert frame["age"].dtype == np.int32


@pytest.mark.parametrize(
    ("part", "name"),
    [("train", "census-income.data"), ("test", "census-income.test")],
)
def test_census_from_each_form_of_file(tmp_path, part, name):
    body = census_bytes()
    (tmp_path / "census-income").mkdir()
    plain = tmp_path / "census-income" / name
    plain.write_bytes(body)
    check_census(census(tmp_path, part))
    plain.unlink()
    gz = tmp_path / f"{name}.gz"
    gz.write_bytes(gzip.compress(body))
    check_census(census(tmp_path, part))
    with pytest.warns(UserWarning):
        check_census(load_census_income(part, file=gz))
    gz.unlink()
    packed = tar_bytes({name: body, "census-income.names": b"|"})
    write_zip(tmp_path / "census+income+kdd.zip", {"census.tar.gz": packed})
    check_census(census(tmp_path, part))


def test_census_feature_lists():
    c = census_income
    assert len(c.COLUMNS) == len(set(c.COLUMNS)) == 42
    assert len(c.FEATURES) == 39
    left_out = {"instance_weight", "marital_stat", "income"}
    assert set(c.COLUMNS) - set(c.FEATURES) == left_out
    assert set(c.LEAKY_HOUSEHOLD_COLUMNS) < set(c.FEATURES)
    assert not set(c.LABEL_SOURCES) & set(c.FEATURES)
    both = (*c.NUMBER_FEATURES, *c.CATEGORICAL_FEATURES)
    assert sorted(both) == sorted(c.FEATURES)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (census_line(income="50000."), r"line 1: income is '50000'"),
        (census_line() + "1, 2, 3\n", "line 2|official layout"),
        (census_line(age="old"), "official layout"),
        (census_line(income="?"), "line 1: income is nan"),
        (census_line(citizenship="3"), "text in .* citizenship"),
        ("1, 2, 3\n", "found 3 columns"),
    ],
)
def test_census_wrong_contents(tmp_path, body, message):
    (tmp_path / "census-income.data").write_text(body)
    with pytest.raises(DataFileError, match=message):
        load_census_income("train", tmp_path)


def test_census_truncated_or_absent(tmp_path):
    with pytest.raises(FileNotFoundError, match="load_census_income"):
        load_census_income("train", tmp_path)
    with pytest.raises(ValueError, match="'valid' is unknown"):
        load_census_income("valid", tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_census_income(file=tmp_path / "no.gz")
    # Noise, because three lines compress to less than a gzip block.
    noise = np.random.default_rng(0).integers(0, 99, 5000)
    body = "".join(census_line(age=str(n)) for n in noise).encode()
    packed = gzip.compress(body)
    path = tmp_path / "census-income.data.gz"
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataFileError, match="damaged or was cut off"):
        load_census_income("train", tmp_path)


# --- KuaiRand ---------------------------------------------------------------


def csv_of(rows):
    return pd.DataFrame(rows).to_csv(index=False).encode()


def kuairand_tables():
    user = {
        name: "UNKNOWN" if kind == "str" else 0
        for name, kind in kuairand._USER_DTYPES.items()
    }
    video = {
        name: "NA" if kind == "str" else 7
        for name, kind in kuairand._VIDEO_DTYPES.items()
    } | {"upload_dt": "2022-04-09"}
    return {
        "KuaiRand-Pure/data/user_features_pure.csv": csv_of(
            [
                user | {"user_id": 3, "is_live_streamer": -124},
                user
                | {"user_id": 4, "is_live_streamer": 1, "onehot_feat4": ""},
            ]
        ),
        "KuaiRand-Pure/data/video_features_basic_pure.csv": csv_of(
            [video | {"tag": "3,12"}, video | {"video_id": 8, "tag": ""}]
        ),
    }


def kuairand_log(*rows):
    blank = dict.fromkeys(kuairand._LOG_DTYPES, 0)
    return csv_of([blank | row for row in rows])


def kuairand_all():
    names = (*kuairand.STANDARD_LOGS, *kuairand.RANDOM_LOGS)
    bodies = (
        kuairand_log(
            {"user_id": 3, "time_ms": 2500, "is_click": 1},
            {"user_id": 4, "time_ms": 1500},
        ),
        kuairand_log({"user_id": 3, "time_ms": 3500, "tab": 14}),
        kuairand_log({"video_id": 8, "time_ms": 9000, "is_rand": 1}),
    )
    return kuairand_tables() | {
        f"KuaiRand-Pure/data/{name}": body
        for name, body in zip(names, bodies, strict=True)
    }


def check_tables(data):
    assert data.users["user"].tolist() == [3, 4]
    assert np.isnan(data.users["is_live_streamer"].iloc[0])
    assert data.users["is_live_streamer"].iloc[1] == 1
    assert data.users["onehot_feat4"].isna().tolist() == [False, True]
    assert data.users["user_active_degree"].tolist() == ["UNKNOWN"] * 2
    assert data.items["item"].tolist() == [7, 8]
    assert data.items["tag"].iloc[0] == "3,12"
    assert data.items["tag"].isna().tolist() == [False, True]
    assert data.items["upload_type"].tolist() == ["NA", "NA"]
    assert data.items["upload_dt"].eq(pd.Timestamp(2022, 4, 9)).all()


def test_kuairand_layout(tmp_path):
    for source in sources(tmp_path, kuairand_all()):
        data = load_kuairand(file=source, logs="all")
        check_tables(data)
        assert data.standard["time"].tolist() == [1.5, 2.5, 3.5]
        assert data.standard["user"].tolist() == [4, 3, 3]
        assert data.standard["is_click"].tolist() == [0, 1, 0]
        assert data.standard["tab"].tolist() == [0, 0, 14]
        assert data.random["item"].tolist() == [8]
        assert "time_ms" not in data.random
        assert {*kuairand.LABELS} < {*data.standard}
        assert {*kuairand.POST_EXPOSURE_COLUMNS} < {*data.standard}


def test_kuairand_loads_only_what_is_asked(tmp_path):
    write_folder(tmp_path / "kuairand", kuairand_all())
    nothing = load_kuairand(tmp_path)
    assert nothing.standard is None and nothing.random is None
    random = load_kuairand(tmp_path, logs="random")
    assert random.standard is None and len(random.random) == 1


def test_kuairand_tables_load_without_logs(tmp_path):
    (tmp_path / "kuairand").mkdir()
    path = tmp_path / "kuairand" / "KuaiRand-Pure-features.tar.gz"
    path.write_bytes(tar_bytes(kuairand_tables()))
    check_tables(load_kuairand(tmp_path))
    with pytest.raises(FileNotFoundError, match=r'load_kuairand\(logs="all"'):
        load_kuairand(tmp_path, logs="standard")
    with pytest.raises(FileNotFoundError, match="has no log_random") as error:
        load_kuairand(file=path, logs="random")
    assert "zenodo.org" in str(error.value)


def test_kuairand_wrong_arguments_and_contents(tmp_path):
    with pytest.raises(ValueError, match="'some' is unknown"):
        load_kuairand(tmp_path, logs="some")
    with pytest.raises(FileNotFoundError, match="No KuaiRand-Pure here"):
        load_kuairand(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_kuairand(file=tmp_path / "no")
    members = kuairand_tables()
    name = "KuaiRand-Pure/data/user_features_pure.csv"
    members[name] = members[name].replace(b"onehot_feat17", b"onehot_feat18")
    path = write_zip(tmp_path / "k.zip", members)
    with pytest.raises(DataFileError, match="user_features_pure.csv is not"):
        load_kuairand(file=path)


# --- download=True reaches the publisher's file -----------------------------


@pytest.fixture
def published(monkeypatch):
    """Replaces the transfer: address -> bytes."""
    bodies = {}

    class FromMemory(download.ResumableDownload):
        def _transfer(self, url):
            self.part.write_bytes(bodies[url])

    monkeypatch.setattr(cache, "ResumableDownload", FromMemory)

    def publish(name, body):
        remote = replace(REMOTE_FILES[name], checksum=None)
        monkeypatch.setitem(REMOTE_FILES, name, remote)
        bodies[remote.address] = body

    return publish


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return buffer.getvalue()


def test_loaders_download_what_they_need(tmp_path, published):
    published("ml-latest-small", zipped(movielens_csv()))
    packed = tar_bytes({"census-income.data": census_bytes()})
    published("census-income", zipped({"census.tar.gz": packed}))
    published("kuairand-pure", tar_bytes(kuairand_all()))
    loaders = [
        functools.partial(load_movielens, "latest-small"),
        load_kuairand,
    ]
    for loader in loaders:
        with pytest.raises(FileNotFoundError):
            loader(folder=tmp_path)
        loader(folder=tmp_path, download=True)
        loader(folder=tmp_path)
    check_census(census(tmp_path, download=True))
    check_census(census(tmp_path))


def test_kuairand_logs_are_fetched_beside_a_features_copy(tmp_path, published):
    published("kuairand-pure", tar_bytes(kuairand_all()))
    features = tmp_path / "kuairand" / "KuaiRand-Pure-features.tar.gz"
    features.parent.mkdir()
    features.write_bytes(tar_bytes(kuairand_tables()))
    data = load_kuairand(tmp_path, logs="random", download=True)
    assert len(data.random) == 1
