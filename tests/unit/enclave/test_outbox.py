"""Refusals of runs that are not here: a hub that names ever new ones fills no disk."""

from __future__ import annotations

from pathlib import Path

from flipnb.contracts.run import TrustReport
from flipnb.enclave.stores.outbox import MOST_REFUSALS
from flipnb.enclave.stores.store import Store


def unsent(store: Store) -> list[str]:
    found = []
    while (report := store.outbox.next()) is not None:
        found.append(report.run)
        store.outbox.sent(report.number)
    return found


def test_of_refusals_of_unknown_runs_the_last_are_kept(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.sqlite")
    store.runs.add("f" * 32, bundle="b" * 64, study="heart", title="Ours", point={})
    store.outbox.add(TrustReport(run="f" * 32, sequence=1, state="refused", code="ours"))
    names = [f"{number:032x}" for number in range(MOST_REFUSALS + 100)]
    for name in names:
        store.outbox.add_refusal(name, "unknown-run", "It is not here.")
    sending = store.outbox.next()
    assert sending is not None
    assert sending.run == "f" * 32
    assert unsent(store) == ["f" * 32, *names[100:]]
    store.outbox.add_refusal("e" * 32, "unknown-run", "It is not here.")
    assert unsent(store) == ["e" * 32]
    store.close()
