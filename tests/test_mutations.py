"""Tests that cannot fail prove nothing: break the code, see them go red.

Each case copies the package, changes one line in the way people get it wrong,
and runs a few of the tests on the copy.  They must fail; that they pass on
the code as it is, the suite itself shows.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Mutation:
    """One mistake: in ``file``, ``right`` becomes ``wrong``."""

    name: str
    file: str
    right: str
    wrong: str
    tests: tuple[str, ...]


MUTATIONS = (
    Mutation(
        "gate softmax over the batch",
        "models/gating.py",
        "return powers / ops.sum(powers, axis=-1, keepdims=True)",
        "return powers / ops.sum(powers, axis=0, keepdims=True)",
        ("tests/test_layers.py", "-k", "softmax_over_the_expert_axis"),
    ),
    Mutation(
        "labels of two tasks swapped",
        "learning/losses.py",
        "                labels[task],\n",
        "                labels[self.tasks[-1]],\n",
        ("tests/test_training.py", "-k", "step_equals or a_task_the_model"),
    ),
    Mutation(
        "mask ignored",
        "learning/losses.py",
        "return ops.sum(ops.where(mask > 0, mask * losses, 0.0))",
        "return ops.sum(losses)",
        ("tests/test_losses.py", "-k", "masked or hand_values"),
    ),
    Mutation(
        "sum instead of mean",
        "learning/losses.py",
        "return masked_sum(losses, mask) / ops.where(count > 0, count, 1.0)",
        "return masked_sum(losses, mask)",
        ("tests/test_losses.py", "-k", "plain_mean or duplicated_batch"),
    ),
    Mutation(
        "frozen layer left trainable",
        "learning/steps.py",
        "        self.losses = TaskLosses(model)\n",
        "        model.trainable = True\n"
        "        for layer in model.layers:\n"
        "            layer.trainable = True\n"
        "        self.losses = TaskLosses(model)\n",
        ("tests/test_frozen_layers.py",),
    ),
    Mutation(
        "experts start alike",
        "models/initialisation.py",
        "def derived_seed(",
        "def derived_seed(*_, **__):\n    return 1\n\n\ndef _derived_seed(",
        ("tests/test_layers.py", "tests/test_multitask.py", "-k", "differ"),
    ),
    Mutation(
        "vocabulary learned from the row to encode",
        "data/vocabulary.py",
        "UNKNOWN = 0",
        "UNKNOWN = 2",
        ("tests/test_schema.py", "-k", "unknown"),
    ),
    Mutation(
        "conversions without a click let in",
        "data/tasks.py",
        "        _check_closed_rows(task, values, ~open_rows)\n",
        "",
        ("tests/test_funnel.py", "-k", "conversion_without_a_click"),
    ),
    Mutation(
        "entire space without the product",
        "models/funnel_layers.py",
        "return ops.sigmoid(click) * ops.sigmoid(conversion)",
        "return ops.sigmoid(conversion)",
        ("tests/test_funnel.py", "-k", "their_product"),
    ),
    Mutation(
        "counterfactual risk over clicked rows",
        "models/funnel_layers.py",
        "    every_row = True\n",
        "    every_row = False\n",
        ("tests/test_funnel.py", "-k", "mean_over_all_rows or click_share"),
    ),
    Mutation(
        "calibrator beside the graph",
        "models/aitm.py",
        "calibrated[later] = layer(",
        "layer(",
        ("tests/test_aitm.py", "-k", "leads_through"),
    ),
    Mutation(
        "verdict without looking at the interval",
        "evidence/verdicts.py",
        "def verdict(",
        "def verdict(low, high, higher_is_better=True):\n"
        "    return 'helps' if low + high > 0 else 'hurts'\n\n\n"
        "def _verdict(",
        ("tests/test_compare.py", "-k", "verdict or identical"),
    ),
)


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_tests_see_the_mistake(mutation, tmp_path):
    for folder in ("mtlrec_utils", "tests"):
        shutil.copytree(
            ROOT / folder,
            tmp_path / folder,
            ignore=shutil.ignore_patterns("__pycache__", "artefacts"),
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / "mtlrec_utils" / mutation.file
    code = path.read_text()
    assert code.count(mutation.right) == 1, "the line to break has moved"
    path.write_text(code.replace(mutation.right, mutation.wrong))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *mutation.tests],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 1, done.stdout[-2000:] + done.stderr[-2000:]
    assert "failed" in done.stdout
    assert " error" not in done.stdout.splitlines()[-1], done.stdout[-2000:]
