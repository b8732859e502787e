"""What decodes strangers' images is in a jail of its own: no network, no estate, nothing of the worker's to read."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from flipnb.enclave.estate_worker import decoder
from flipnb.enclave.sandbox.jail import Bind, spawn
from flipnb.enclave.sandbox.uids import estate_worker_uid

PROBE = """
import json, os, socket, sys
def tried(act):
    try:
        return bool(act())
    except OSError:
        return False
places = sys.argv[2:]
found = {
    "estate": [tried(lambda: os.listdir(place) is not None) for place in places],
    "network": tried(lambda: socket.create_connection(("127.0.0.1", 9), 1)),
    "interfaces": [name for _, name in socket.if_nameindex()],
    "writable": [place for place in ("/usr", "/proc/sys/kernel", "/") if os.access(place, os.W_OK)],
    "processes": sum(name.isdigit() for name in os.listdir("/proc")),
    "root": os.geteuid() == 0,
}
socket.socket(fileno=int(sys.argv[1])).send(json.dumps(found).encode())
"""

WORKER = """
import socket, sys
from flipnb.enclave.estate_worker import decoder
from flipnb.enclave.sandbox.jail import spawn
given = decoder.spawn
def probing(command, **how):
    return given([command[0], "-c", {probe!r}, command[-1], *sys.argv[2:]], **how)
decoder.spawn = probing
outside = socket.socket(fileno=int(sys.argv[1]))
process = decoder.jailed(outside)
process.wait(60)
"""


def test_the_decoders_jail_holds_nothing_of_the_enclave(tmp_path: Path) -> None:
    """Started out of the estate worker's jail, as in an enclave; what stands in place of the decoder looks round."""
    tmp_path.chmod(0o755)
    estate, frozen = tmp_path / "estate", tmp_path / "frozen"
    estate.mkdir(mode=0o755)
    frozen.mkdir()
    uid = estate_worker_uid(tmp_path)
    if uid is not None:
        os.chown(frozen, uid, uid)
    hear, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    worker = spawn(
        [sys.executable, "-P", "-c", WORKER.format(probe=PROBE), str(inside.fileno()), str(estate), str(frozen)],
        uid=uid,
        visible=[Bind(estate), Bind(frozen, writable=True)],
        pass_fds=[inside.fileno()],
        stderr=subprocess.DEVNULL,
    )
    inside.close()
    hear.settimeout(60)
    try:
        found = json.loads(hear.recv(1 << 16))
    finally:
        worker.kill()
        worker.wait()
        hear.close()
    assert found["estate"] == [False, False]
    assert not found["network"] and not found["root"]
    assert set(found["interfaces"]) <= {"lo"}
    assert found["writable"] == []
    assert found["processes"] <= 3, "it sees no process of others"


def test_a_decoder_that_is_not_jailed_is_not_what_an_enclave_starts() -> None:
    from flipnb.enclave.estate_worker import __main__ as worker

    assert worker.jailed is decoder.jailed


def test_the_agent_and_the_kernel_do_not_import_what_reads_dicom() -> None:
    asked = (
        "import sys, flipnb.enclave.estate_worker.process, flipnb.session.data, flipnb.estate.freezing\n"
        "print({'pydicom', 'highdicom', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
