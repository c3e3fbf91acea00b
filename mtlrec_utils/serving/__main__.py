"""Serve a model over HTTPS.

    python -m mtlrec_utils.serving --model DIR
    python -m mtlrec_utils.serving --model DIR --new-token NAME

The first serves the current version in DIR (see ``export_model`` and
``activate``) until Ctrl-C. The second prints a new token, once, and ends.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from mtlrec_utils.serving.limits import Limits
from mtlrec_utils.serving.tokens import SCOPES, TokenStore


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mtlrec_utils.serving",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--model", type=Path, required=True, help="folder of all versions")
    add("--state", type=Path, help="folder of tokens and certificates")
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=8443, help="0 takes a free one")
    add("--names", nargs="*", default=[], help="further names of this host")
    add("--backend", choices=("litert", "saved_model"), default="litert")
    add("--batch-rows", type=int, default=64, help="1: no batching")
    add("--batch-seconds", type=float, default=0.002)
    add("--decimals", type=int, help="round scores")
    add("--end-with-input", action="store_true", help=argparse.SUPPRESS)
    tokens = parser.add_argument_group("tokens")
    tokens.add_argument("--new-token", metavar="NAME")
    tokens.add_argument("--revoke", metavar="NAME")
    tokens.add_argument(
        "--scopes", nargs="+", choices=SCOPES, default=["score"]
    )
    tokens.add_argument("--days", type=float, default=30.0)
    limits = parser.add_argument_group("limits")
    for limit in fields(Limits):
        limits.add_argument(
            f"--{limit.name.replace('_', '-')}",
            type=type(limit.default),
            default=limit.default,
            metavar=str(limit.default),
        )
    return parser


def main() -> None:
    """Run the command line."""
    parser = _arguments()
    options = parser.parse_args()
    from mtlrec_utils.serving.server import Settings, serve

    try:
        settings = Settings(
            model=options.model,
            state=options.state,
            host=options.host,
            port=options.port,
            names=tuple(options.names),
            backend=options.backend,
            batch_rows=options.batch_rows,
            batch_seconds=options.batch_seconds,
            decimals=options.decimals,
            limits=Limits(
                **{f.name: getattr(options, f.name) for f in fields(Limits)}
            ),
        )
        store = TokenStore(settings.tokens)
        if options.new_token:
            seconds = options.days * 86_400
            print(store.issue(options.new_token, options.scopes, seconds))
        elif options.revoke:
            print(f"{store.revoke(options.revoke)} dropped")
        else:
            serve(settings, end_with_input=options.end_with_input)
    except (ValueError, OSError) as error:
        sys.exit(f"{parser.prog}: {error}")


if __name__ == "__main__":
    main()
