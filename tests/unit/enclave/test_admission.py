"""What a Trust's agent refuses before its controller ever sees it, and by which name."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from enclave_scenario import Study

from flipnb.contracts.attached import AttachedFile
from flipnb.contracts.bundle import Environment
from flipnb.contracts.document import canonical_bytes
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.plan import Plan
from flipnb.contracts.policy import Policy
from flipnb.contracts.problem import FlipError
from flipnb.contracts.strategy import Strategy
from flipnb.contracts.study import Roster, Trust
from flipnb.enclave.approvals.admission import admit, verify_bundle, verify_request


@pytest.fixture
def study() -> Study:
    return Study()


SINGLE = Plan(rounds=2, clip_norm=10, aggregation="individual", strategy=Strategy(name="FedMedian"))


def put(study: Study, bundle: Any, *, policy: Policy | None = None, **request: Any) -> dict[str, Any]:
    """The whole way of a run task: request, bundle, admission."""
    payload = bundle if isinstance(bundle, bytes) else bundle.to_bytes()
    from enclave_scenario import sha

    asked = study.request(sha(payload), **request)
    verified = verify_request(asked.envelope, study.roster, run=asked.run)
    opened = verify_bundle(study.bundle_envelope(payload), study.roster, verified)
    return admit(
        opened,
        verified.request,
        study.roster,
        own_key=study.node.key_id,
        policy=policy or Policy(),
        environments=study.environments,
    )


def refused(call: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(FlipError) as caught:
        call(*arguments, **named)
    return caught.value.code


def test_a_good_request_gives_the_full_point(study: Study) -> None:
    assert put(study, study.bundle(), lr=0.25) == {"lr": 0.25}


def test_a_changed_bundle_is_refused(study: Study) -> None:
    bundle = study.bundle()
    asked = study.request(bundle.digest())
    verified = verify_request(asked.envelope, study.roster, run=asked.run)
    envelope = json.loads(study.bundle_envelope(bundle))
    payload = base64.b64decode(envelope["payload"]).replace(b"print(lr)", b"print(42)")
    envelope["payload"] = base64.b64encode(payload).decode()
    changed = json.dumps(envelope).encode()
    assert refused(verify_bundle, changed, study.roster, verified) == "bad-signature"
    other = study.bundle_envelope(study.bundle(title="Another"))
    assert refused(verify_bundle, other, study.roster, verified) == "wrong-bundle"


def test_an_unknown_researcher_is_refused(study: Study) -> None:
    stranger = SigningKey.generate()
    bundle = study.bundle()
    asked = study.request(bundle.digest(), key=stranger)
    assert refused(verify_request, asked.envelope, study.roster, run=asked.run) == "unknown-key"
    asked = study.request(bundle.digest())
    verified = verify_request(asked.envelope, study.roster, run=asked.run)
    envelope = study.bundle_envelope(bundle, stranger)
    assert refused(verify_bundle, envelope, study.roster, verified) == "unknown-key"


def test_one_researchers_request_for_anothers_bundle_is_refused(study: Study) -> None:
    second = SigningKey.generate()
    roster = study.roster
    both = Roster(
        study=roster.study,
        purpose=roster.purpose,
        researchers=(*roster.researchers, roster.researchers[0].model_copy(update={"public_key": second.public_key})),
        trusts=roster.trusts,
    )
    bundle = study.bundle()
    asked = study.request(bundle.digest(), key=second)
    verified = verify_request(asked.envelope, both, run=asked.run)
    assert refused(verify_bundle, study.bundle_envelope(bundle), both, verified) == "other-signer"


def test_an_invented_run_id_is_refused(study: Study) -> None:
    asked = study.request(study.bundle().digest())
    assert refused(verify_request, asked.envelope, study.roster, run="f" * 32) == "wrong-run"


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda raw: raw.replace(b"print(lr)", "print(lr)\u202e".encode()), "invisible-character"),
        (lambda raw: raw.replace(b"print(lr)", "print(l\u200br)".encode()), "invisible-character"),
        (lambda raw: raw.replace(b'{"cohort"', b'{"study":"heart","cohort"'), "duplicate-key"),
        (lambda raw: raw.replace(b'"title":', b'"title": '), "not-canonical"),
        (lambda raw: raw.replace(b'"clip_norm":10', b'"clip_norm":NaN'), "not-json"),
        (lambda raw: canonical_bytes({**json.loads(raw), "approved": True}), "invalid-document"),
        (lambda raw: raw[:-1], "not-json"),
    ],
)
def test_bytes_that_do_not_say_what_is_seen_are_refused(study: Study, spoil: Any, code: str) -> None:
    raw = study.bundle().to_bytes()
    spoiled = spoil(raw)
    assert spoiled != raw
    assert refused(put, study, spoiled) == code


def test_what_a_bundle_must_say(study: Study) -> None:
    now = datetime.now(UTC)
    stranger = SigningKey.generate().key_id
    own, other = study.node.key_id, study.other.key_id
    cases: list[tuple[dict[str, Any], str]] = [
        ({"membership": "0" * 64}, "wrong-membership"),
        ({"trusts": (other,), "minimum_trusts": 1}, "not-addressed"),
        ({"trusts": (own, stranger)}, "unknown-trust"),
        ({"not_before": now - timedelta(days=2), "expires": now - timedelta(days=1)}, "expired"),
        ({"not_before": now + timedelta(hours=1)}, "not-yet-valid"),
        ({"environment": Environment(name="test", lock="0" * 64)}, "unknown-environment"),
        *(
            ({"files": tuple(AttachedFile(name=name, sha256="0" * 64, size=1) for name in names)}, code)
            for names, code in (
                (("a.txt",), "wrong-kind"),
                (("a.pyc",), "wrong-kind"),
                (("a.so",), "wrong-kind"),
                (("a.zip",), "wrong-kind"),
                (("a.pkl",), "wrong-kind"),
                (("a-b.py",), "wrong-kind"),
                (("json.py",), "name-clash"),
                (("flipnb.py",), "name-clash"),
                (("numpy.py",), "name-clash"),
                (("model.py", "Model.py"), "name-clash"),
                (("__main__.py",), "name-clash"),
                (("class.py",), "name-clash"),
            )
        ),
        ({"files": (AttachedFile(name="a.py", sha256="0" * 64, size=1 << 30),)}, "file-too-large"),
        ({"files": (AttachedFile(name="a.safetensors", sha256="0" * 64, size=1 << 30),)}, "policy-refuses"),
        ({"minimum_trusts": 1}, "policy-refuses"),
        (
            {"plan": Plan(rounds=2, clip_norm=10, aggregation="individual", strategy=Strategy(name="FedMedian"))},
            "policy-refuses",
        ),
        ({"plan": Plan(rounds=2, clip_norm=5000)}, "policy-refuses"),
        ({"plan": Plan(rounds=5000, clip_norm=1, strategy=Strategy())}, "policy-refuses"),
    ]
    for changes, code in cases:
        assert refused(put, study, study.bundle(**changes)) == code, changes
    assert refused(put, study, study.bundle(), policy=Policy(bits_per_run=10)) == "policy-refuses"


def test_a_point_outside_the_space_is_refused(study: Study) -> None:
    assert refused(put, study, study.bundle(), lr=2.0) == "out-of-bounds"


def test_another_membership_of_the_same_study_is_refused(study: Study) -> None:
    """The hub can't bring a bundle that was made for a roster with one more Trust."""
    roster = study.roster
    third = Trust(name="east", title="East", public_key=SigningKey.generate().public_key)
    larger = Roster(
        study=roster.study, purpose=roster.purpose, researchers=roster.researchers, trusts=(*roster.trusts, third)
    )
    assert refused(put, study, study.bundle(membership=larger.digest())) == "wrong-membership"
