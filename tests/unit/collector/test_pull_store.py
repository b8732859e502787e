"""What became of each study: only what may follow, and the same after any interruption."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flipnb.contracts.problem import FlipError
from flipnb.enclave.collector.pacs.answers import SeriesAnswer, StudyAnswer
from flipnb.enclave.collector.quarantine import Quarantine
from flipnb.enclave.collector.states import AGAIN, NEXT, PullState, State
from flipnb.enclave.collector.store import PullStore, Wanted


@pytest.fixture
def store(tmp_path):
    opened = PullStore(tmp_path / "pulls.sqlite")
    yield opened
    opened.close()


def found(*instances: int, uid: str = "1.2.3") -> tuple[StudyAnswer, list[SeriesAnswer]]:
    series = [SeriesAnswer(uid, f"{uid}.{n}", "CT", "", many) for n, many in enumerate(instances, 1)]
    return StudyAnswer(uid, "P", "A", None, sum(instances)), series


def test_the_states_of_a_study(store):
    number = store.begin("c", "p", "me", [Wanted("1.2.3", patients=("P",)), Wanted(accession="A1")])
    one, two = store.studies(number)
    assert (one.state, one.patients, two.accession) == (State.WANTED, ("P",), "A1")
    store.found(one.study, *found(2, 3))
    store.begin_retrieving([one.study])
    store.series_received(one.study, 1, 2, 20)
    assert [series.whole for series in store.series(one.study)] == [True, False]
    store.series_received(one.study, 2, 1, 10)
    told = store.study(one.study)
    assert (told.received, told.expected, told.bytes, told.attempts) == (3, 5, 30, 1)
    with pytest.raises(FlipError, match="is retrieving; it can't be found"):
        store.move(one.study, State.FOUND)
    store.recover()
    # The archive has one instance more of the first series, the second is gone, and there is a third.
    answer, series = found(3, 3, 1)
    store.found(one.study, answer, [series[0], series[2]])
    assert [(s.number, s.expected, s.received, bool(s.whole)) for s in store.series(one.study)] == [
        (1, 3, 2, False),
        (3, 1, 0, False),
    ]


def test_a_new_pull_begins_what_came_to_nothing_anew_and_nothing_else(store):
    first = store.begin("c", "p", "me", [Wanted(f"1.{n}") for n in range(4)])
    whole, empty, _, failed = store.studies(first)
    for study in (whole, failed):
        store.found(study.study, *found(1))
        store.begin_retrieving([study.study])
    store.move(whole.study, State.RETRIEVED)
    store.move(empty.study, State.NOT_FOUND, "none")
    store.move(failed.study, State.FAILED, "why")
    second = store.begin("d", "p", "me", [Wanted("1.0"), Wanted("1.1"), Wanted("1.3")])
    assert [(s.study, s.state, s.reason, s.attempts) for s in store.studies(second)] == [
        (whole.study, State.RETRIEVED, "", 1),
        (empty.study, State.WANTED, "", 0),
        (failed.study, State.WANTED, "", 0),
    ]
    assert store.progress(first).wanted == 4 and store.progress(second).of(State.RETRIEVED) == 1
    other = store.begin("d", "another", "me", [Wanted("1.0")])
    assert store.progress(other).studies == {State.WANTED: 1}


def test_pulls_are_listed_and_stopped(store):
    number = store.begin("c", "p", "me", [Wanted("1.1")])
    assert [one.state for one in store.pulls()] == [PullState.READY] and not store.is_to_stop(number)
    store.ask_to_stop(number)
    assert store.is_to_stop(number) and store.is_to_stop(404)
    for ask in (store.pull, store.study):
        with pytest.raises(FlipError, match="There is no"):
            ask(404)


def test_every_state_can_be_left_for_its_next_alone():
    assert set(NEXT) == set(State)
    assert all(NEXT[state] == {State.WANTED} for state in AGAIN)
    assert not NEXT[State.DEIDENTIFIED]


@given(steps=st.lists(st.tuples(st.sampled_from(State), st.booleans()), max_size=30))
def test_no_way_leads_past_the_counts(tmp_path_factory, steps):
    """Whatever is tried, a study is retrieved only after it was retrieving, and the store can be opened again."""
    path = tmp_path_factory.mktemp("store") / "pulls.sqlite"
    store = PullStore(path)
    number = store.begin("c", "p", "me", [Wanted("1.2")])
    (study,) = store.studies(number)
    before = State.WANTED
    for state, reopen in steps:
        if reopen:
            store.close()
            store = PullStore(path)
        try:
            store.move(study.study, state)
        except FlipError as refused:
            assert refused.code == "wrong-state" and state not in NEXT[before]
            continue
        assert state in NEXT[before] and (state != State.RETRIEVED or before == State.RETRIEVING)
        before = state
    assert store.study(study.study).state == before
    store.close()


def test_no_name_of_an_archive_is_a_path(tmp_path):
    quarantine = Quarantine(tmp_path)
    assert quarantine.series(12, 3) == tmp_path / "studies" / "000012" / "0003"
