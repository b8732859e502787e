"""Transfers that break off: they go on where they broke, and are whole or not there."""

import asyncio
import contextlib
import json
import os
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted_hub import blob, hangs_up, says, sha256

from flipnb.contracts.problem import FlipError
from flipnb.link.bulk import CalledOff, Download, Upload, WrongBlob
from flipnb.link.client import AsyncSignedClient
from flipnb.link.exchange import NotNow
from flipnb.link.partial_file import PartialFile, fetch_file
from flipnb.link.retry import Retry

QUICK = Retry(first=0.01, longest=0.05)
DATA = os.urandom(5_000_003)


@pytest.fixture
def memory():
    """A memfd of the size of DATA."""
    descriptor = os.memfd_create("weights")
    os.ftruncate(descriptor, len(DATA))
    yield descriptor
    os.close(descriptor)


def ranges(hub):
    return [headers.get("range") for _, _, headers, _ in hub.asked]


def fetched(hub, target, data=DATA, **more):
    fetch_file(hub.access(), sha256(data), target, QUICK, **more)
    assert target.read_bytes() == data
    assert list(target.parent.iterdir()) == [target]


@pytest.fixture
def target(tmp_path):
    (tmp_path / "results").mkdir()
    return tmp_path / "results" / "weights"


def beside(target):
    return target.with_name("weights.partial")


def test_a_download_into_memory_goes_on_where_it_broke(hub, memory):
    hub.answers = [blob(DATA, at_most=2_000_000), hangs_up, says(503), blob(DATA, at_most=1_000_000), blob(DATA)]
    Download(hub.access(), sha256(DATA), memory, size=len(DATA)).run(QUICK)
    assert os.pread(memory, len(DATA), 0) == DATA
    assert ranges(hub) == [None, *["bytes=2000000-"] * 3, "bytes=3000000-"]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 300), max_size=6), kept=st.integers(0, 300), junk=st.booleans(), seed=st.binary())
def test_whatever_broke_and_whatever_lay_there_the_file_is_the_blob(hub, tmp_path_factory, cuts, kept, junk, seed):
    data = (seed or b"x") * 40
    data = data[:301]
    target = tmp_path_factory.mktemp("results") / "weights"
    beside(target).write_bytes(bytes(kept) if junk else data[:kept])
    hub.answers = [*(blob(data, at_most=cut) for cut in cuts), blob(data)]
    fetched(hub, target, data)


def test_what_knows_no_ranges_is_read_from_the_beginning(hub, target):
    hub.answers = [blob(DATA, at_most=2_000_000), blob(DATA, ranges=False)]
    fetched(hub, target)


@pytest.mark.parametrize("wrong", [DATA[:-1] + b"?", DATA[:-1], DATA + b"?"])
def test_other_bytes_are_refused_wherever_it_broke(hub, memory, wrong):
    assert wrong[-1:] != DATA[-1:]
    hub.answers = [blob(wrong, at_most=3_000_000), blob(wrong)]
    with pytest.raises(WrongBlob):
        Download(hub.access(), sha256(DATA), memory, size=len(DATA)).run(QUICK)


def test_a_file_of_other_bytes_is_not_kept(hub, target):
    hub.answers = [blob(DATA[:-1])]
    with pytest.raises(FlipError) as caught:
        fetch_file(hub.access(), sha256(DATA), target, QUICK)
    assert caught.value.code == "wrong-blob"
    assert list(target.parent.iterdir()) == []


def test_what_an_earlier_process_left_is_not_fetched_again(hub, target):
    beside(target).write_bytes(DATA[:3_000_000])
    hub.answers = [blob(DATA)]
    fetched(hub, target)
    assert ranges(hub) == ["bytes=3000000-"]


@pytest.mark.parametrize("left", [b"?" * 3_000_000, DATA + b"?", DATA[:-1] + b"?"])
def test_what_an_earlier_process_left_of_something_else_is_fetched_anew(hub, target, left):
    beside(target).write_bytes(left)
    hub.answers = [blob(DATA)]
    fetched(hub, target)
    assert ranges(hub) == [f"bytes={len(left)}-", None]


