"""KuaiRand-Pure: short videos with twelve responses and random exposure.

Source: C. Gao et al., KuaiRand: An Unbiased Sequential Recommendation
Dataset with Randomly Exposed Videos, CIKM 2022,
doi 10.1145/3511808.3557624; https://kuairand.com.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mtlrec_utils.data.real.cache import (
    REMOTE_FILES,
    fetch,
    find_file,
    missing,
)
from mtlrec_utils.data.real.files import (
    layout_errors,
    member_names,
    open_member,
)

STANDARD_LOGS = (
    "log_standard_4_08_to_4_21_pure.csv",
    "log_standard_4_22_to_5_08_pure.csv",
)
RANDOM_LOGS = ("log_random_4_22_to_5_08_pure.csv",)
_USERS = "user_features_pure.csv"
_VIDEOS = "video_features_basic_pure.csv"

#: The binary responses of a log.
LABELS = (
    "is_click", "is_like", "is_follow", "is_comment", "is_forward",
    "is_hate", "long_view", "is_profile_enter",
)  # fmt: skip

#: Known only after the video was shown, so never features. `play_time_ms`
#: is worse: with `duration_ms` it *defines* `long_view` everywhere and
#: `is_click` in the single-column tabs.
POST_EXPOSURE_COLUMNS = (
    "play_time_ms", "profile_stay_time", "comment_stay_time",
)  # fmt: skip

_LOG_DTYPES: dict[str, str] = (
    {"user_id": "int32", "video_id": "int32", "date": "int32",
     "hourmin": "int16", "time_ms": "int64"}
    | dict.fromkeys(LABELS, "int8")
    | dict.fromkeys(POST_EXPOSURE_COLUMNS, "int64")
    | {"duration_ms": "int64", "is_rand": "int8", "tab": "int8"}
)  # fmt: skip
_WITH_GAPS = (4, 12, 13, 14, 15, 16, 17)
_USER_DTYPES: dict[str, str] = (
    {"user_id": "int32", "user_active_degree": "str",
     "is_lowactive_period": "int8", "is_live_streamer": "float32",
     "is_video_author": "int8"}
    | dict.fromkeys(
        ("follow_user_num", "fans_user_num", "friend_user_num",
         "register_days"), "int32")
    | dict.fromkeys(
        ("follow_user_num_range", "fans_user_num_range",
         "friend_user_num_range", "register_days_range"), "str")
    | {f"onehot_feat{i}": "float32" if i in _WITH_GAPS else "int32"
       for i in range(18)}
)  # fmt: skip
_VIDEO_DTYPES: dict[str, str] = {
    "video_id": "int32", "author_id": "int64", "video_type": "str",
    "upload_dt": "str", "upload_type": "str", "visible_status": "float32",
    "video_duration": "float32", "server_width": "float32",
    "server_height": "float32", "music_id": "int64",
    "music_type": "float32", "tag": "str",
}  # fmt: skip
_RENAMED = {"user_id": "user", "video_id": "item"}
_UNKNOWN_STREAMER = -124


@dataclass(frozen=True)
class KuaiRand:
    """The tables of KuaiRand-Pure.

    Attributes:
        users: user (int32); user_active_degree and four `*_range` columns
            (str bins); is_lowactive_period, is_video_author (int8);
            is_live_streamer (float32, 1, or NaN where the file says -124,
            "unknown"); follow_user_num, fans_user_num, friend_user_num,
            register_days (int32, heavy-tailed); onehot_feat0..17, codes of
            anonymous features (int32; float32 where some are missing).
        items: item (int32); author_id, music_id (int64); video_type,
            upload_type (str); upload_dt (datetime64); video_duration (ms),
            server_width, server_height, visible_status, music_type
            (float32, NaN if missing); tag (str, tag ids joined by commas,
            missing for some).
        standard: log under the app's own recommendation policies, or None if
            not asked for. user, item (int32), time (float64, Unix seconds),
            date (int32, yyyymmdd), hourmin (int16), the responses `LABELS`
            (int8 0/1), play_time_ms, duration_ms, profile_stay_time,
            comment_stay_time (int64), is_rand (int8), tab (int8, 0-14, the
            screen: the data set's domains). Time-ordered.
        random: the same columns for videos drawn at random, the unbiased
            test set, or None if not asked for.
    """

    users: pd.DataFrame
    items: pd.DataFrame
    standard: pd.DataFrame | None
    random: pd.DataFrame | None


def load_kuairand(
    folder: str | os.PathLike[str] | None = None,
    *,
    logs: str = "none",
    file: str | os.PathLike[str] | None = None,
    download: bool = False,
) -> KuaiRand:
    """Load KuaiRand-Pure from its tar.gz or its unpacked folder.

    `video_features_statistic_pure.csv` is left alone on purpose: it counts
    responses over the whole period, so it holds the labels' future. What
    `is_click` means depends on `tab`: a tap in the two-column screens, a
    play of 7 seconds (or to the end) in the single-column ones.

    Args:
        folder: the data folder; None for `data_folder()`.
        logs: "none", "standard", "random" or "all". The feature tables also
            load from a copy without logs.
        file: an archive or unpacked folder, read instead.
        download: fetch the archive from Zenodo if what is asked for is not
            there.

    Raises:
        ValueError: unknown `logs`.
        FileNotFoundError: no copy here, or one without the logs asked for.
        DataFileError: damaged file or wrong layout.
    """
    if logs not in ("none", "standard", "random", "all"):
        raise ValueError(
            f'logs: {logs!r} is unknown; use "none", "standard", "random" or '
            '"all".'
        )
    wanted_standard = STANDARD_LOGS if logs in ("standard", "all") else ()
    wanted_random = RANDOM_LOGS if logs in ("random", "all") else ()
    source = _locate(
        folder, file, (*wanted_standard, *wanted_random), download
    )
    users = _read(source, _USERS, _USER_DTYPES)
    unknown = users["is_live_streamer"] == _UNKNOWN_STREAMER
    users["is_live_streamer"] = users["is_live_streamer"].mask(unknown)
    items = _read(source, _VIDEOS, _VIDEO_DTYPES)
    with layout_errors(_VIDEOS, "upload_dt as yyyy-mm-dd"):
        items["upload_dt"] = pd.to_datetime(
            items["upload_dt"], format="%Y-%m-%d"
        )
    return KuaiRand(
        users,
        items,
        _read_logs(source, wanted_standard) if wanted_standard else None,
        _read_logs(source, wanted_random) if wanted_random else None,
    )


def _locate(
    folder: str | os.PathLike[str] | None,
    file: str | os.PathLike[str] | None,
    logs: tuple[str, ...],
    download: bool,
) -> Path:
    """The first copy that has the feature tables and the logs asked for."""
    remote = REMOTE_FILES["kuairand-pure"]
    names = [remote.file, str(remote.unpacked)]
    found: Path | None
    if file is not None:
        found = Path(file)
        if not found.exists():
            raise FileNotFoundError(f"file: {file} does not exist.")
    else:
        found = find_file(folder, remote.folder, names)
        if found is None and not logs:
            found = find_file(
                folder, remote.folder, ["KuaiRand-Pure-features.tar.gz"]
            )
        if found is None and download:
            found = fetch("kuairand-pure", folder, download=True)
    if found is None:
        raise missing("kuairand-pure", folder, names)
    absent = sorted({*logs} - {*member_names(found)})
    if absent:
        raise FileNotFoundError(
            f"{found.name} has no {', '.join(absent)}.\n"
            "It has only the other tables. Get the whole of KuaiRand-Pure "
            f"({remote.megabytes} MB) with {remote.loader} into an empty "
            f"folder, or by hand from {remote.address}."
        )
    return found


def _read_logs(source: Path, names: Iterable[str]) -> pd.DataFrame:
    log = pd.concat(
        [_read(source, name, _LOG_DTYPES) for name in names],
        ignore_index=True,
    )
    log.insert(2, "time", log.pop("time_ms") / 1000.0)
    return log.sort_values("time", kind="stable", ignore_index=True)


def _read(source: Path, name: str, dtypes: Mapping[str, str]) -> pd.DataFrame:
    with (
        open_member(source, name) as stream,
        layout_errors(name, "a header with " + ", ".join(dtypes)),
    ):
        frame = pd.read_csv(
            stream,
            dtype=dict(dtypes),
            usecols=list(dtypes),
            # Only an empty field is missing: "UNKNOWN" or "NA" are values.
            keep_default_na=False,
            na_values=[""],
        )
    return frame[list(dtypes)].rename(columns=_RENAMED)
