"""Examine the environment: ``python -m mtlrec_utils.doctor``.

Prints a block to paste into an issue: what the machine is, what is installed,
what works.  It names no user and no folder.  Standard library only, so that
it runs where the packages it examines do not.
"""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

from mtlrec_utils import __version__
from mtlrec_utils.examinations import FAIL, Finding, examine


def report(findings: list[Finding]) -> str:
    """Return the findings as a block ready to paste into an issue."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        value = anonymous(finding.value)
        lines.append(f"{finding.state:4}  {finding.name:{width}}  {value}")
        if finding.remedy:
            lines += textwrap.wrap(
                f"-> {finding.remedy}",
                initial_indent=" " * 6,
                subsequent_indent=" " * 9,
                width=79,
            )
    failures = sum(finding.state == FAIL for finding in findings)
    closing = f"{failures} FAIL" if failures else "everything works"
    return "\n".join(
        ["```text", f"One Model, Many Goals {__version__}, doctor:"]
        + [*lines, closing, "```"]
    )


def anonymous(text: str) -> str:
    """Return ``text`` with "…" for the folders of absolute paths.

    They contain user names and say nothing about the fault.
    """
    home = Path.home()
    if len(home.parts) > 1:
        text = text.replace(str(home), "…")
    # A user's name may contain spaces, other folders are taken to have none.
    text = re.sub(r"[A-Za-z]:\\Users\\[^\\]+(?=\\)", "…", text)
    folders = r"(?:…|(?<![\w.])(?:~|[A-Za-z]:)?)[\\/](?:[^\s\\/'\":]+[\\/])*"
    return re.sub(folders + r"(?=[^\s\\/'\":])", "…/", text)


def main() -> int:
    """Print the report; return 1 if something failed, else 0."""
    findings = examine()
    print(report(findings))
    return int(any(finding.state == FAIL for finding in findings))


if __name__ == "__main__":
    sys.exit(main())
