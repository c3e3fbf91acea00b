"""Which version answers now: load, swap, roll back.

A request asks for ``active`` once and stays with what it got: requests in
flight finish on the old version. A version that does not load, or does not
say of its probe rows what the exported model said, changes nothing.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtlrec_utils.data.columns import SchemaError
from mtlrec_utils.data.schema import Schema
from mtlrec_utils.serving import store
from mtlrec_utils.serving.backends import BACKENDS, Backend
from mtlrec_utils.serving.batching import MicroBatcher
from mtlrec_utils.serving.rows import RowEncoder
from mtlrec_utils.serving.store import Manifest, ModelError

#: Scores of a back end differ from the exported model's by at most this.
BOUND = 1e-5


@dataclass(frozen=True)
class Release:
    """A loaded version.

    Attributes:
        manifest: what it says of itself.
        encoder: rows to inputs.
        batcher: inputs to scores.
        difference: largest difference to the exported model, on the probe.
    """

    manifest: Manifest
    encoder: RowEncoder
    batcher: MicroBatcher
    difference: float


def load_backend(
    folder: Path, backend: str
) -> tuple[Manifest, Schema, Backend, float]:
    """Check a version's files, load it and try it on its probe rows.

    Returns:
        (manifest, schema, back end, largest difference on the probe).

    Raises:
        ModelError: the version is damaged, or the back end disagrees with
            the exported model by more than ``BOUND``.
    """
    manifest = store.verify(folder)
    try:
        schema = Schema.load(folder / store.SCHEMA)
        loaded = BACKENDS[backend](folder)
        probe = {
            name: np.array(
                values, np.int32 if name == "ids" else np.float32
            ).reshape(len(values), manifest.inputs[name])
            for name, values in manifest.probe["inputs"].items()
        }
        found = loaded.score(probe)
        differences = [
            np.abs(found[task].reshape(np.shape(wanted)) - wanted).max()
            for task, wanted in manifest.probe["outputs"].items()
        ]
        difference = float(np.max(differences))
    except (ModelError, SchemaError):
        raise
    except Exception as error:
        raise ModelError(
            f"Version {folder.name!r} does not load by {backend!r} "
            f"({type(error).__name__}). Export it again under a new name."
        ) from error
    scale = max(
        float(np.abs(wanted).max())
        for wanted in manifest.probe["outputs"].values()
    )
    if not difference <= BOUND * max(1.0, scale):
        raise ModelError(
            f"Version {folder.name!r} scores its probe rows {difference:.1e} "
            f"away from the exported model, more than {BOUND:g}. Export it "
            "again, or with another version of TensorFlow."
        )
    return manifest, schema, loaded, difference


class Releases:
    """The versions that a server holds: one active, one to go back to.

    Args:
        model: folder of all versions.
        backend: "litert" or "saved_model".
        new_batcher: makes the queue of a loaded version.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        backend: str,
        new_batcher: Callable[[Backend], MicroBatcher],
    ) -> None:
        if backend not in BACKENDS:
            raise ModelError(
                f"backend={backend!r}: choose of {', '.join(BACKENDS)}."
            )
        self._model, self._backend = Path(model), backend
        self._new_batcher = new_batcher
        self._active: Release | None = None
        self._previous: Release | None = None
        self._turn = asyncio.Lock()

    @property
    def active(self) -> Release | None:
        """The release that answers new requests; None before ``start``."""
        return self._active

    async def start(self) -> None:
        """Load the current version of the folder.

        Raises:
            ModelError: there is none, or it does not load.
        """
        name = store.current_version(self._model)
        self._active = await self._load(name)

    async def activate(self, version: str) -> Release:
        """Load a version beside the active one, then switch.

        Raises:
            ModelError: it does not load; the active one stays.
        """
        async with self._turn:
            active = self._active
            if active and active.manifest.version == version:
                return active
            release = await self._load(version)
            dropped, self._previous = self._previous, active
            self._switch(release)
        if dropped is not None:
            await dropped.batcher.close()
        return release

    async def roll_back(self) -> Release:
        """Switch to the version before; it is still loaded.

        Raises:
            ModelError: there is no version before.
        """
        async with self._turn:
            if self._previous is None:
                raise ModelError(
                    "There is no version to go back to: none was swapped "
                    "since the server started."
                )
            release, self._previous = self._previous, self._active
            self._switch(release)
        return release

    async def close(self) -> None:
        """Answer what waits and let go of both versions."""
        for release in (self._active, self._previous):
            if release is not None:
                await release.batcher.close()

    def _switch(self, release: Release) -> None:
        # The file first: whatever happens, a restart finds a whole version.
        store.point_to(self._model, release.manifest.version)
        self._active = release

    async def _load(self, version: str) -> Release:
        folder = store.version_folder(self._model, version)
        manifest, schema, backend, difference = await asyncio.to_thread(
            load_backend, folder, self._backend
        )
        if not schema.is_fitted:
            raise ModelError(
                f"Version {version!r} has a schema that was never fitted."
            )
        return Release(
            manifest,
            RowEncoder(schema),
            self._new_batcher(backend),
            difference,
        )
