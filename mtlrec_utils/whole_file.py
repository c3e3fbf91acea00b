"""Files that appear whole or not at all; standard library only."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(
    path: str | os.PathLike[str], mode: int = 0o644
) -> Iterator[Path]:
    """Give a path to write to, which becomes ``path`` when all went well.

    The file stands beside the target, with the same ending, and is empty at
    first. When the block ends it is on the disk and takes the target's place
    in one step; after an error it is removed, and the target is as before.

    Args:
        path: the target; its folder is made.
        mode: permissions, of the unfinished file too.

    Yields:
        The path to write to.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{secrets.token_hex(4)}-{path.name}")
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    try:
        yield part
        os.chmod(part, mode)
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
