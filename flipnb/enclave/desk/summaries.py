"""Requests in a line each, as the desk lists them: with what is left of their approvals and the runs that wait."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from flipnb.contracts.desk import RequestState, RequestSummary
from flipnb.contracts.run import FINAL_TRUST_STATES
from flipnb.enclave.approvals.approvals import Approvals, Terms
from flipnb.enclave.approvals.requests import Requests
from flipnb.enclave.stores.store import Store
from flipnb.enclave.stores.stored import ListedRequest, RunOfBundle, StoredApproval

_UNDECIDED = ("waiting", "approved")


class Summaries:
    """One enclave's. Lists are made in few questions, and read no bundle twice, however many requests there are."""

    def __init__(self, store: Store, requests: Requests) -> None:
        self._store, self._requests = store, requests

    def of(self, stored: ListedRequest, terms: Terms) -> RequestSummary:
        """One request under the terms of today."""
        runs = [RunOfBundle(run.run, run.state) for run in self._store.runs.of(stored.bundle)]
        return self._summary(stored, terms, self._store.approvals.of(stored.bundle), runs)

    def all(self, terms: Terms, *, decided: bool) -> tuple[RequestSummary, ...]:
        """Those that wait or are approved, the last received first; with ``decided`` every one."""
        approvals, runs = self._store.approvals.by_bundle(), self._store.runs.by_bundle()
        found = (
            self._summary(stored, terms, approvals.get(stored.bundle, ()), runs.get(stored.bundle, ()))
            for stored in self._store.requests.all()
            if decided or stored.state in _UNDECIDED
        )
        return tuple(summary for summary in found if decided or summary.state in _UNDECIDED)

    def waiting(self) -> int:
        """How many nobody has decided on, of those that have neither expired nor only runs that are over."""
        runs = self._store.runs.by_bundle()
        return sum(
            self._state(stored, runs.get(stored.bundle, ())) == "waiting"
            for stored in self._store.requests.all()
            if stored.state == "waiting"
        )

    def _state(self, stored: ListedRequest, runs: Sequence[RunOfBundle]) -> RequestState:
        if stored.state in _UNDECIDED and self._requests.expires(stored.bundle) <= datetime.now(UTC):
            return "expired"
        over = bool(runs) and all(run.state in FINAL_TRUST_STATES for run in runs)
        return "over" if stored.state == "waiting" and over else stored.state

    def _summary(
        self, stored: ListedRequest, terms: Terms, given: Sequence[StoredApproval], runs: Sequence[RunOfBundle]
    ) -> RequestSummary:
        approvals = Approvals(given, terms)
        return RequestSummary(
            bundle=stored.bundle,
            study=stored.study,
            title=stored.title,
            researcher=stored.researcher,
            researcher_key=stored.researcher_key,
            state=self._state(stored, runs),
            received=stored.received,
            code=stored.code,
            reason=stored.reason,
            runs=tuple(run.run for run in runs),
            runs_waiting=sum(run.state == "waiting" for run in runs),
            executions_left=approvals.executions_left,
            approvals=approvals.given,
            approvals_demanded=terms.demanded,
        )