def test_of_a_whole_one_that_lacks_its_name_nothing_is_fetched(hub, target):
    beside(target).write_bytes(DATA)
    hub.answers = [blob(DATA)]
    fetched(hub, target)
    assert ranges(hub) == [f"bytes={len(DATA)}-"]


def test_what_is_there_is_not_asked_for(hub, target):
    hub.answers = [blob(DATA)]
    fetched(hub, target)
    beside(target).write_bytes(DATA[:10])
    fetched(hub, target)
    assert len(hub.asked) == 1
    target.write_bytes(DATA[:-1])
    fetched(hub, target)
    assert len(hub.asked) == 2


def test_a_refusal_leaves_nothing_and_takes_nothing_away(hub, target):
    hub.answers = [says(404)]
    for left in (b"", DATA[:1000]):
        with pytest.raises(FlipError):
            fetch_file(hub.access(), sha256(DATA), target, QUICK)
        assert [file.read_bytes() for file in target.parent.iterdir()] == ([left] if left else [])
        beside(target).write_bytes(DATA[:1000])


def test_progress_is_told_and_can_stop_a_download(hub, target):
    told = []

    def stop_midway(here, whole):
        told.append((here, whole))
        if here > 2_000_000:
            raise KeyboardInterrupt

    hub.answers = [blob(DATA)]
    with pytest.raises(KeyboardInterrupt):
        fetch_file(hub.access(), sha256(DATA), target, QUICK, stop_midway)
    left = beside(target).stat().st_size
    assert left == told[-1][0] > 2_000_000
    fetched(hub, target, progress=lambda here, whole: told.append((here, whole)))
    assert told == sorted(told)
    assert told[-1] == (len(DATA), len(DATA))
    assert ranges(hub) == [None, f"bytes={left}-"]


def test_a_link_in_the_place_of_what_came_leads_to_no_other_file(hub, target, tmp_path):
    """In a folder that others may write to, too."""
    treasure = tmp_path / "treasure"
    treasure.write_bytes(b"treasure")
    beside(target).symlink_to(treasure)
    hub.answers = [blob(DATA)]
    with pytest.raises(FlipError) as caught:
        fetch_file(hub.access(), sha256(DATA), target, QUICK)
    assert caught.value.code == "not-written"
    assert treasure.read_bytes() == b"treasure"


def test_what_somebody_removes_meanwhile_hides_no_refusal(hub, target):
    def removed(handler):
        beside(target).unlink()
        says(404)(handler)

    hub.answers = [removed]
    with pytest.raises(FlipError) as caught:
        fetch_file(hub.access(), sha256(DATA), target, QUICK)
    assert caught.value.status == 404


def test_what_another_has_begun_under_its_name_is_not_taken_for_whole(target):
    """Somebody removed the partial file of a fetch that went on, and a second fetch began."""
    with PartialFile(target) as first:
        os.pwrite(first.descriptor, DATA, 0)
        beside(target).unlink()
        with PartialFile(target) as second:
            os.pwrite(second.descriptor, DATA[:10], 0)
            with pytest.raises(FlipError) as caught:
                first.complete()
            assert caught.value.code == "being-fetched"
            assert not target.exists()
            os.pwrite(second.descriptor, DATA, 0)
            second.complete()
    assert target.read_bytes() == DATA


def test_two_do_not_fetch_into_one_file(hub, target):
    hub.answers = [blob(DATA)]
    with PartialFile(target), pytest.raises(FlipError) as caught:
        fetch_file(hub.access(), sha256(DATA), target, QUICK)
    assert caught.value.code == "being-fetched"
    fetched(hub, target)


def test_patience_with_a_hub_that_stays_away_ends_and_what_came_stays(hub, target):
    hub.answers = [blob(DATA, at_most=1_000_000), hangs_up]
    with pytest.raises(NotNow):
        fetch_file(hub.access(), sha256(DATA), target, Retry(first=0.01, longest=0.01, patience=0.1))
    assert beside(target).read_bytes() == DATA[:1_000_000]


