"""A decoder that dies, hangs, lies or is bombed loses its one image, and the next one is decoded."""

import os
import signal
import socket
import subprocess
import sys
import zlib

import numpy as np
import pytest
from image_phantoms import AXIAL, picture, written

from flipnb.contracts.images import Segment
from flipnb.contracts.problem import FlipError
from flipnb.estate.imaging import decoder as decoders
from flipnb.estate.imaging.decoder import Decoder, unjailed
from flipnb.estate.imaging.decoding import Facts, Form
from flipnb.estate.imaging.geometry import Unusable
from flipnb.estate.imaging.kept_images import KeptImages

PICTURE = Form(dimensions=2, size=None, spacing=None, labels=())
VOLUME = Form(dimensions=3, size=(8, 8, 4), spacing=None, labels=())
FACTS = Facts(
    shape=(3, 2), dtype="uint8", affine=(1.0, 0, 0, 0, 0, 1.0, 0, 0, 0, 0, 1.0, 0), spacing=(1.0, 1.0), slope=1,
    intercept=0, photometric="MONOCHROME2",
)  # fmt: skip

HOSTILE = """
import os, socket, sys, time
channel = socket.socket(fileno=int(sys.argv[1]))
channel.send(b"ready")
message, handles, _, _ = socket.recv_fds(channel, 1 << 17, 200)
socket.recv_fds(channel, 1 << 17, 200)
os.write(handles[0], b"123456")
exec(sys.argv[2])
time.sleep(60)
"""


def hostile(action):
    def start(inside: socket.socket):
        return subprocess.Popen(
            [sys.executable, "-c", HOSTILE, str(inside.fileno()), action], pass_fds=[inside.fileno()]
        )

    return start


class Files:
    """Files on disk, open, and a place for what is decoded."""

    def __init__(self, place, contents):
        self.handles = []
        for number, content in enumerate(contents):
            (place / f"in{number}").write_bytes(content)
            self.handles.append(os.open(place / f"in{number}", os.O_RDONLY))
        self.place, self.made = place, 0

    def target(self):
        self.made += 1
        return self.place / f"out{self.made}"


@pytest.fixture
def files(tmp_path):
    made = Files(tmp_path, [written(picture(np.arange(6, dtype=np.uint8).reshape(2, 3)))])
    yield made
    for handle in made.handles:
        os.close(handle)


def reason(decoder, files, form=PICTURE):
    with pytest.raises(Unusable) as refused:
        decoder.decode(files.handles, [], form, files.target())
    return refused.value.reason


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("os._exit(3)", "crashed"),
        ("os.kill(os.getpid(), 11)", "crashed"),
        ("channel.send(b'not json')", "crashed"),
        ("channel.send(b'!a lie')", "crashed"),
        ("channel.send(b'!disk-full')", "crashed"),
        ("channel.send(b'!missing-slice')", "missing-slice"),
        (f"channel.send({FACTS.model_copy(update={'shape': (4, 2)}).model_dump_json().encode()!r})", "crashed"),
        (f"channel.send({FACTS.model_copy(update={'dtype': 'uint16'}).model_dump_json().encode()!r})", "crashed"),
        (f"channel.send({FACTS.model_copy(update={'label_names': ('x',)}).model_dump_json().encode()!r})", "crashed"),
        (f"channel.send({FACTS.model_copy(update={'spacing': (1.0, 1.0, 1.0)}).model_dump_json().encode()!r})",
         "crashed"),
        (f"channel.send({FACTS.model_dump_json().replace('1.0', '1e999').encode()!r})", "crashed"),
    ],
)  # fmt: skip
def test_whatever_a_decoder_says_is_checked(files, action, said):
    with Decoder(hostile(action)) as decoder:
        assert reason(decoder, files) == said


def test_true_facts_are_taken(files):
    with Decoder(hostile(f"channel.send({FACTS.model_dump_json().encode()!r})")) as decoder:
        assert decoder.decode(files.handles, [], PICTURE, files.target()) == FACTS


def test_one_that_says_nothing_is_killed(files, monkeypatch):
    monkeypatch.setattr(decoders, "_SLACK_S", 0.2)
    monkeypatch.setattr(decoders, "_LEAST_S", 0.2)
    with Decoder(hostile("time.sleep(60)")) as decoder:
        assert reason(decoder, files) == "too-long"
        assert decoder._process is None


