"""Serving: a trained model behind HTTPS, with tokens, limits and versions.

    python -m mtlrec_utils.serving --model DIR

The way of a request: ``server`` (TLS, slow clients) -> ``app`` (routes) ->
``guard`` (tokens, rate, lock-out) -> ``bodies`` (size, JSON) -> ``rows``
(schema) -> ``batching`` -> ``backends``. ``store`` keeps versions of a model
on disk, ``export`` writes one, ``releases`` switches between them.

Needs the extra "serving" (FastAPI, uvicorn, cryptography, httpx,
prometheus-client).
"""

from mtlrec_utils.serving.client import Client, ServingError
from mtlrec_utils.serving.export import export_model
from mtlrec_utils.serving.process import RunningServer, start_server
from mtlrec_utils.serving.store import ModelError, activate, current_version
from mtlrec_utils.serving.tokens import TokenStore

__all__ = [
    "Client",
    "ModelError",
    "RunningServer",
    "ServingError",
    "TokenStore",
    "activate",
    "current_version",
    "export_model",
    "start_server",
]
