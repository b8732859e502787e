"""An archive by DICOMweb (PS3.18): QIDO-RS for headers, WADO-RS for instances, streamed to files as they are stored.

Over the standard library's HTTP: a client that hands out data sets would decode them here, and ask for a transfer
syntax of its own. ``transfer-syntax=*`` is what is stored (PS3.18, section 8.7.3.5.2); without it some archives
transcode, and answer 500 where they can't.
"""

from __future__ import annotations

import base64
import http.client
import json
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlencode, urlsplit

from flipnb.enclave.collector.configuration import Pacs, password_of
from flipnb.enclave.collector.pacs import answers
from flipnb.enclave.collector.pacs.answers import Implausible, Question, SeriesAnswer, StudyAnswer
from flipnb.enclave.collector.pacs.archive import Away, NotGiven
from flipnb.enclave.collector.pacs.multipart import BrokenMultipart, Multipart, boundary_of
from flipnb.enclave.collector.pacs.transport import client_context
from flipnb.enclave.collector.quarantine import Incoming

_PAGE = 1000
_MOST_JSON = 32 << 20
_CONNECT_S = 20.0
_BLOCK = 1 << 18
_AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_OVERLOADED = (429, 502, 503, 504)
Row = dict[str, Any]

# DICOM's JSON model names attributes by their tags (PS3.18, annex F).
_TAGS = {
    "StudyInstanceUID": "0020000D",
    "SeriesInstanceUID": "0020000E",
    "PatientID": "00100020",
    "AccessionNumber": "00080050",
    "StudyDate": "00080020",
    "Modality": "00080060",
    "BodyPartExamined": "00180015",
    "NumberOfStudyRelatedInstances": "00201208",
    "NumberOfSeriesRelatedInstances": "00201209",
}


