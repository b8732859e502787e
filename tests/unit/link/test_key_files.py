"""Keys in files: whole or not at all, stretched by scrypt, and those of earlier versions taken over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from flipnb.contracts.keys import SigningKey
from flipnb.contracts.problem import FlipError
from flipnb.link.key_files import LockedKey, load_key, save_key, stretched

KEY = SigningKey.generate()


def refused(path: Path, passphrase: str | None = None) -> str:
    with pytest.raises(FlipError) as caught:
        load_key(path, passphrase)
    return caught.value.code


def as_before(key: SigningKey, passphrase: str) -> bytes:
    """PKCS #8 with 2,048 rounds of PBKDF2, as keys were kept."""
    return key.private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase.encode()),
    )


def test_a_key_is_saved_once_for_its_owner_and_opens_with_its_passphrase_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "k.pem"
    save_key(KEY, path, "correct horse")
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_key(path, "correct horse").key_id == KEY.key_id
    assert (refused(path, "wrong"), refused(path)) == ("wrong-passphrase", "wrong-passphrase")
    with pytest.raises(FlipError, match="never overwritten"):
        save_key(SigningKey.generate(), path)
    assert load_key(path, "correct horse").key_id == KEY.key_id
    assert refused(tmp_path / "none.pem") == "no-key"
    save_key(KEY, tmp_path / "plain.pem")
    assert load_key(tmp_path / "plain.pem").key_id == KEY.key_id
    assert os.listdir(tmp_path / "keys") == ["k.pem"]


def test_a_guess_costs_128_mib_and_no_two_files_are_alike() -> None:
    first, second = (LockedKey.lock(KEY, "correct horse") for _ in range(2))
    assert 128 * first.n * first.r == 128 << 20
    assert (first.salt, first.nonce, first.sealed) != (second.salt, second.nonce, second.sealed)
    assert first.unlock("wrong") is None
    for changes in ({"public_key": SigningKey.generate().public_key}, {"n": 1 << 14}, {"salt": "0" * 32}):
        assert first.model_copy(update=changes).unlock("correct horse") is None, "what it says is authenticated"


def test_a_key_of_an_earlier_version_is_locked_anew_once_it_was_opened(tmp_path: Path) -> None:
    path = tmp_path / "k.pem"
    path.write_bytes(before := as_before(KEY, "correct horse"))
    assert not stretched(path)
    assert refused(path, "wrong") == "wrong-passphrase"
    assert path.read_bytes() == before
    assert load_key(path, "correct horse").key_id == KEY.key_id
    assert stretched(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_key(path, "correct horse").key_id == KEY.key_id
    assert refused(path, "wrong") == "wrong-passphrase"


def test_half_a_key_is_called_damaged_whatever_the_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "k.pem"
    save_key(KEY, path, "correct horse")
    save_key(KEY, tmp_path / "plain.pem")
    for whole in (path.read_bytes(), (tmp_path / "plain.pem").read_bytes(), as_before(KEY, "correct horse")):
        for cut in (0, 1, 40, len(whole) // 2, len(whole) - 10):
            path.write_bytes(whole[:cut])
            assert refused(path, "correct horse") == "damaged-key", (cut, whole)


SAVING = """
import sys
from pathlib import Path
from flipnb.contracts.keys import SigningKey
from flipnb.link.key_files import save_key
print("ready", flush=True)
for number in range(100_000):
    save_key(SigningKey.generate(), Path(sys.argv[1]) / f"{number}.pem")
"""


def test_a_process_that_is_killed_leaves_whole_keys_alone(tmp_path: Path) -> None:
    for attempt in range(5):
        place = tmp_path / str(attempt)
        place.mkdir()
        process = subprocess.Popen([sys.executable, "-c", SAVING, os.fspath(place)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.05 * (attempt + 1))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        for path in place.glob("[0-9]*.pem"):
            load_key(path)
