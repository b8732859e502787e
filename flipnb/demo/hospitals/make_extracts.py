"""``python -m flipnb.demo.hospitals.make_extracts``: writes the hospitals' extracts from the published records.

The values are the real ones; the shapes are invented, since real hospitals differ: names, layout, codes, units,
languages. Each record gets a number of its own, and all of a hospital's records one day, because the published records
have neither.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from flipnb.demo.hospitals import HOSPITALS, Hospital

Record = dict[str, str]

COLUMNS = (
    "age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope", "ca", "thal",
    "num",
)  # fmt: skip
MMHG_IN_KPA = 0.133322387415  # UCUM: m[Hg] = 133.322387415 kPa
CHOLESTEROL_G_PER_MOL = 386.65
REFERENCE_YEAR = 1988


def read(hospital: Hospital) -> list[Record]:
    """The published records; a missing value ('?') is absent."""
    with hospital.original.open(newline="") as file:
        rows = csv.reader(file)
        return [{n: v.strip() for n, v in zip(COLUMNS, row, strict=True) if v.strip() != "?"} for row in rows if row]


def number(record: Record, name: str, factor: float = 1.0) -> str:
    """A value times ``factor`` with all its digits, whole where it is whole; empty where it is missing."""
    if name not in record:
        return ""
    value = float(record[name]) * factor
    return str(int(value)) if value == int(value) and factor == 1.0 else repr(value)


def code(record: Record, name: str, words: Sequence[str], first: int = 0) -> str:
    """The word for a coded value that counts from ``first``; empty where it is missing."""
    return words[int(float(record[name])) - first] if name in record else ""


def cleveland(records: list[Record], directory: Path) -> None:
    """One file, words for codes, cholesterol in mmol/L."""
    factor = 10.0 / CHOLESTEROL_G_PER_MOL  # mg/dL → mmol/L
    rows = [
        [
            f"C{number_:04}", number(r, "age"), code(r, "sex", ("F", "M")),
            code(r, "cp", ("typical", "atypical", "non-anginal", "none"), 1), number(r, "trestbps"),
            number(r, "chol", factor), code(r, "fbs", ("no", "yes")), code(r, "restecg", ("normal", "ST-T", "LVH")),
            number(r, "thalach"), code(r, "exang", ("no", "yes")), number(r, "oldpeak"), number(r, "num"),
        ]
        for number_, r in enumerate(records, 1)
    ]  # fmt: skip
    head = [
        "patient", "age_years", "sex", "chest_pain", "systolic_mmHg", "cholesterol_mmol_l", "glucose_above_120",
        "ecg_at_rest", "max_heart_rate", "exercise_angina", "st_depression_mm", "vessels_narrowed",
    ]  # fmt: skip
    _write(directory / "angiography.csv", [head, *rows], ",")


def hungary(records: list[Record], directory: Path) -> None:
    """One file in Hungarian: semicolons, decimal commas, numbers for codes, blood pressure in kPa, '-' for missing."""

    def cell(text: str) -> str:
        return text.replace(".", ",") if text else "-"

    rows = [
        [
            f"H-{number_}", cell(number(r, "age")), code(r, "sex", ("2", "1")) or "-", cell(number(r, "cp")),
            cell(number(r, "trestbps", MMHG_IN_KPA)), cell(number(r, "chol")), code(r, "fbs", ("N", "I")) or "-",
            cell(number(r, "restecg")), cell(number(r, "thalach")), code(r, "exang", ("N", "I")) or "-",
            cell(number(r, "oldpeak")), cell(number(r, "num")),
        ]
        for number_, r in enumerate(records, 1)
    ]  # fmt: skip
    head = [
        "azonosito", "kor", "nem", "mellkasi_fajdalom", "vernyomas_kPa", "koleszterin_mg_dl", "vercukor_120_felett",
        "nyugalmi_ekg", "max_pulzus", "terheleses_angina", "st_depresszio", "szukulet",
    ]  # fmt: skip
    _write(directory / "koszoruer.csv", [head, *rows], ";")


def switzerland(records: list[Record], directory: Path) -> None:
    """Two files: persons with their year of birth, and one row per finding (long format)."""
    persons = [["pid", "geschlecht", "jahrgang"]]
    findings = [["pid", "befund", "wert"]]
    for number_, r in enumerate(records, 1):
        pid = str(70_000 + number_)
        persons.append([pid, code(r, "sex", ("w", "m")), str(REFERENCE_YEAR - int(float(r["age"])))])
        values = {
            "RR_SYST": number(r, "trestbps"),
            "CHOL": number(r, "chol"),
            "BZ_NUECHTERN_GT120": code(r, "fbs", ("nein", "ja")),
            "RUHE_EKG": code(r, "restecg", ("normal", "ST-T", "LVH")),
            "HF_MAX": number(r, "thalach"),
            "ANGINA_BELASTUNG": code(r, "exang", ("nein", "ja")),
            "ST_SENKUNG": number(r, "oldpeak"),
            "BRUSTSCHMERZ": code(r, "cp", ("typisch", "atypisch", "nicht-anginoes", "keiner"), 1),
            "KORONARANGIO": number(r, "num"),
        }
        findings += [[pid, name, value] for name, value in values.items() if value]
    _write(directory / "personen.tsv", persons, "\t")
    _write(directory / "befunde.tsv", findings, "\t")


def long_beach(records: list[Record], directory: Path) -> None:
    """JSON lines; absent keys are missing values."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "cath_lab.jsonl").open("w") as file:
        for number_, r in enumerate(records, 1):
            values: dict[str, object] = {"case_id": f"va{number_:05}", "sex": code(r, "sex", ("FEMALE", "MALE"))}
            for key, name in (("age", "age"), ("sbp", "trestbps"), ("chol", "chol"), ("hr_max", "thalach"),
                              ("st_dep", "oldpeak"), ("cad", "num")):  # fmt: skip
                if name in r:
                    value = float(r[name])
                    values[key] = int(value) if value == int(value) else value
            for key, name in (("fbs", "fbs"), ("ecg", "restecg"), ("exang", "exang"), ("pain", "cp")):
                if name in r:
                    values[key] = int(float(r[name]))
            file.write(json.dumps(values) + "\n")


def _write(path: Path, rows: list[list[str]], delimiter: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows(rows)


SHAPES: dict[str, Callable[[list[Record], Path], None]] = {
    "cleveland": cleveland,
    "hungary": hungary,
    "switzerland": switzerland,
    "long-beach": long_beach,
}


def main() -> None:
    """Write each hospital's extract anew from the published records, over what is there."""
    for hospital in HOSPITALS:
        SHAPES[hospital.name](read(hospital), hospital.extract)


if __name__ == "__main__":
    main()
