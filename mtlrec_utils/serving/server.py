"""Runs the application: TLS, time limits of connections, a graceful end."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from mtlrec_utils.serving.app import make_app
from mtlrec_utils.serving.backends import Backend
from mtlrec_utils.serving.batching import MicroBatcher
from mtlrec_utils.serving.certificates import certificates
from mtlrec_utils.serving.guard import Guard
from mtlrec_utils.serving.limits import Limits
from mtlrec_utils.serving.monitoring import LOG, Metrics
from mtlrec_utils.serving.releases import Releases
from mtlrec_utils.serving.store import current_version
from mtlrec_utils.serving.tokens import TokenStore

SECONDS_TO_END = 10
SECONDS_OF_GOODBYE = 0.5


@dataclass(frozen=True)
class Settings:
    """How to serve.

    Attributes:
        model: folder of all versions.
        state: folder of tokens and certificates; beside the model if None.
        host, port: where to listen; port 0 takes a free one.
        names: further names of this host, for its certificate.
        backend: "litert" or "saved_model".
        batch_rows, batch_seconds: when a batch closes.
        decimals: round scores to so many decimals; None leaves them.
        limits: sizes, times, rates.
    """

    model: Path
    state: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8443
    names: tuple[str, ...] = ()
    backend: str = "litert"
    batch_rows: int = 64
    batch_seconds: float = 0.002
    decimals: int | None = None
    limits: Limits = field(default_factory=Limits)

    @property
    def state_folder(self) -> Path:
        """Where tokens and certificates are."""
        model = Path(self.model)
        return self.state or model.with_name(f"{model.name}_state")

    @property
    def tokens(self) -> Path:
        """The file of the tokens."""
        return self.state_folder / "tokens.json"


class Server(uvicorn.Server):
    """A server that says when it is ready.

    Args:
        settings: how to serve.
        on_ready: called with {"address", "authority", "version"} when it
            takes requests.
        wrap: changes a loaded back end, for measurements.
    """

    def __init__(
        self,
        settings: Settings,
        on_ready: Callable[[dict[str, str]], None] = lambda told: None,
        wrap: Callable[[Backend], Backend] = lambda backend: backend,
    ) -> None:
        current_version(settings.model)  # say early that there is none
        limits, metrics = settings.limits, Metrics()
        files = certificates(
            settings.state_folder / "certificates",
            ("localhost", "127.0.0.1", "::1", *settings.names),
        )

        def new_batcher(backend: Backend) -> MicroBatcher:
            return MicroBatcher(
                wrap(backend).score,
                max_rows=settings.batch_rows,
                max_wait=settings.batch_seconds,
                max_waiting=limits.rows_waiting,
                on_batch=metrics.batch_rows.observe,
            )

        releases = Releases(settings.model, settings.backend, new_batcher)
        guard = Guard(TokenStore(settings.tokens), limits, metrics.locks.inc)
        config = uvicorn.Config(
            make_app(releases, guard, limits, metrics, settings.decimals),
            http=_protocol(limits.seconds_of_headers),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ssl_certfile=files.certificate,
            ssl_keyfile=files.key,
            ssl_version=ssl.PROTOCOL_TLS_SERVER,
            limit_concurrency=limits.connections,
            timeout_keep_alive=max(1, round(limits.seconds_idle)),
            timeout_graceful_shutdown=SECONDS_TO_END,
            h11_max_incomplete_event_size=16 * 1024,
        )
        config.load()
        assert config.ssl is not None
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
        super().__init__(config)
        self._socket = _listening(settings.host, settings.port)
        self._releases, self._on_ready = releases, on_ready
        self._told = {
            "address": f"https://{settings.host}:{self.port}",
            "authority": str(files.authority.resolve()),
        }

    @property
    def port(self) -> int:
        """The port it listens on."""
        port: int = self._socket.getsockname()[1]
        return port

    async def startup(self, sockets: Any = None) -> None:
        """Load the model, then listen, then say so."""
        await super().startup(sockets=sockets)
        if self.started and self._releases.active:
            version = self._releases.active.manifest.version
            LOG.info(
                "serving version %s at %s", version, self._told["address"]
            )
            self._on_ready({**self._told, "version": version})

    def serve_until_stopped(self) -> None:
        """Serve until a signal, or ``should_exit``."""
        asyncio.run(self.serve(sockets=[self._socket]))


def serve(settings: Settings, *, end_with_input: bool = False) -> None:
    """Serve in this process until SIGINT or SIGTERM; requests end first.

    One line of JSON on standard output says the address when it is ready.
    Logs go to standard error.

    Args:
        settings: how to serve.
        end_with_input: end too when standard input is closed: a parent that
            dies leaves nothing behind.

    Raises:
        ModelError: there is no version to serve, or it does not load.
    """
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO
    )
    for noisy in ("uvicorn.error", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    server = Server(settings, on_ready=_say)
    if end_with_input:
        threading.Thread(
            target=_watch_input, args=(server,), daemon=True
        ).start()
    server.serve_until_stopped()


def _say(told: dict[str, str]) -> None:
    print(json.dumps(told), flush=True)


def _watch_input(server: Server) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    server.should_exit = True


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off for sockets that say they are TCP;
    # with it, and a client that delays its ACK, an answer waits for 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def _protocol(seconds: float) -> type[H11Protocol]:
    """Return HTTP/1.1 that closes a connection whose headers come slowly."""

    class ImpatientProtocol(H11Protocol):
        _late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._expect_headers()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._answering():
                self._stop_waiting()
            else:
                self._expect_headers()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def on_response_complete(self) -> None:
            self._stop_waiting()  # the idle time counts from here on
            super().on_response_complete()

        def shutdown(self) -> None:
            super().shutdown()
            self._hang_up_soon()

        def timeout_keep_alive_handler(self) -> None:
            super().timeout_keep_alive_handler()
            self._hang_up_soon()

        def _hang_up_soon(self) -> None:
            # TLS says goodbye and waits for an answer, for half a minute.
            if not self._answering():
                self.loop.call_later(SECONDS_OF_GOODBYE, self.transport.abort)

        def _answering(self) -> bool:
            return self.cycle is not None and not self.cycle.response_complete

        def _expect_headers(self) -> None:
            if self._late is None:
                self._late = self.loop.call_later(seconds, self._give_up)

        def _stop_waiting(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

        def _give_up(self) -> None:
            self._late = None
            if not self._answering():
                self.transport.abort()

    return ImpatientProtocol
