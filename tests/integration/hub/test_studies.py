"""Studies, bundles, run requests and counts: what the hub relays, and what it can see is wrong."""

import json
import os
import sqlite3
import threading
from datetime import UTC, datetime, timedelta

import pytest
from federation import COHORT
from sqlalchemy import inspect, select

from flipnb.contracts import envelope
from flipnb.contracts.count import CountRequest, SignedCount
from flipnb.contracts.document import canonical_bytes
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.study import SessionCertificate
from flipnb.contracts.trust_card import Allowance, TrustCard
from flipnb.hub.store.database import Database
from flipnb.hub.store.tables import BundleRow, MemberRow, StudyRow, Table


def signed_count(study, *, certifier=None, valid=timedelta(minutes=5)):
    """A SignedCount (JSON) under a new session key."""
    now = datetime.now(UTC)
    session = SigningKey.generate()
    certificate = SessionCertificate(
        study=study.name, session_key=session.public_key, not_before=now, expires=now + timedelta(hours=1)
    )
    request = CountRequest(
        study=study.name,
        membership=study.roster.digest(),
        cohort=COHORT,
        nonce=os.urandom(16).hex(),
        requested=now,
        expires=now + valid,
    )
    signed = SignedCount(
        certificate=envelope.seal(certificate, envelope.SESSION, certifier or study.researcher_key).decode(),
        request=envelope.seal(request, envelope.COUNT_REQUEST, session).decode(),
    )
    return signed.model_dump_json().encode()


def hours_ago(hours):
    return datetime.now(UTC) - timedelta(hours=hours)


def refusal(response):
    return response.status_code, response.json()["code"]


def test_a_roster_is_kept_once_and_never_replaced(hub):
    study = hub.first
    assert study.researcher.post("/v1/studies", study.sealed_roster, 200)["roster"] == study.roster.digest()
    other = study.roster.model_copy(update={"purpose": "Another purpose"})
    sealed = envelope.seal(other, envelope.ROSTER, study.researcher_key)
    assert refusal(study.researcher.call("POST", "/v1/studies", sealed)) == (409, "study-exists")
    kept = study.trusts[0].call("GET", "/v1/studies/first/roster").content
    opened = envelope.unseal(kept, envelope.ROSTER, study.roster.researcher_keys(), "The roster")
    assert opened.digest == study.roster.digest()


def test_a_roster_signed_by_somebody_else_is_refused(hub):
    study = hub.first
    roster = study.roster.model_copy(update={"study": "invented"})
    sealed = envelope.seal(roster, envelope.ROSTER, hub.foreign.researcher_key)
    assert refusal(study.researcher.call("POST", "/v1/studies", sealed)) == (403, "unknown-key")
    assert "invented" not in [found["study"] for found in study.researcher.get("/v1/studies")]


def test_the_studies_list_says_who_joined(hub):
    (found,) = (study for study in hub.first.trusts[0].get("/v1/studies") if study["study"] == "first")
    assert found["joined"] == sorted(trust.key.key_id for trust in hub.first.trusts)
    assert found["purpose"] == "To test a hub"


def test_a_join_of_another_roster_is_refused(hub):
    body = json.dumps({"study": "first", "roster": "0" * 64}).encode()
    response = hub.first.trusts[0].call("POST", "/v1/studies/first/joins", body)
    assert refusal(response) == (409, "wrong-membership")


def test_a_bundle_is_relayed_as_it_came(hub):
    study = hub.first
    bundle = study.bundle(title="Relayed")
    sealed = study.seal(bundle)
    digest = study.researcher.post("/v1/studies/first/bundles", sealed, 201)["bundle"]
    assert digest == bundle.digest()
    assert study.trusts[0].call("GET", f"/v1/bundles/{digest}").content == sealed


def test_a_bundle_with_boundless_bounds_is_refused_by_name(hub):
    study = hub.first
    content = json.loads(study.bundle().to_bytes())
    content["outputs"][0] |= {"minimum": -1e308, "maximum": 1e308}
    sealed = study.seal(canonical_bytes(content))
    response = study.researcher.call("POST", "/v1/studies/first/bundles", sealed)
    assert refusal(response) == (400, "invalid-document")
    assert "has bounds too wide for its decimals" in response.json()["message"]


