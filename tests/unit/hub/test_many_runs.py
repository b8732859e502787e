"""Thousands of runs at a hub: what its clock, its line of runs and its lists read does not grow with them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from sqlalchemy import event, select
from test_run_queue import CONFIGURATION, KEYS, STUDY, Scene

from flipnb.hub import bundles, feed_api, run_life, runs
from flipnb.hub.store.tables import AllowanceRow, BundleRow, PartRow, RunRow


@dataclass
class Asked:
    """What a database was asked while somebody listened, with how it finds that."""

    statements: list[str] = field(default_factory=list)
    scans: list[str] = field(default_factory=list)


@contextmanager
def listening(scene: Scene) -> Iterator[Asked]:
    asked = Asked()

    def note(connection, cursor, statement, parameters, context, executemany):  # type: ignore[no-untyped-def]
        if not statement.startswith("SELECT"):
            return
        asked.statements.append(statement)
        plan = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        asked.scans += [row[3] for row in plan if row[3] in ("SCAN runs", "SCAN parts", "SCAN tasks", "SCAN events")]

    event.listen(scene.database.engine, "before_cursor_execute", note)
    yield asked
    event.remove(scene.database.engine, "before_cursor_execute", note)


def fill(scene: Scene, number: int, state: str, part: str, first: int = 0) -> None:
    """``number`` runs over four Trusts, each of a bundle of its own."""
    trusts = tuple(KEYS[:4])
    with scene.session() as session:
        for n in range(first, first + number):
            bundle = STUDY.bundle(trusts=trusts, minimum_trusts=4, title=f"Run {n}")
            sealed = STUDY.bundle_envelope(bundle)
            session.add(
                BundleRow(digest=bundle.digest(), content="", study="heart", envelope=sealed, signer="", created=0.0)
            )
            session.add(AllowanceRow(bundle=bundle.digest(), trust=trusts[n % 4], executions_left=n))
            row = RunRow(
                id=f"{n:032x}", study="heart", bundle=bundle.digest(), request=b"", researcher=STUDY.researcher.key_id,
                title=f"Run {n}", point="{}", choices="{}", rounds=2, state=state, submitted=float(n), rounds_done=0,
                last_event=n, starting=time.time() if state == "running" else None,
            )  # fmt: skip
            session.add(row)
            for trust in trusts:
                session.add(
                    PartRow(
                        run=row.id, trust=trust, name=trust[:4], state=part, member=state == "running", last_report=0
                    )
                )


@pytest.fixture
def scene() -> Iterator[Scene]:
    """Four Trusts with a slot each."""
    made = Scene([1] * 4)
    yield made
    made.database.close()


@pytest.mark.parametrize(("state", "part"), [("running", "running"), ("waiting", "waiting"), ("queued", "approved")])
def test_the_clock_parses_no_bundle_twice_however_many_go_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, state: str, part: str
) -> None:
    """Above 64 bundles each tick parsed all of them anew: 1 s of every 1.5 s with 1,000 runs that wait."""
    fill(scene, 150, state, part)
    with scene.session() as session:
        run_life.tick(session, CONFIGURATION)
    parsed: list[str] = []
    monkeypatch.setattr(bundles, "_parsed", lambda digest, sealed: parsed.append(digest))
    with listening(scene) as asked, scene.session() as session:
        run_life.tick(session, CONFIGURATION)
    assert parsed == []
    assert len(asked.statements) == 1


def test_the_line_reads_so_many_runs_as_can_be_asked(scene: Scene) -> None:
    fill(scene, 150, "queued", "approved")
    scene.look()
    with listening(scene) as few:
        scene.look()
    fill(scene, 150, "queued", "approved", first=150)
    with listening(scene) as many:
        scene.look()
    assert len(few.statements) == len(many.statements) < 10


def test_a_page_of_runs_takes_as_many_questions_as_one_run(scene: Scene) -> None:
    """Two for each run: 36 s for a list of 10,000 on a busy machine."""
    fill(scene, 60, "succeeded", "finished")
    with scene.session() as session:
        rows = session.scalars(select(RunRow).order_by(RunRow.id)).all()
        with listening(scene) as one:
            single = [runs.view(session, row) for row in rows[:1]]
        with listening(scene) as all_of_them:
            views = runs.views(session, rows, lambda trust: None)
        single += [runs.view(session, row) for row in rows[1:]]
    assert list(views) == single
    assert [part.executions_left for part in views[6].trusts].count(6) == 1
    assert len(all_of_them.statements) == len(one.statements) == 2


def test_nothing_that_is_done_again_and_again_reads_a_whole_table(scene: Scene) -> None:
    fill(scene, 30, "succeeded", "finished")
    fill(scene, 5, "queued", "approved", first=30)
    fill(scene, 5, "running", "running", first=35)
    with listening(scene) as asked:
        with scene.session() as session:
            position, recent = feed_api.stand(session, ["heart"])
            run_life.tick(session, CONFIGURATION)
        scene.look()
    assert position == sum(range(40))
    assert sorted(recent.values()) == list(range(40))
    assert asked.scans == []
