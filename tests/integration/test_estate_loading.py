"""``flip estate load`` as its user runs it: killed in the middle, started again, read meanwhile."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

from public_data import synthea

from flipnb.estate import Estate


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "flipnb.cli.main", "estate", *map(str, arguments)]


def test_a_killed_load_leaves_nothing_and_goes_on(tmp_path):
    load = command("load", synthea(), "--mapping", "omop-5.4", "--into", tmp_path / "estate")
    with subprocess.Popen(load, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith("MEASUREMENT.csv"):
                process.send_signal(signal.SIGKILL)
                break
    assert process.wait() == -signal.SIGKILL and Estate.open(tmp_path / "estate").current() is None

    again = subprocess.run(load, capture_output=True, text=True, check=True)
    assert "MEASUREMENT.csv" not in again.stderr and "VISIT_OCCURRENCE.csv" in again.stderr
    assert "28 people" in again.stdout and "measurement           10,040" in again.stdout
    versions = [path.name for path in (tmp_path / "estate" / "versions").iterdir()]
    assert versions == [Estate.open(tmp_path / "estate").current()]

    third = subprocess.run([*load, "--json"], capture_output=True, text=True, check=True)
    report = json.loads(third.stdout)
    assert (report["version"], report["new"], report["rows"]["visit_occurrence"]) == (versions[0], False, 1791)


def test_refusals_have_an_exit_code_and_a_remedy(tmp_path):
    (tmp_path / "person.csv").write_text("person_id,gender_concept_id,year_of_birth\nx,1,2\n")
    for source, mapping, words in (
        (tmp_path / "person.csv", "omop-5.4", "person.csv, line 2: no whole number"),
        (tmp_path / "none.csv", "omop-5.4", "is not there"),
        (tmp_path / "person.csv", "omop-6", "There is no mapping omop-6"),
    ):
        arguments = command("load", source, "--mapping", mapping, "--into", tmp_path / "estate")
        run = subprocess.run(arguments, capture_output=True, text=True, check=False)
        assert run.returncode == 1 and words in run.stderr and "Traceback" not in run.stderr
    run = subprocess.run(command("quality", tmp_path / "estate"), capture_output=True, text=True, check=False)
    assert run.returncode == 1 and "no estate version" in run.stderr