def test_a_file_that_cannot_be_written_is_no_broken_connection(hub, target):
    target.write_bytes(b"")
    hub.answers = [blob(DATA)]
    with target.open("rb") as file, pytest.raises(FlipError) as caught:
        Download(hub.access(), sha256(DATA), file.fileno()).run(QUICK)
    assert caught.value.code == "not-written"


class Stalls:
    """Sends half of DATA and then nothing; ``there`` is set when it does, ``gone`` when the connection is shut."""

    def __init__(self):
        self.there, self.gone = threading.Event(), threading.Event()

    def __call__(self, handler):
        handler.start(200, len(DATA))
        handler.wfile.write(DATA[: len(DATA) // 2])
        self.there.set()
        handler.connection.settimeout(60)
        with contextlib.suppress(OSError):
            handler.rfile.read(1)
        self.gone.set()
        handler.hang_up()


def test_a_download_is_called_off_from_another_thread(hub, memory):
    stalls, raised = Stalls(), []
    hub.answers = [stalls]
    download = Download(hub.access(), sha256(DATA), memory, size=len(DATA))

    def work():
        try:
            download.run(QUICK)
        except FlipError as error:
            raised.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert stalls.there.wait(30)
    download.call_off()
    thread.join(30)
    assert not thread.is_alive()
    assert stalls.gone.wait(30)
    assert [type(error) for error in raised] == [CalledOff]
    with pytest.raises(CalledOff):
        download.run(QUICK)


def test_a_transfer_that_is_cancelled_has_ended(hub, memory):
    stalls = Stalls()
    hub.answers = [stalls]

    async def run():
        client = AsyncSignedClient(hub.access(), patience=10.0, silence=10.0)
        download = Download(hub.access(), sha256(DATA), memory, size=len(DATA))
        carrying = asyncio.create_task(client.carry(download, QUICK))
        assert await asyncio.to_thread(stalls.there.wait, 30)
        carrying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await carrying
        moved = download.moved
        assert await asyncio.to_thread(stalls.gone.wait, 30)
        await client.close()
        assert download.moved == moved

    before = threading.active_count()
    asyncio.run(asyncio.wait_for(run(), 120))
    assert threading.active_count() <= before + 1  # the hub's, for a moment


def test_an_upload_asks_what_is_there_and_sends_the_rest(hub, tmp_path):
    (tmp_path / "weights").write_bytes(DATA)
    received = {"size": 2_000_000, "whole": False}
    hub.answers = [says(200, json.dumps(received).encode()), says(201)]
    Upload(hub.access(), tmp_path / "weights", sha256(DATA), "study=heart").run(QUICK)
    (_, asked, *_), (method, path, headers, body) = hub.asked
    assert asked == f"/v1/blobs/{sha256(DATA)}/received?study=heart"
    assert (method, path) == ("PUT", f"/v1/blobs/{sha256(DATA)}?study=heart&offset=2000000")
    assert body == DATA[2_000_000:]
    assert headers["content-length"] == str(len(body))
    assert hub.connections == 1


def test_what_is_at_the_hub_is_not_sent(hub, tmp_path):
    (tmp_path / "weights").write_bytes(DATA)
    hub.answers = [says(200, json.dumps({"size": len(DATA), "whole": True}).encode())]
    Upload(hub.access(), tmp_path / "weights", sha256(DATA), "run=a").run(QUICK)
    assert [method for method, *_ in hub.asked] == ["GET"]


def test_an_upload_that_is_refused_says_why(hub, tmp_path):
    (tmp_path / "weights").write_bytes(DATA)
    nothing = says(200, b'{"size":0,"whole":false}')
    hub.answers = [nothing, says(413, b'{"code":"blob-too-large","message":"Too large."}')]
    with pytest.raises(FlipError, match=r"Too large\.") as caught:
        Upload(hub.access(), tmp_path / "weights", sha256(DATA), "run=a").run(QUICK)
    assert not isinstance(caught.value, NotNow)