def test_one_that_can_not_be_started_is_an_error_and_no_image_left_out(files):
    def start(inside):
        return subprocess.Popen([sys.executable, "-c", ""])

    with Decoder(start) as decoder, pytest.raises(FlipError, match="No process can be started"):
        decoder.decode(files.handles, [], PICTURE, files.target())


@pytest.fixture(scope="module")
def decoder():
    with Decoder(unjailed) as made:
        yield made


def test_a_picture_comes_back_as_it_was(decoder, files):
    target = files.target()
    facts = decoder.decode(files.handles, [], PICTURE, target)
    assert (facts.shape, facts.dtype) == ((3, 2), "uint8")
    assert target.read_bytes() == np.arange(6, dtype=np.uint8).reshape(2, 3).T.tobytes()


@pytest.mark.slow
def test_a_killed_decoder_is_replaced(decoder, files, tmp_path):
    decoder.decode(files.handles, [], PICTURE, files.target())
    os.kill(decoder._process.pid, signal.SIGKILL)
    decoder._process.wait()
    assert reason(decoder, files) == "crashed"
    assert decoder.decode(files.handles, [], PICTURE, files.target()).shape == (3, 2)


@pytest.mark.slow
def test_a_volume_of_more_files_than_go_into_one_message(decoder, tmp_path):
    many = Files(tmp_path, AXIAL.with_(slices=450, columns=4, rows=3).files()[::-1])
    facts = decoder.decode(many.handles, [], VOLUME, many.target())
    for handle in many.handles:
        os.close(handle)
    assert facts.shape == (8, 8, 4) and facts.spacing[2] == pytest.approx(450 * 3 / 4)


@pytest.mark.slow
def test_bombs_are_refused_within_their_memory(decoder, tmp_path, monkeypatch):
    """Half a gigabyte that deflates to half a megabyte; a header that asks for more than there is; an empty file."""
    monkeypatch.setattr(decoders, "_LEAST_MEMORY", 300 << 20)
    made = picture(np.zeros((4, 4), dtype=np.uint16))
    made.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    made.PixelData = b"\0" * 32
    start = written(made)
    meta = 144 + int.from_bytes(start[140:144], "little")
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    bomb = start[:meta] + packer.compress(zlib.decompress(start[meta:], -15))
    for _ in range(512):
        bomb += packer.compress(b"\0" * (1 << 20))
    bomb += packer.flush()
    lying = picture(np.zeros((4, 4), dtype=np.uint16))
    lying.Rows, lying.Columns, lying.NumberOfFrames = 30_000, 30_000, 100
    for number, content in enumerate([bomb, written(lying), b""]):
        place = tmp_path / str(number)
        place.mkdir()
        one = Files(place, [content])
        assert reason(decoder, one) in ("too-large", "unreadable", "crashed")
        os.close(one.handles[0])


def test_what_was_decoded_is_found_by_what_it_was_made_of(tmp_path):
    kept = KeptImages(tmp_path / "kept", most_bytes=20)
    kept.make()
    labelled = Form(dimensions=3, size=None, spacing=None, labels=(Segment(name="a", label="A"),))
    one, two = "a" * 64, "b" * 64
    keys = {kept.key(*case) for case in [((one, two), (), VOLUME), ((one,), (two,), labelled), ((one,), (), VOLUME)]}
    assert len(keys) == 3
    assert kept.key((one, two), (), VOLUME) == kept.key((two, one), (), VOLUME)
    for number, key in enumerate(sorted(keys)):
        kept.partial(key).write_bytes(b"1234567")
        kept.keep(key, FACTS.model_copy(update={"shape": (7, 1)}))
        os.utime(tmp_path / "kept" / key[:2] / f"{key}.raw", (number, number))
        assert kept.find(key).facts.shape == (7, 1)
    first, second, third = sorted(keys, key=lambda key: kept._raw(key).stat().st_mtime)
    kept.shrink(frozenset({first}))
    assert kept.find(second) is None and kept.find(first) and kept.find(third)
    kept.keep_reason(second, "missing-slice")
    assert kept.find(second).reason == "missing-slice"
    for passing in ("crashed", "too-long"):
        kept.keep_reason("c" * 64, passing)
        assert kept.find("c" * 64) is None
    kept._raw(first).write_bytes(b"7654321")
    assert kept.find(first) is None
