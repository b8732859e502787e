"""An XNAT site through xnatpy: who asks is logged in by an alias token, and answers are taken as bounded rows of text.

xnatpy's object model is left alone: it is Python that xnatpy writes from the server's schemas and then executes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import requests
import xnat
from xnat.exceptions import XNATAuthError, XNATError, XNATResponseError
from xnat.session import BaseXNATSession

from flipnb.enclave.collector.pacs.archive import Away, NotGiven
from flipnb.enclave.collector.xnat.configuration import Xnat, token_of
from flipnb.enclave.collector.xnat.line import Line, Quiet, TooMuch

_T = TypeVar("_T")
_CONNECT_S = 20.0
_LEAVE_S = 5.0
_PATIENCE = (_CONNECT_S, None)
"""Who asks is watched by another thread, which cuts the line when nothing has come for too long."""
_BLOCK = 1 << 18
_OVERLOADED = (429, 502, 503, 504)
_LOG_IN = (301, 302, 303, 307, 401)
"""What an XNAT answers to who is not logged in, or is no more; some releases send a page with status 200."""
Row = dict[str, str]


class NotThere(NotGiven):
    """The site answers 404."""


def path_of(*segments: str) -> str:
    """A path of the site; no segment can become two, or go up. Raises NotThere for one that would."""
    if set(segments) & {"", ".", ".."}:
        raise NotThere("there is nothing of this name")
    return "/" + "/".join(quote(one, safe="") for one in segments)


class Site:
    """One connection to a site, made when it is first used. For one thread; ``cut`` may be called from any."""

    def __init__(self, configured: Xnat, folder: Path) -> None:
        """Raises FlipError as ``token_of``."""
        self._root = configured.root.rstrip("/")
        self._most = configured.most_answers
        self._ca = folder / configured.ca
        self._token = token_of(configured, folder)
        self._line: Line | None = None
        self._session: Any = None
        self._was_cut = False

    def rows(self, path: str, **query: str) -> list[Row]:
        """A listing's rows, every value as text. Raises Away, NotGiven, NotThere."""
        told = self._json(path, query)
        result = told.get("ResultSet")
        rows = result.get("Result") if isinstance(result, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise NotGiven("its answer is no listing")
        if len(rows) > self._most:
            raise NotGiven(f"it answers with more than {self._most} rows")
        return [_texts(row) for row in rows]

    def fields(self, path: str) -> Row:
        """What one thing says of itself, and its type as ``xsi:type``. Raises Away, NotGiven, NotThere."""
        try:
            item = self._json(path, {})["items"][0]
            return _texts({**item["data_fields"], "xsi:type": item["meta"]["xsi:type"]})
        except (LookupError, TypeError):
            raise NotGiven("its answer is no item") from None

    def text(self, path: str) -> str:
        """Raises Away, NotGiven, NotThere."""
        return str(self._ask(lambda session: session.get(path, timeout=_PATIENCE).text))

    def put(self, path: str, content: bytes, kind: str, **query: str) -> None:
        """Raises Away, NotGiven, NotThere."""
        headers = {"Content-Type": kind}
        self._ask(lambda session: session.put(path, data=content, query=query, headers=headers, timeout=_PATIENCE))

    def content(self, path: str, form: str | None = None) -> Generator[bytes]:
        """A file in pieces as they come. Raises Away, NotGiven, NotThere."""
        yield from self._ask(lambda session: self._pieces(session, path, form))

    def close(self) -> None:
        """Log out, if that goes without waiting long, and hang up."""
        session, self._session = self._session, None
        if session is not None:
            with suppress(XNATError, OSError):
                session.delete("/data/JSESSION", timeout=(_LEAVE_S, _LEAVE_S))
            session.disconnect()
        self._hang_up()
        self._was_cut = False

    def cut(self) -> None:
        """From any thread: break off what goes on, or the next that would."""
        self._was_cut = True
        if (line := self._line) is not None:
            line.cut()

    def _json(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        asked = {"format": "json", **query}
        content = self._ask(lambda session: session.get(path, query=asked, timeout=_PATIENCE).content)
        try:
            told = json.loads(content)
        except (ValueError, RecursionError):
            raise NotGiven("its answer is not JSON") from None
        if not isinstance(told, dict):
            raise NotGiven("its answer is no object")
        return told

    def _pieces(self, session: Any, path: str, form: str | None) -> Iterator[bytes]:
        """The first piece is read here, so that what is refused is known; an empty file has none."""
        pieces = session.download_generator(path, format=form, chunk_size=_BLOCK, timeout=_PATIENCE)
        first = next(pieces, b"")

        def all_of_it() -> Iterator[bytes]:
            try:
                yield first
                yield from pieces
            except (requests.RequestException, OSError) as error:
                self._break_off()
                raise Away(_words(error)) from None
            except BaseException:
                self._break_off()
                raise

        return all_of_it()

    def _ask(self, ask: Callable[[Any], _T]) -> _T:
        """Raises Away, NotGiven, NotThere. A session that lapsed, or a closed connection, is made anew, once."""
        for fresh in (self._session is None, True):
            if self._was_cut:
                self._was_cut = False
                self._break_off()
                raise Away("it was cut off")
            if self._session is None:
                self._session = self._log_in()
            try:
                return ask(self._session)
            except XNATResponseError as error:
                self._refused(error, fresh)
            except TooMuch as error:
                self._break_off()
                raise NotGiven(str(error)) from None
            except (requests.RequestException, OSError, XNATError) as error:
                self._break_off()
                if fresh:
                    raise Away(_words(error)) from None
        raise Away("it does not answer")

    def _refused(self, error: XNATResponseError, fresh: bool) -> None:
        """Raises Away, NotGiven, NotThere, or returns where another login may help."""
        status = error.status_code
        if status == requests.codes.not_found:
            raise NotThere("it answers with HTTP status 404") from None
        if status in _LOG_IN or status == requests.codes.ok:
            self._break_off()
            if fresh:
                raise Away("it asks for a login again and again") from None
            return
        said = f"it answers with HTTP status {status}"
        if status in _OVERLOADED:
            self._break_off()
            raise Away(said) from None
        raise NotGiven(said) from None

    def _log_in(self) -> Any:
        """By the alias token for a JSESSION, as xnatpy does it. Raises Away."""
        line = self._line = Line(self._ca)
        quiet = Quiet()
        try:
            line.get(self._root, auth=self._token, timeout=_PATIENCE)
            held = line.cookies.get("JSESSIONID")
            if not held:
                line.auth = self._token
            who = xnat.check_auth(
                line, server=self._root, user=self._token[0], jsession=held, logger=quiet, timeout=_PATIENCE
            )
            return BaseXNATSession(
                server=self._root,
                logger=quiet,
                interface=line,
                keepalive=False,
                logged_in_user=who,
                default_timeout=_PATIENCE,
                jsession=held,
            )
        except XNATAuthError:
            self._hang_up()
            raise Away("it does not take the alias token: it may have expired, or been withdrawn") from None
        except (requests.RequestException, OSError, XNATError) as error:
            self._hang_up()
            raise Away(_words(error)) from None
        except BaseException:
            self._hang_up()
            raise

    def _break_off(self) -> None:
        """The connection is in no state to be used again."""
        session, self._session = self._session, None
        self._hang_up()
        if session is not None:
            session.disconnect()

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.cut()
            self._line.close()
            self._line = None


def _texts(row: Mapping[str, Any]) -> Row:
    """Names in small letters, without the type that XNAT may put before them; numbers and nothing as text. Where a name
    comes both ways, the one without a type is meant: ``xnat:subjectassessordata/id`` is said beside ``ID``."""
    told: Row = {}
    for name, value in sorted(row.items(), key=lambda item: "/" not in item[0]):
        if not isinstance(value, str | int | float | None):
            raise NotGiven("its answer has a value that is no text")
        told[name.rsplit("/", 1)[-1].lower()] = "" if value is None else str(value)
    return told


def _words(error: BaseException) -> str:
    """The kind alone: requests' words hold whole addresses."""
    return type(error).__name__
