"""HL7's own validator (HAPI's packaging, from Maven Central), as an oracle for what we emit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCES = Path(__file__).parent / "hl7"
BUILD = Path(__file__).parents[2] / "build" / "hl7-validator"


def errors_of(resources: list[dict]) -> list[str]:
    """What the validator finds wrong: one JVM for all resources. Each message names the resource."""
    jars = _jars()
    lines = "".join(json.dumps(resource) + "\n" for resource in resources)
    with tempfile.TemporaryDirectory() as directory:
        classes = Path(directory)
        path = f"{jars}/*"
        subprocess.run(
            ["javac", "-nowarn", "-cp", path, "-d", str(classes), str(SOURCES / "Validate.java")],
            check=True,
            capture_output=True,
            timeout=240,
        )
        result = subprocess.run(
            [
                "java",
                "-Xmx1500m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-cp",
                f"{classes}{os.pathsep}{path}",
                "Validate",
            ],
            input=lines,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=480,
            check=False,
        )
    output = result.stdout.splitlines()
    if not output or output[-1] != f"validated\t{len(resources)}":
        raise RuntimeError(f"the validator did not end: {result.stderr[-2000:]}")
    found = []
    for line in output[:-1]:
        number, place, message = line.split("\t", 2)
        resource = resources[int(number)]
        found.append(f"{resource['resourceType']}/{resource.get('id')} {place}: {message}")
    return found


def _jars() -> Path:
    """The validator's jars, fetched by Maven once."""
    jars, complete = BUILD / "jars", BUILD / "complete"
    if not complete.exists():
        print("fetching HL7's validator (127 MB) …", file=sys.stderr)
        BUILD.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [
                "mvn", "-q", "-B", "-f", str(SOURCES / "pom.xml"), "dependency:copy-dependencies",
                f"-DoutputDirectory={jars}",
            ],
            check=True,
            capture_output=True,
            timeout=280,
        )  # fmt: skip
        complete.touch()
    return jars