def test_a_bundle_that_a_stranger_signed_or_somebody_changed_is_refused(hub):
    study = hub.first
    stranger = study.seal(study.bundle(), key=SigningKey.generate())
    assert refusal(study.researcher.call("POST", "/v1/studies/first/bundles", stranger)) == (403, "unknown-key")
    sealed = json.loads(study.seal(study.bundle()))
    other = json.loads(study.seal(study.bundle(title="Another title")))
    sealed["payload"] = other["payload"]
    changed = json.dumps(sealed).encode()
    assert refusal(study.researcher.call("POST", "/v1/studies/first/bundles", changed)) == (403, "bad-signature")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"study": "another"}, "wrong-study"),
        ({"membership": "0" * 64}, "wrong-membership"),
        ({"trusts": ("0" * 64, "1" * 64)}, "unknown-trust"),
    ],
)
def test_a_bundle_of_another_study_or_membership_is_refused(hub, changes, expected):
    sealed = hub.first.seal(hub.first.bundle(**changes))
    assert refusal(hub.first.researcher.call("POST", "/v1/studies/first/bundles", sealed)) == (422, expected)


@pytest.mark.parametrize(
    ("changes", "point", "expected"),
    [
        ({}, {"lr": 2.0}, (400, "out-of-bounds")),
        ({}, {"momentum": 0.9}, (400, "unknown-parameter")),
        ({"initial_weights": "0" * 64}, {}, (409, "missing-blob")),
        ({"not_before": hours_ago(2), "expires": hours_ago(1)}, {}, (409, "expired")),
        ({"not_before": hours_ago(-1), "expires": hours_ago(-2)}, {}, (409, "not-yet-valid")),
    ],
)
def test_a_run_that_can_not_be_is_refused_and_nobody_is_asked(hub, changes, point, expected):
    study = hub.first
    before = study.trusts[0].tasks(wait=0)
    bundle = study.bundle(title="Refused", **changes)
    study.researcher.post("/v1/studies/first/bundles", study.seal(bundle))
    sealed, run = study.request(bundle, **point)
    assert refusal(study.researcher.call("POST", "/v1/studies/first/runs", sealed)) == expected
    assert study.researcher.call("GET", f"/v1/runs/{run}").status_code == 404
    assert study.trusts[0].tasks(wait=0) == before


def test_a_run_of_an_unknown_bundle_is_refused(hub):
    sealed, _ = hub.first.request(hub.first.bundle(title="Never posted"))
    assert refusal(hub.first.researcher.call("POST", "/v1/studies/first/runs", sealed)) == (409, "unknown-bundle")


def test_a_bundle_that_expires_while_it_waits_fails_its_run(hasty_hub):
    study = hasty_hub.three
    run = study.submit(expires=datetime.now(UTC) + timedelta(seconds=3))
    view = study.researcher.wait_for(run, "failed")
    assert view["code"] == "expired"
    assert "Trust 0: " in view["reason"]


def test_counts_come_back_sealed_from_all_who_joined(hub):
    study = hub.first
    body = signed_count(study)
    count = study.researcher.post("/v1/studies/first/counts", body, 201)["count"]
    assert study.researcher.post("/v1/studies/first/counts", body, 200)["count"] == count
    heard = []
    poll = threading.Thread(target=lambda: heard.append(study.researcher.get(f"/v1/counts/{count}?wait=20")))
    poll.start()
    for trust in study.trusts:
        (task,) = [task for task in trust.tasks() if task["kind"] == "count" and task["count"] == json.loads(body)]
        trust.answer(task, envelope=f"sealed by {trust.key.key_id}")
        trust.answer(task, envelope="a repeat changes nothing")
    poll.join(5)
    (status,) = heard
    assert status["asked"] == sorted(trust.key.key_id for trust in study.trusts)
    assert status["replies"] == {trust.key.key_id: f"sealed by {trust.key.key_id}" for trust in study.trusts}


def test_a_count_returns_at_its_wait_with_what_is_there(hub):
    study = hub.first
    count = study.researcher.post("/v1/studies/first/counts", signed_count(study), 201)["count"]
    status = study.researcher.get(f"/v1/counts/{count}?wait=0.2")
    assert len(status["asked"]) == 2
    assert status["replies"] == {}


def test_a_count_certified_by_a_stranger_or_over_is_refused(hub):
    study = hub.first
    stranger = signed_count(study, certifier=hub.foreign.researcher_key)
    assert refusal(study.researcher.call("POST", "/v1/studies/first/counts", stranger)) == (403, "unknown-key")
    over = signed_count(study, valid=timedelta(seconds=-1))
    assert refusal(study.researcher.call("POST", "/v1/studies/first/counts", over)) == (409, "expired")


