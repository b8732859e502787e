"""Signed documents: one canonical form, visible characters only, nothing changed after signing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flipnb.contracts import envelope
from flipnb.contracts.document import canonical_bytes, load_json, parse
from flipnb.contracts.keys import SigningKey, fingerprint, key_id
from flipnb.contracts.problem import FlipError
from flipnb.contracts.study import Researcher, Roster, Trust
from flipnb.contracts.text import require_visible

RESEARCHER, TRUST, STRANGER = SigningKey.generate(), SigningKey.generate(), SigningKey.generate()


def roster() -> Roster:
    return Roster(
        study="heart",
        purpose="Heart disease",
        researchers=(Researcher(name="R", public_key=RESEARCHER.public_key),),
        trusts=(Trust(name="a", title="A", public_key=TRUST.public_key),),
    )


def code(call, *arguments):
    with pytest.raises(FlipError) as caught:
        call(*arguments)
    return caught.value.code


def test_a_sealed_document_opens_with_the_key_that_signed_it():
    data = envelope.seal(roster(), envelope.ROSTER, RESEARCHER)
    opened = envelope.unseal(data, envelope.ROSTER, roster().researcher_keys(), "The roster")
    assert opened.parse(Roster, "The roster") == roster()
    assert opened.signer == RESEARCHER.key_id
    assert opened.digest == roster().digest()


def test_an_unknown_key_a_changed_payload_and_another_type_are_refused():
    trusted = roster().researcher_keys()
    stranger = envelope.seal(roster(), envelope.ROSTER, STRANGER)
    assert code(envelope.unseal, stranger, envelope.ROSTER, trusted, "It") == "unknown-key"
    good = envelope.seal(roster(), envelope.ROSTER, RESEARCHER)
    assert code(envelope.unseal, good, envelope.BUNDLE, trusted, "It") == "wrong-type"
    changed = json.loads(good)
    changed["payload"] = json.loads(stranger.replace(b"heart", b"heart"))["payload"][:-4] + "AAAA"
    assert code(envelope.unseal, json.dumps(changed).encode(), envelope.ROSTER, trusted, "It") == "bad-signature"
    forged = json.loads(stranger)
    forged["signatures"][0]["keyid"] = RESEARCHER.key_id
    assert code(envelope.unseal, json.dumps(forged).encode(), envelope.ROSTER, trusted, "It") == "bad-signature"
    twice = json.loads(good)
    twice["signatures"].append(json.loads(stranger)["signatures"][0])
    assert code(envelope.unseal, json.dumps(twice).encode(), envelope.ROSTER, trusted, "It") == "bad-envelope"


@given(st.binary(max_size=300))
def test_arbitrary_bytes_never_do_more_than_raise_a_named_error(data):
    with pytest.raises(FlipError):
        envelope.unseal(data, envelope.ROSTER, {}, "It")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-(2.0**53) + 1, 2.0**53 - 1)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=15,
)  # fmt: skip


@given(JSON)
def test_canonical_bytes_are_a_fixed_point(value):
    try:
        data = canonical_bytes(value)
    except FlipError as error:
        assert error.code == "not-json"  # lone surrogates
        return
    assert canonical_bytes(load_json(data, "It")) == data


def test_duplicate_keys_other_spellings_and_unknown_fields_are_refused_by_name():
    good = roster().to_bytes()
    assert parse(Roster, good, "The roster") == roster()
    assert code(parse, Roster, good.replace(b'"purpose":', b'"study":"x","purpose":', 1), "It") == "duplicate-key"
    assert code(parse, Roster, good.replace(b'":', b'": '), "It") == "not-canonical"
    more = canonical_bytes({**json.loads(good), "zzz": 1})
    with pytest.raises(FlipError, match="zzz"):
        parse(Roster, more, "It")
    assert code(parse, Roster, b"[" * 100_000, "It") == "not-json"
    assert code(parse, Roster, b'{"a":NaN}', "It") == "not-json"


def test_marks_that_would_be_drawn_over_other_lines_are_refused():
    for marks in ("\u0301" * 9, "\u0489\u0301\u20dd" * 100):
        with pytest.raises(FlipError) as caught:
            require_visible(f"e{marks}", "The title")
        assert caught.value.code == "invisible-character"
    require_visible("Vi\u1ec7t e\u0302\u0323\u0301 \u0e01\u0e4d\u0e49 " * 100, "The title")


@pytest.mark.parametrize(
    "hidden", ["\u202e", "\u200b", "\x1b[2K", "\u2066", "\ufeff", "\u3164", "\U000e0041", "\ufe0f"]
)
def test_what_cannot_be_seen_is_refused_with_its_place(hidden):
    data = canonical_bytes({**json.loads(roster().to_bytes()), "purpose": f"Heart {hidden}disease"})
    with pytest.raises(FlipError, match=r"purpose.*U\+") as caught:
        parse(Roster, data, "The roster")
    assert caught.value.code == "invisible-character"


def test_a_fingerprint_is_the_beginning_of_the_key_id():
    assert fingerprint(TRUST.public_key).replace("-", "").lower() == key_id(TRUST.public_key)[:20]
    assert fingerprint(TRUST.key_id) == fingerprint(TRUST.public_key)
