"""A second process in which Keras runs on JAX."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run_on_jax(script, folder, *arguments):
    """Run Python source with Keras on JAX; return what it printed last.

    The script finds `folder` in ``sys.argv[1]`` and the arguments, as JSON,
    behind it. If its last line is JSON, that value comes back, else None.
    A test that calls this is skipped where JAX is not installed.
    """
    pytest.importorskip("jax")
    texts = [json.dumps(argument) for argument in arguments]
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder), *texts],
        cwd=ROOT,
        env={
            **os.environ,
            "KERAS_BACKEND": "jax",
            "JAX_PLATFORMS": "cpu",
            # Most of the time goes into compiling what runs once.
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = done.stdout.strip().splitlines()
    try:
        return json.loads(lines[-1]) if lines else None
    except json.JSONDecodeError:
        return None
