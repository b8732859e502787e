"""What environments hold is each Trust's word: one that lies names no package for other people to install."""

from datetime import UTC, datetime

from enclave_scenario import Study

from flipnb.cli.runs import _print_packages
from flipnb.contracts.policy import Policy
from flipnb.contracts.trust_card import BuiltEnvironment, TrustCard
from flipnb.enclave.agent.card import allowance
from flipnb.workbench.trust_cards import StudyTrust, said_alike

LOCK = "a" * 64
TRUE = {"numpy": "2.4.1", "torch": "2.13.0"}


def trusts(*releases, lock=LOCK):
    """Trusts of a study whose cards say so of one environment; of None there is no card."""
    study = Study()
    found = []
    for said, (name, key) in zip(releases, (("north", study.node), ("south", study.other)), strict=True):
        built = BuiltEnvironment(name="torch", lock=lock, distributions=tuple(said or ()), releases=said or {})
        card = TrustCard(
            trust=key.key_id, made=datetime.now(UTC), data=None, gpus=0, slots=1, environments=(built,),
            allowance=allowance(Policy()),
        )  # fmt: skip
        found.append(
            StudyTrust(
                key=key.key_id, name=name, title=name.title(), joined=True, online=True, heard=None,
                card=card if said is not None else None,
            )
        )  # fmt: skip
    return found


def test_a_trust_that_lies_of_a_lock_names_no_package_of_its_own():
    lie = {"numpy": "2.4.1", "torch": "6.6.6", "torch-evil": "1.0"}
    for said in ((lie, TRUE), (TRUE, lie)):
        assert said_alike(trusts(*said), LOCK) == {"numpy": "2.4.1"}


def test_earlier_cards_and_missing_ones_take_nothing_away():
    for said in ((TRUE, None), (None, TRUE), (TRUE, {}), ({}, TRUE), (TRUE, TRUE)):
        assert said_alike(trusts(*said), LOCK) == TRUE
    assert said_alike(trusts(None, {}), LOCK) == {}
    assert said_alike(trusts(TRUE, TRUE), "b" * 64) == {}


def test_the_terminal_says_whose_word_it_is(capsys):
    _print_packages(trusts(TRUE, {"torch": "6.6.6"}), "torch")
    said = capsys.readouterr().out
    assert said.index("torch at North (lock") < said.index("2.13.0") < said.index("torch at South (lock")
    assert said.index("torch at South (lock") < said.index("6.6.6")
    _print_packages(trusts(TRUE, TRUE), "torch")
    assert "torch at North, South (lock" in capsys.readouterr().out
