"""The kernelspec ``flip-enclave`` as a Jupyter data directory holds it; an agent installs it for itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flipnb.enclave.kernels.provisioner import NAME
from flipnb.enclave.sandbox.sandbox import Sandbox
from flipnb.files.whole import write


def kernelspec(sandbox: Sandbox | None) -> dict[str, Any]:
    """The content of ``kernel.json``. Without a sandbox a kernel of it is refused at its start."""
    configuration = {} if sandbox is None else {"sandbox": sandbox.model_dump(mode="json")}
    return {
        "argv": ["flip-enclave-kernel", "-f", "{connection_file}"],
        "display_name": "FLIP enclave (sandboxed)",
        "language": "python",
        "interrupt_mode": "message",
        "metadata": {
            "debugger": False,
            "kernel_provisioner": {"provisioner_name": NAME, "config": configuration},
        },
    }


def install(data_directory: Path, sandbox: Sandbox) -> Path:
    """Write the kernelspec below ``data_directory`` (a Jupyter data path); the directory it lies in."""
    place = data_directory / "kernels" / NAME
    place.mkdir(parents=True, exist_ok=True)
    content = json.dumps(kernelspec(sandbox), indent=1).encode() + b"\n"
    write(place / "kernel.json", content, mode=0o600)
    return place
