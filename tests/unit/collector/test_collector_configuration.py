"""``collector.json``: what is wrong with it is named, and it names no file beside itself."""

from __future__ import annotations

import json

import pytest

from flipnb.contracts.problem import FlipError
from flipnb.enclave.collector.configuration import pacs_of, password_of, read_collector

WEB = {"way": "dicomweb", "root": "https://pacs.example/dicom-web", "credentials": "password",
       "tls": {"ca": "tls/ca.pem", "certificate": "tls/own.pem", "key": "tls/own.key"}}  # fmt: skip
GET = {"way": "c-get", "host": "pacs", "port": 104, "called_aet": "PACS", "calling_aet": "FLIP"}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tls").mkdir()
    for name in ("password", "tls/ca.pem", "tls/own.pem", "tls/own.key"):
        (tmp_path / name).write_text("user:secret\n")
        (tmp_path / name).chmod(0o600)
    return tmp_path


def read(folder, **pacs):
    path = folder / "collector.json"
    path.write_text(json.dumps({"pacs": pacs}))
    return read_collector(path)


def test_archives_by_name(folder):
    found = read(folder, web=WEB, get={**GET, "hours": [{"from": "19:00", "until": "07:00", "days": ["mon"]}]})
    assert password_of(found.pacs["web"], folder) == "user:secret"
    assert found.pacs["get"].hours[0].days == ("mon",)
    with pytest.raises(FlipError, match="names no PACS 'other'; it names web, get"):
        pacs_of(found, "other", folder / "collector.json")


@pytest.mark.parametrize(
    ("pacs", "reason"),
    [
        ({"way": "c-get"}, "pacs.x: the way c-get needs host, port, called_aet, calling_aet"),
        ({**GET, "way": "c-move"}, "needs listen_port"),
        ({**GET, "called_aet": "SEVENTEEN_LETTERS"}, "pacs.x.called_aet"),
        ({**GET, "called_aet": "A\\B"}, "pacs.x.called_aet"),
        ({**GET, "port": 70000}, "pacs.x.port"),
        ({**GET, "patience": 3}, "pacs.x.patience"),
        ({**WEB, "tls": None}, "an https root needs tls"),
        ({**WEB, "root": "http://pacs.example/dicom-web", "tls": None}, "credentials go over https alone"),
        ({**WEB, "root": "https://u:p@pacs.example/"}, "without user"),
        ({**WEB, "credentials": "../keys/node.pem"}, "pacs.x.credentials"),
        ({**WEB, "credentials": "/etc/passwd"}, "pacs.x.credentials"),
        ({**WEB, "credentials": "none"}, "none, which is no file"),
        ({**GET, "hours": [{"from": "25:00", "until": "07:00"}]}, "pacs.x.hours.0.from"),
    ],
)
def test_what_is_wrong_is_named(folder, pacs, reason):
    with pytest.raises(FlipError, match=reason.replace("\\", "\\\\")):
        read(folder, x=pacs)


def test_a_secret_that_others_can_read(folder):
    (folder / "tls/own.key").chmod(0o640)
    with pytest.raises(FlipError) as refused:
        read(folder, x=WEB)
    assert refused.value.code == "file-open-to-others" and "own.key" in refused.value.message


def test_two_archives_of_one_name_and_no_file(tmp_path):
    path = tmp_path / "collector.json"
    with pytest.raises(FlipError) as none:
        read_collector(path)
    assert none.value.code == "no-collector"
    path.write_text('{"pacs": {"a": {}, "a": {}}}')
    with pytest.raises(FlipError) as twice:
        read_collector(path)
    assert twice.value.code == "duplicate-key"
