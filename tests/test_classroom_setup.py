"""The set-up line, and a TensorFlow that starts in silence."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

from mtlrec_utils import machine

ROOT = Path(__file__).resolve().parents[1]
module = importlib.import_module("mtlrec_utils.classroom.setup")

NOISY = """
import os
os.write(2, b"noise of the import\\n")

class config:
    @staticmethod
    def list_physical_devices():
        os.write(2, b"noise of the devices\\n")

{ending}
"""

SCRIPT = """
import importlib.util, os, sys
from mtlrec_utils.classroom.quiet import silence_tensorflow
silence_tensorflow()
silence_tensorflow()
assert "tensorflow" not in sys.modules
before = len(sys.meta_path)
importlib.util.find_spec("tensorflow")  # looking is not importing
assert len(sys.meta_path) == before
import tensorflow
os.write(2, b"later message\\n")
assert len(sys.meta_path) == before - 1
assert type(tensorflow.__spec__.loader).__name__ == "SourceFileLoader"
assert type(tensorflow.__loader__).__name__ == "SourceFileLoader"
silence_tensorflow()
assert len(sys.meta_path) == before - 1
print(os.environ["TF_CPP_MIN_LOG_LEVEL"])
"""


def run_with_noisy_tensorflow(folder, ending):
    package = folder / "tensorflow"
    package.mkdir()
    (package / "__init__.py").write_text(NOISY.format(ending=ending))
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    return subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=environment,
        capture_output=True,
        text=True,
    )


def test_the_noise_of_the_import_is_dropped_and_later_messages_are_not(
    tmp_path,
):
    done = run_with_noisy_tensorflow(tmp_path, "")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "later message\n"
    assert done.stdout == "2\n"


def test_a_failing_import_shows_everything(tmp_path):
    done = run_with_noisy_tensorflow(
        tmp_path, "raise ImportError('libcuda is broken')"
    )
    assert done.returncode == 1
    assert "noise of the import\n" in done.stderr
    assert "ImportError: libcuda is broken" in done.stderr
    assert "later message" not in done.stderr


CELLS = [
    "from mtlrec_utils.classroom import dial, plots, setup\nsetup()",
    "import sys\nassert 'tensorflow' not in sys.modules\nimport keras",
    "import numpy as np\n"
    "model = keras.Sequential([keras.layers.Dense(1)])\n"
    "model.compile('adam', 'mse')\n"
    "model.fit(np.ones((8, 2)), np.ones((8, 1)), verbose=0);",
    "import tensorflow as tf\n"
    "assert tf.config.list_physical_devices('CPU')\n"
    "assert keras.backend.backend() == 'tensorflow'",
    "import os\nos.write(2, b'a real problem');",
    "def draw(n):\n"
    "    figure, ax = plots.new_figure()\n"
    "    return figure, f'An empty figure for the number {n}'\n"
    "dial(draw, n=[1, 2])",
]


def test_a_real_kernel_starts_tensorflow_without_a_word(monkeypatch):
    # Where it finds this variable, ipykernel leaves file descriptor 2 alone.
    monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(code) for code in CELLS]
    )
    NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(ROOT)}},
    ).execute()
    outputs = [cell.outputs for cell in notebook.cells]
    (line,) = outputs[0]
    assert line.name == "stdout"
    assert line.text.count("\n") == 1
    assert outputs[1] == outputs[2] == outputs[3] == []
    (problem,) = outputs[4]
    assert (problem.name, problem.text) == ("stderr", "a real problem")
    (shown,) = outputs[5]
    assert shown.data.keys() == {
        "text/plain",
        "text/html",
        "application/vnd.jupyter.widget-view+json",
    }


@pytest.fixture
def clean(monkeypatch):
    """Undo what setup() changes for the whole process."""
    monkeypatch.setattr(module, "silence_tensorflow", lambda: None)
    for name in ("MTLREC_SPEED", "KERAS_BACKEND", "TF_FORCE_GPU_ALLOW_GROWTH"):
        # Setting first makes monkeypatch restore what setup() sets.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    yield monkeypatch
    pd.reset_option("display")
    module.use_house_style()


def test_setup_prints_one_line(clean, capsys):
    clean.setattr(module, "device", lambda: "GPU NVIDIA T4")
    module.setup()
    out = capsys.readouterr().out
    assert re.fullmatch(
        r"mtlrec_utils \S+ · Python 3\.\d+\.\d+ · "
        r"TensorFlow 2\.\d+\.\d+ · Keras 3\.\d+\.\d+ · "
        r"GPU NVIDIA T4 · fast mode\n",
        out,
    )
    assert os.environ["KERAS_BACKEND"] == "tensorflow"
    assert pd.get_option("display.precision") == 4


def test_speed_mode(clean, capsys):
    clean.setenv("MTLREC_SPEED", " Full ")
    assert module.at_speed(fast=3, full=20) == 20
    module.setup()
    assert capsys.readouterr().out.endswith("full mode\n")
    clean.setenv("MTLREC_SPEED", "")
    assert module.at_speed(fast=3, full=20) == 3
    clean.setenv("MTLREC_SPEED", "quick")
    with pytest.raises(ValueError, match="MTLREC_SPEED is 'quick'"):
        module.setup()


def nvidia_smi(folder, script):
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(folder)


@pytest.mark.skipif(os.name == "nt", reason="writes a shell script")
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'Tesla T4'", "GPU Tesla T4"),
        ("echo 'Tesla T4'; echo 'Tesla T4'", "GPU 2 × Tesla T4"),
        ("echo 'cannot talk to the driver'; exit 9", "3-core CPU"),
        ("true", "3-core CPU"),
    ],
)
def test_device(tmp_path, monkeypatch, script, said):
    monkeypatch.setattr(machine, "cpu_count", lambda: 3)
    monkeypatch.setenv("PATH", nvidia_smi(tmp_path, script))
    assert machine.device() == said


def test_device_without_a_gpu(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(machine, "cpu_count", lambda: 1)
    assert machine.device() == "1-core CPU"


def test_versions_and_memory():
    assert machine.installed_version("no-such-thing", "numpy")[0].isdigit()
    assert machine.installed_version("no-such-thing") == "missing"
    assert 0.5 < machine.memory_gigabytes() < 100_000
    assert machine.cpu_count() >= 1


def test_importing_the_classroom_imports_no_tensorflow():
    code = (
        "import sys, mtlrec_utils.classroom, mtlrec_utils.doctor\n"
        "sys.exit(any(m in sys.modules for m in ('tensorflow', 'keras')))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
    )
