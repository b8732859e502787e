"""The cohort builder as an ipywidget: a trait holds what the Python object holds, numbered messages ask questions.

Python owns the definition and its revision. Counts travel in messages only, so that no saved notebook holds one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import anywidget
import traitlets
from pydantic import ValidationError

from flipnb.contracts.document import Document, invalid
from flipnb.contracts.problem import FlipError
from flipnb.twin import Preview
from flipnb.workbench import vocabulary
from flipnb.workbench.cohort import Cohort
from flipnb.workbench.cohort_questions import CohortCheck, Question, ask_trusts, check_cohort
from flipnb.workbench.home import Home
from flipnb.workbench.studies import kept_studies
from flipnb.workbench.twin_count import twin_count
from flipnb.workbench.widgets import STATIC


class _Checked(Document):
    """``taken`` is the revision that the Python object now has; None where it did not take the definition."""

    check: CohortCheck
    taken: int | None


class CohortWidget(anywidget.AnyWidget):
    """``held``: the definition, its revision and where it was changed; ``studies``: whose Trusts can be asked."""

    _esm = STATIC / "cohort.js"
    _css = STATIC / "cohort.css"

    held = traitlets.Dict().tag(sync=True)
    studies = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(self, cohort: Cohort) -> None:
        self._cohort = cohort
        super().__init__(held=self._state(), studies=kept_studies(Home.find()))
        cohort.follow(self._follow)
        self.on_msg(self._asked)

    def _state(self) -> dict[str, Any]:
        return {
            "definition": self._cohort.expression,
            "revision": self._cohort.revision,
            "changed_in": self._cohort.changed_in,
        }

    def _follow(self) -> None:
        self.held = self._state()

    def _asked(self, _: Any, content: Mapping[str, Any], __: Any) -> None:
        """What needs the hub or the disk is answered from a thread, so that the kernel goes on; changes keep order."""
        act, body = content.get("act"), content.get("body") or {}
        if act == "check":
            self._answer(content, lambda: self._check(body))
        elif act in _QUESTIONS:
            question = _QUESTIONS[act]
            answer = (content, lambda: question(body))
            threading.Thread(target=self._answer, args=answer, name=f"flip-{act}", daemon=True).start()

    def _answer(self, content: Mapping[str, Any], answer: Callable[[], Document]) -> None:
        call = content.get("call")
        try:
            self.send({"call": call, "answer": answer().model_dump(mode="json")})
        except FlipError as error:
            said = {"message": error.message, "reason": error.code, "remedy": error.remedy}
            self.send({"call": call, "problem": said})
        except Exception as error:
            said = {
                "message": f"The kernel failed: {type(error).__name__}.",
                "reason": "failed",
                "remedy": "",
            }
            self.send({"call": call, "problem": said})
            raise

    def _check(self, body: Mapping[str, Any]) -> _Checked:
        """Check a screen's definition; with a ``base`` it is a change, taken where it is valid and the base is."""
        question, base, study = _question(body), body.get("base"), body.get("study")
        expression = question.expression
        check = check_cohort(Home.find(), study, question, lambda: _on_twin(expression))
        taken = self._cohort.take(expression, base) if base is not None and check.problem is None else None
        return _Checked(check=check, taken=taken)


def _on_twin(expression: Mapping[str, Any]) -> Preview | None:
    with suppress(FlipError):
        return twin_count(expression)
    return None


def _question(body: Mapping[str, Any]) -> Question:
    try:
        return Question.model_validate(body.get("question"))
    except ValidationError as error:
        raise invalid(error, "The question") from None


def _ask(body: Mapping[str, Any]) -> Document:
    return ask_trusts(Home.find(), str(body.get("study")), _question(body))


def _find(body: Mapping[str, Any]) -> Document:
    return vocabulary.find_concepts(Home.find(), str(body.get("text")))


_QUESTIONS: dict[Any, Callable[[Mapping[str, Any]], Document]] = {"ask": _ask, "concepts": _find}
