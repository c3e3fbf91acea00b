"""Keep TensorFlow's start-up noise out of notebooks.

Some lines ("oneDNN custom operations are on", "Could not find cuda drivers",
"failed call to cuInit") are written straight to file descriptor 2, before
TensorFlow's logging reads ``TF_CPP_MIN_LOG_LEVEL``; no level silences them.
So the descriptor points to a temporary file while TensorFlow is imported and
looks for devices for the first time, and nowhere else.  When the import
fails, everything caught is written out: an error is never hidden.
"""

from __future__ import annotations

import importlib.abc
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_STDERR = 2


def silence_tensorflow() -> None:
    """Make the first ``import tensorflow`` of this process a silent one.

    Does not import TensorFlow.  Calling it again, or after TensorFlow was
    imported, changes nothing.
    """
    # 2: errors only.  What is written after start-up obeys this.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if "tensorflow" in sys.modules:
        return
    if not any(isinstance(f, _TensorFlowFinder) for f in sys.meta_path):
        sys.meta_path.insert(0, _TensorFlowFinder())


@contextmanager
def stderr_held_back() -> Iterator[None]:
    """Hold back what is written to file descriptor 2.

    It is dropped when the block succeeds and written out when it raises.
    """
    try:
        saved = os.dup(_STDERR)
    except OSError:  # a process without standard error has nothing to hide
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), _STDERR)
        failed = True
        try:
            yield
            failed = False
        finally:
            with suppress(AttributeError, OSError, ValueError):
                sys.stderr.flush()
            os.dup2(saved, _STDERR)
            os.close(saved)
            if failed:
                held.seek(0)
                os.write(_STDERR, held.read())


class _TensorFlowFinder(importlib.abc.MetaPathFinder):
    """Finds ``tensorflow`` as usual and wraps its loader."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname != "tensorflow":
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _QuietLoader(spec.loader, self)
                return spec
        return None


class _QuietLoader(importlib.abc.Loader):
    """Runs the real loader with standard error held back."""

    def __init__(self, loader: Any, finder: _TensorFlowFinder) -> None:
        self._loader = loader
        self._finder = finder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        # From here on the module is an ordinary one, also for `inspect`.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        with stderr_held_back():
            self._loader.exec_module(module)
            # The driver is first asked, and first complains, here.  A failure
            # belongs to the learner's own call, which will meet it again.
            with suppress(Exception):
                module.config.list_physical_devices()
        with suppress(ValueError):
            sys.meta_path.remove(self._finder)
