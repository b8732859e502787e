"""Making an enclave, and what is wrong with one."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from flipnb.contracts.policy import Policy
from flipnb.contracts.problem import FlipError
from flipnb.enclave.sandbox.uids import estate_worker_uid, run_uid
from flipnb.enclave.setup import add_controller, create_enclave, remove_controller
from flipnb.enclave.stores.configuration import EnclaveDirectory
from flipnb.enclave.stores.installation import differences, require_environment
from flipnb.enclave.stores.opening import Stores
from flipnb.enclave.stores.store import Store
from flipnb.enclave.versions_in_use import versions_in_use
from flipnb.link.key_files import load_key


def make(directory: Path, lock: str = "", **changes: Any) -> EnclaveDirectory:
    (directory / "lock.txt").write_text(lock or f"numpy=={version('numpy')}\n")
    (directory / "ca.pem").write_text("certificate")
    plain: dict[str, Any] = {
        "name": "north",
        "title": "North",
        "hub_url": "https://127.0.0.1:1",
        "hub_audience": "hub",
        "hub_ca": directory / "ca.pem",
        "controller": "anna",
        "controller_passphrase": "correct horse",
        "policy": Policy(),
        "environment": "test",
        "lock_file": directory / "lock.txt",
        "runtime_dir": directory / "run",
    }
    return create_enclave(directory / "enclave", **(plain | changes))


def code(call: Any, *arguments: Any, **named: Any) -> FlipError:
    with pytest.raises(FlipError) as caught:
        call(*arguments, **named)
    return caught.value


def test_a_new_enclave_is_closed_to_others(tmp_path: Path) -> None:
    enclave = make(tmp_path)
    for path in (enclave.directory, enclave.keys, enclave.runs):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for path in enclave.keys.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (controller,) = enclave.controllers()
    assert load_key(enclave.keys / controller.key_file, "correct horse").public_key == controller.public_key
    assert code(load_key, enclave.keys / controller.key_file).code == "wrong-passphrase"
    assert enclave.policy() == Policy()
    assert list(enclave.environment_locks()) == ["test"]
    enclave.directory.chmod(0o755)
    assert code(EnclaveDirectory.open, enclave.directory).code == "enclave-open-to-others"


def test_nothing_half_made_is_left(tmp_path: Path) -> None:
    assert code(make, tmp_path, hub_url="http://plain").code == "invalid-document"
    assert not (tmp_path / "enclave").exists()
    assert code(make, tmp_path, controller_passphrase="short").code == "weak-passphrase"
    assert code(make, tmp_path, hub_ca=tmp_path / "none.pem").code == "no-file"
    make(tmp_path)
    assert code(make, tmp_path).code == "not-empty"


def test_a_second_controller_has_a_key_of_their_own(tmp_path: Path) -> None:
    enclave = make(tmp_path)
    ben = add_controller(enclave, "ben", "battery staple")
    assert [controller.name for controller in enclave.controllers()] == ["anna", "ben"]
    assert load_key(enclave.keys / ben.key_file, "battery staple").public_key == ben.public_key
    assert stat.S_IMODE((enclave.keys / ben.key_file).stat().st_mode) == 0o600
    assert EnclaveDirectory.open(enclave.directory).configuration.controllers == enclave.controllers()
    for name, passphrase, why in (
        ("carl", "short", "weak-passphrase"),
        ("anna", "battery staple", "invalid-document"),
        ("../carl", "battery staple", "invalid-document"),
    ):
        assert code(add_controller, enclave, name, passphrase).code == why
    assert len(enclave.controllers()) == 2
    assert sorted(path.name for path in enclave.keys.glob("controller-*")) == [
        "controller-anna.pem",
        "controller-ben.pem",
    ]


def test_a_controller_who_leaves_decides_no_more(tmp_path: Path) -> None:
    enclave = make(tmp_path)
    assert code(remove_controller, enclave, "anna").code == "last-controller"
    add_controller(enclave, "ben", "battery staple")
    assert "anna, ben" in code(remove_controller, enclave, "carl").message
    assert remove_controller(enclave, "anna") == ()
    assert [controller.name for controller in enclave.controllers()] == ["ben"]
    assert [path.name for path in enclave.keys.glob("controller-*")] == ["controller-ben.pem"]


def test_a_study_has_one_key(tmp_path: Path) -> None:
    enclave = make(tmp_path)
    assert code(enclave.study_key, "heart").code == "bad-secret", "it is made when the study is joined, not when used"
    with closing(Stores.open(enclave, enclave.load_node_key())) as stores:
        for study in ("heart", "lung", "heart"):
            stores.join(study)
            key = enclave.study_key("heart")
            assert len(key) == 32
        assert enclave.study_key("heart") == key != enclave.study_key("lung")
    enclave.study_file("lung").write_bytes(b"")
    assert code(enclave.study_key, "lung").code == "bad-secret"


def test_a_socket_path_that_is_too_long_is_named(tmp_path: Path) -> None:
    enclave = make(tmp_path, runtime_dir=tmp_path / ("x" * 90))
    assert code(enclave.make_runtime).code == "socket-path-too-long"


def test_an_environment_is_as_its_lock_says(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(
        f"# comment\nnumpy=={version('numpy')} \\\n    --hash=sha256:abc\nPyDantic=={version('pydantic')}\n"
        "colorama==9.9 ; sys_platform == 'win32'\n"
    )
    assert [line for line in differences(lock) if "colorama" not in line] == []
    lock.write_text("numpy==0.0.1\nno-such-package==1.0\n")
    error = code(require_environment, lock)
    assert error.code == "environment-differs"
    assert "no-such-package 1.0 is not installed" in error.message
    assert f"numpy is installed in version {version('numpy')}" in error.message
    lock.write_text("numpy>=2\n")
    assert "line 1" in code(differences, lock).message


def test_every_child_has_a_user_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    uids = [estate_worker_uid(tmp_path), *(run_uid(tmp_path, slot) for slot in range(64))]
    assert len(set(uids)) == 65
    assert not {run_uid(tmp_path / "other", 0)} & set(uids)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert estate_worker_uid(tmp_path) is None


def test_versions_in_use_are_those_of_runs_that_are_not_over(tmp_path: Path) -> None:
    enclave = make(tmp_path)
    assert versions_in_use(enclave.estate) == ()
    store = Store(enclave.state)
    for name in ("waiting", "running", "over"):
        store.runs.add(name, bundle="b", study="s", title="t", point={})
    with sqlite3.connect(enclave.state) as database:
        database.execute("UPDATE runs SET estate_version = run || ' version' WHERE run <> 'waiting'")
        database.execute("UPDATE runs SET state = 'finished' WHERE run = 'over'")
    database.close()
    store.close()
    assert versions_in_use(enclave.estate) == ("running version",)
    assert versions_in_use(tmp_path / "estate") is None, "no enclave"
    assert versions_in_use(enclave.directory / "another") is None, "not its estate"