class _Response(http.client.HTTPResponse):
    """With a buffer that suits instances: the library's has 8 KB."""

    def __init__(self, sock: socket.socket, *arguments: Any, **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        self.fp.close()
        self.fp = cast(Any, sock.makefile("rb", buffering=_BLOCK))


class DicomWeb:
    """See ``Archive``."""

    def __init__(self, pacs: Pacs, folder: Path) -> None:
        assert pacs.root is not None
        self._address = urlsplit(pacs.root.rstrip("/"))
        self._most = pacs.most_answers
        password = password_of(pacs, folder)
        self._headers = {"User-Agent": "flip"}
        if password is not None:
            self._headers["Authorization"] = f"Basic {base64.b64encode(password.encode()).decode()}"
        self._tls = client_context(pacs.tls, folder) if pacs.tls is not None else None
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None

    def studies(self, question: Question) -> Iterator[StudyAnswer | Implausible]:
        query = {
            "PatientID": question.patient,
            "AccessionNumber": question.accession,
            "StudyInstanceUID": ",".join(question.study_uids) or None,
            "StudyDate": _range(question),
            "includefield": "00080020,00080050,00100020,00201208",
        }
        for row in self._rows("/studies", {key: value for key, value in query.items() if value is not None}):
            yield _believed(row, _study)

    def series(self, studies: Sequence[str]) -> Iterator[SeriesAnswer | Implausible]:
        fields = {"includefield": "00080060,00180015,00201209"}
        answered: set[str] = set()
        if len(studies) > 1:
            # One question for many is relational, which not every archive knows: those it leaves out are asked singly.
            many = {"StudyInstanceUID": ",".join(studies), **fields}
            try:
                for row in self._rows("/series", many):
                    one = _believed(row, partial(_series, study=None))
                    if isinstance(one, SeriesAnswer):
                        answered.add(one.study_uid)
                    yield one
            except NotGiven:
                answered = set()
        for study in studies:
            if study not in answered:
                for row in self._rows(f"/studies/{quote(study, safe='')}/series", fields):
                    yield _believed(row, partial(_series, study=study))

    def instances(self, study_uid: str, series_uid: str) -> Iterator[str | Implausible]:
        path = f"/studies/{quote(study_uid, safe='')}/series/{quote(series_uid, safe='')}/instances"
        for row in self._rows(path, {"includefield": "00080018"}):
            yield _believed(row, lambda row: answers.uid(_value(row, "00080018"), "SOPInstanceUID"))

    def retrieve(self, study: StudyAnswer, series_uid: str, into: Incoming) -> None:
        path = f"/studies/{quote(study.study_uid, safe='')}/series/{quote(series_uid, safe='')}"
        response = self._ask(path, _AS_STORED)
        try:
            for part in Multipart(response.read1, boundary_of(response.getheader("Content-Type", ""))).parts():
                with into.file() as file:
                    for piece in part:
                        file.write(piece)
        except BrokenMultipart as error:
            self.close()
            raise NotGiven(f"its answer is broken: {error}") from None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Away(_words(error)) from None
        except BaseException:
            self.close()
            raise
        self._finish(response)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = self._socket = None

    def cut(self) -> None:
        connected = self._socket
        if connected is not None:
            with suppress(OSError):
                socket.socket.shutdown(connected, socket.SHUT_RDWR)  # an SSLSocket's own would forget its TLS

    def _rows(self, path: str, query: dict[str, str]) -> Iterator[Row]:
        """All pages of an answer; see ``most_answers``. Raises NotGiven where they repeat or do not end."""
        offset, before = 0, b""
        while True:
            asked = urlencode({**query, "limit": _PAGE, "offset": offset}, safe=",")
            response = self._ask(f"{path}?{asked}", "application/dicom+json")
            content = self._content(response)
            rows = _parsed(content)
            if rows and content == before:
                raise NotGiven("it answers with the same page again and again")
            yield from rows
            offset, before = offset + len(rows), content
            if offset > self._most:
                raise NotGiven(f"it answers with more than {self._most} rows")
            if not rows or (len(rows) != _PAGE and "299" not in response.getheader("Warning", "")):
                return

    def _content(self, response: http.client.HTTPResponse) -> bytes:
        try:
            content = response.read(_MOST_JSON + 1)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Away(_words(error)) from None
        if len(content) > _MOST_JSON:
            self.close()
            raise NotGiven(f"its answer has more than {_MOST_JSON >> 20} MB")
        self._finish(response)
        return content

    def _ask(self, path: str, accept: str) -> http.client.HTTPResponse:
        """Raises Away, NotGiven. A connection that lay idle may have been closed: it is made anew, once."""
        for fresh in (self._connection is None, True):
            if self._connection is None:
                self._connection = self._connect()
            try:
                self._connection.request("GET", self._address.path + path, headers={**self._headers, "Accept": accept})
                response = self._connection.getresponse()
                break
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if fresh:
                    raise Away(_words(error)) from None
        if response.status == 204:
            return response
        if response.status != 200:
            self.close()
            said = f"it answers with HTTP status {response.status}"
            raise Away(said) if response.status in _OVERLOADED else NotGiven(said)
        return response

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._address.hostname or "", self._address.port
        connection: http.client.HTTPConnection
        if self._address.scheme == "https":
            connection = http.client.HTTPSConnection(host, port, timeout=_CONNECT_S, context=self._tls)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=_CONNECT_S)
        connection.response_class = _Response
        try:
            connection.connect()
        except OSError as error:
            raise Away(_words(error)) from None
        # The library forgets the socket of an answer that ends with its connection, and would connect anew by itself.
        self._socket = connection.sock
        connection.auto_open = 0
        # Who asks is watched by another thread, which cuts the line when nothing has come for too long.
        connection.sock.settimeout(None)
        return connection

    def _finish(self, response: http.client.HTTPResponse) -> None:
        """What an archive says after the last part: little, or the connection is not used again."""
        with suppress(OSError, http.client.HTTPException):
            if not response.read(_BLOCK) or response.isclosed():
                return
        self.close()


def _parsed(content: bytes) -> list[Row]:
    if not content:
        return []
    try:
        rows = json.loads(content)
    except (ValueError, RecursionError):
        raise NotGiven("its answer is not JSON") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise NotGiven("its answer is no list of objects")
    return rows


def _believed(row: Row, read: Callable[[Row], Any]) -> Any:
    try:
        return read(row)
    except Implausible as error:
        return error


def _study(row: Row) -> StudyAnswer:
    return answers.study_answer(partial(_text, row))


def _series(row: Row, study: str | None) -> SeriesAnswer:
    return answers.series_answer(partial(_text, row), study)


def _text(row: Row, keyword: str) -> str:
    return _value(row, _TAGS[keyword])


def _value(row: Row, tag: str) -> str:
    """The first value of an attribute in the DICOM JSON model (PS3.18, annex F); "" where there is none."""
    attribute = row.get(tag)
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    if values is None:
        return ""
    first = values[0] if isinstance(values, list) and values else ""
    if not isinstance(values, list) or len(values) > 1 or not isinstance(first, str | int):
        raise Implausible(f"its attribute {tag} is not one text")
    return str(first)


def _range(question: Question) -> str | None:
    if question.since is None and question.until is None:
        return None
    since = question.since.strftime("%Y%m%d") if question.since else ""
    return f"{since}-{question.until.strftime('%Y%m%d') if question.until else ''}"


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:200]
