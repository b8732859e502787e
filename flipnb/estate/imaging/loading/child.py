"""The process that reads a source's images for a load: first their headers, then each through release.

As ``batch.child``, with what a load needs beside: whose the file is, and how the image was made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flipnb.estate.imaging.batch.child import answered, serve, told
from flipnb.estate.imaging.deidentify import Deidentifier, Keys, Policy
from flipnb.estate.imaging.loading.headers import read_features, read_header
from flipnb.estate.imaging.release import release

MODULE = "flipnb.estate.imaging.loading.child"


def main() -> None:
    """Answer until standard input ends."""
    first, orders, say = serve()
    deidentifier = Deidentifier(Policy.model_validate(first["policy"]), Keys(bytes.fromhex(first["key"])))
    for order in orders:
        say(answered(order, _asked(order, deidentifier)))


def _asked(order: dict[str, Any], deidentifier: Deidentifier) -> Any:
    if order["ask"] == "header":
        return lambda source, _: _header(source)
    person = order["person"].encode() or None
    return lambda source, output: _released(source, output, deidentifier, person)


def _header(source: Path) -> dict[str, Any]:
    try:
        return {"state": "read", "header": read_header(source)}
    except OSError:
        raise
    except Exception as error:  # pydicom raises what it likes on hostile bytes
        reason = str(error) if type(error) is ValueError else f"its header can't be read ({type(error).__name__})"
        return {"state": "refused", "reason": reason[:200]}


def _released(source: Path, output: Path, deidentifier: Deidentifier, person: bytes | None) -> dict[str, Any]:
    answer = told(release(source, output, deidentifier, person=person))
    if answer["state"] == "released":
        try:
            answer["features"] = read_features(output)
        except OSError:
            raise
        except Exception as error:
            return {**answer, "state": "quarantined", "reason": f"its output can't be read ({type(error).__name__})"}
    return answer


if __name__ == "__main__":
    main()
