"""The doctor: what it finds, what it keeps to itself."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mtlrec_utils import doctor, examinations
from mtlrec_utils.examinations import FAIL, NOTE, OK, Finding

ROOT = Path(__file__).resolve().parents[1]


def found(generator):
    return {finding.name: finding for finding in generator}


def test_the_real_environment_works():
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MTLREC_") and name != "KERAS_BACKEND"
    }
    done = subprocess.run(
        [sys.executable, "-m", "mtlrec_utils.doctor"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("```text\nOne Model, Many Goals ")
    assert done.stdout.endswith("everything works\n```\n")
    for name in ("Python", "tensorflow", "keras", "smoke test", "memory"):
        assert f"OK    {name} " in done.stdout
    assert str(Path.home()) + "/" not in done.stdout
    assert str(ROOT) not in done.stdout


def test_it_runs_without_the_packages_it_examines():
    """Only the standard library, and a FAIL with a remedy for the rest."""
    code = (
        "from mtlrec_utils import doctor, examinations\n"
        "examinations._tensorflow = lambda: iter(())\n"
        "raise SystemExit(doctor.main())"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert "FAIL  tensorflow" in done.stdout
    assert "missing\n      -> Run `make lab`" in done.stdout


def test_report_has_a_remedy_line_and_a_count():
    text = doctor.report(
        [
            Finding("a", OK, "fine"),
            Finding("longer", FAIL, "broken", "Mend it. " * 12),
            Finding("c", NOTE, "so"),
        ]
    )
    lines = text.splitlines()
    assert lines[2] == "OK    a       fine"
    assert lines[3] == "FAIL  longer  broken"
    assert lines[4].startswith("      -> Mend it. Mend it.")
    assert max(map(len, lines)) <= 79
    assert lines[-2:] == ["1 FAIL", "```"]


def test_exit_code(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "examine", lambda: [Finding("a", NOTE, "x")])
    assert doctor.main() == 0
    monkeypatch.setattr(doctor, "examine", lambda: [Finding("a", FAIL, "x")])
    assert doctor.main() == 1
    assert "1 FAIL" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "No module named 'tf' in /home/ada/course/.venv/lib/x.py",
            "No module named 'tf' in …/x.py",
        ),
        ("File '/Users/ada/a.so' failed", "File '…/a.so' failed"),
        (r"C:\Users\ada\course\a.dll missing", "…/a.dll missing"),
        (r"C:\Users\Ada Lovelace\a.dll", "…/a.dll"),
        ("~/course/log", "…/log"),
        ("/srv is full", "…/srv is full"),
        ("2 of 3 GB, and/or 1/2", "2 of 3 GB, and/or 1/2"),
        ("datasets/log.parquet is missing", "datasets/log.parquet is missing"),
    ],
)
def test_no_folder_and_no_name_leaves(text, shown):
    assert doctor.anonymous(text) == shown


def test_the_home_folder_is_hidden_also_with_a_space(monkeypatch):
    home = Path("/srv/Ada Lovelace")
    monkeypatch.setattr(Path, "home", lambda: home)
    assert doctor.anonymous(f"open {home}/course/a.txt") == "open …/a.txt"


def test_settings(monkeypatch, tmp_path):
    monkeypatch.setenv("MTLREC_SPEED", "quick")
    monkeypatch.setenv("MTLREC_CHECK", "strict")
    monkeypatch.setenv("MTLREC_DATA", str(tmp_path / "nowhere"))
    settings = found(examinations._settings())
    assert settings["MTLREC_SPEED"].state == FAIL
    assert "fast or full" in settings["MTLREC_SPEED"].remedy
    assert settings["MTLREC_CHECK"].state == OK
    assert settings["MTLREC_DATA"].state == FAIL
    monkeypatch.setenv("MTLREC_DATA", str(tmp_path))
    data = found(examinations._settings())["MTLREC_DATA"]
    assert (data.state, data.value) == (OK, "set, the folder exists")


def test_versions_out_of_range(monkeypatch):
    wanted = {"numpy": ">=2.0,<3", "keras": ">=99", "no-such": ">=1"}
    monkeypatch.setattr(examinations, "_requirements", lambda: wanted)
    packages = found(examinations._packages())
    assert packages["numpy"].state == OK
    assert packages["keras"].state == FAIL
    assert "the course needs >=99" in packages["keras"].value
    assert packages["no-such"].state == FAIL
    assert packages["no-such"].remedy


def test_requirements_are_those_of_the_package(monkeypatch):
    lines = ["numpy<3,>=2.0", "tqdm", "jax>=0.7; extra == 'dev'"]
    monkeypatch.setattr(examinations, "requires", lambda name: lines)
    assert examinations._requirements() == {"numpy": "<3,>=2.0", "tqdm": ""}


def test_checksums(tmp_path, monkeypatch):
    monkeypatch.setattr(examinations, "course_folder", lambda name: tmp_path)
    assert found(examinations._datasets())["datasets"].state == NOTE
    (tmp_path / "log.csv").write_bytes(b"1,2\n")
    digest = hashlib.sha256(b"1,2\n").hexdigest()
    sums = tmp_path / "SHA256SUMS"
    sums.write_text(f"{digest}  log.csv\n")
    assert found(examinations._datasets())["datasets"].state == OK
    (tmp_path / "log.csv").write_bytes(b"1,3\n")
    sums.write_text(f"{digest}  log.csv\n{digest}  gone.csv\n")
    finding = found(examinations._datasets())["datasets"]
    assert finding.state == FAIL
    assert finding.value == "log.csv was changed; gone.csv is missing"


def smoke(monkeypatch, script):
    monkeypatch.setattr(examinations, "SMOKE_TEST", script)
    return found(examinations._tensorflow())


def test_a_crash_of_tensorflow_is_survived(monkeypatch):
    findings = smoke(monkeypatch, "import os; os.abort()")
    assert findings["smoke test"].state == FAIL
    findings = smoke(monkeypatch, "raise ImportError('no AVX here')")
    assert "ImportError: no AVX here" in findings["smoke test"].value


def test_another_backend_and_an_unseen_gpu(monkeypatch):
    monkeypatch.setattr(examinations, "gpu_names", lambda: ["Tesla T4"])
    said = '{"backend": "jax", "gpus": 0, "right": false}'
    findings = smoke(monkeypatch, f"print('chatter'); print('{said}')")
    assert findings["Keras backend"].state == FAIL
    assert "KERAS_BACKEND=tensorflow" in findings["Keras backend"].remedy
    assert findings["GPU"].state == NOTE
    assert findings["smoke test"].state == FAIL


def test_an_examination_that_breaks_is_reported(monkeypatch):
    def _resources():
        raise OSError("no such device")
        yield

    monkeypatch.setattr(examinations, "_resources", _resources)
    monkeypatch.setattr(examinations, "_tensorflow", lambda: iter(()))
    findings = {f.name: f for f in examinations.examine()}
    assert findings["resources"].value == "OSError: no such device"