def test_a_count_that_nobody_could_answer_is_refused(hasty_hub):
    lonely = hasty_hub.lonely.clients()
    lonely.researcher.post("/v1/studies", lonely.sealed_roster, 201)
    response = lonely.researcher.call("POST", "/v1/studies/lonely/counts", signed_count(lonely))
    assert refusal(response) == (409, "nobody-joined")


def test_the_migrations_make_the_tables_of_the_code(tmp_path):
    database = Database(tmp_path / "hub.sqlite")
    found = inspect(database.engine)
    tables = {table.name: table for table in Table.metadata.sorted_tables}
    assert set(found.get_table_names()) == {*tables, "alembic_version"}
    for name, table in tables.items():
        columns = {column["name"]: column["nullable"] for column in found.get_columns(name)}
        assert columns == {column.name: column.nullable for column in table.columns}
        indexes = {tuple(index["column_names"]) for index in found.get_indexes(name) if not index["unique"]}
        assert indexes == {tuple(index.columns.keys()) for index in table.indexes}
        assert found.get_pk_constraint(name)["constrained_columns"] == table.primary_key.columns.keys()
    database.close()


def test_studies_of_before_keep_their_members(hub, tmp_path):
    """A database as it was before members had a table of their own."""
    study, file = hub.first, tmp_path / "hub.sqlite"
    Database(file).close()
    with sqlite3.connect(file) as db:
        for index in ("ix_parts_going", "ix_runs_list", "ix_runs_feed", "ix_bundles_content"):
            db.execute(f"DROP INDEX {index}")
        db.execute("DROP TABLE members")
        db.execute("ALTER TABLE studies DROP COLUMN purpose")
        db.execute("ALTER TABLE runs DROP COLUMN notebook")
        db.execute("ALTER TABLE runs DROP COLUMN telling")
        db.execute("DROP TABLE allowances")
        db.execute("ALTER TABLE runs DROP COLUMN choices")
        db.execute("ALTER TABLE bundles DROP COLUMN content")
        db.execute("UPDATE alembic_version SET version_num='0002'")
        db.execute("INSERT INTO studies VALUES (?, ?, ?, 1.0)", ("first", study.roster.digest(), study.sealed_roster))
        bundle = study.bundle(title="Of before")
        sealed = (bundle.digest(), "first", study.seal(bundle), study.researcher_key.key_id)
        db.execute("INSERT INTO bundles VALUES (?, ?, ?, ?, 1.0)", sealed)
    db.close()
    database = Database(file)
    with database.transaction() as session:
        assert session.get_one(BundleRow, bundle.digest()).content == bundle.content_digest
        members = {(row.key_id, row.role) for row in session.scalars(select(MemberRow))}
        assert session.get_one(StudyRow, "first").purpose == study.roster.purpose
    database.close()
    trusts = {(key.key_id, "trust") for key in study.trust_keys}
    assert members == {(study.researcher_key.key_id, "researcher")} | trusts


def test_a_trust_says_what_it_has_and_allows_in_its_own_name_alone(hub):
    study = hub.first
    trust, other = study.trusts[0], study.trusts[1]
    card = TrustCard(
        trust=trust.key.key_id,
        made=datetime.now(UTC),
        data=None,
        gpus=2,
        slots=1,
        environments=(),
        allowance=Allowance(
            per_trust_metrics=False,
            individual_updates=False,
            minimum_trusts=2,
            minimum_train=10,
            maximum_clip_norm=10.0,
            maximum_rounds=100,
            bits_per_run=1000,
        ),
    )
    sealed = envelope.seal(card, envelope.CARD, trust.key)
    position = study.researcher.get("/v1/feed")
    trust.call("PUT", "/v1/card", sealed).raise_for_status()
    assert study.researcher.get("/v1/feed")["pulse"] != position["pulse"]
    assert other.call("PUT", "/v1/card", sealed).status_code == 403
    stolen = envelope.seal(card, envelope.CARD, other.key)
    assert other.call("PUT", "/v1/card", stolen).json()["code"] == "wrong-trust"
    presences = {item["trust"]: item for item in study.researcher.get(f"/v1/studies/{study.name}/trusts")["trusts"]}
    assert presences[trust.key.key_id]["online"]
    assert presences[trust.key.key_id]["card"] == sealed.decode()
    assert presences[other.key.key_id]["card"] is None
