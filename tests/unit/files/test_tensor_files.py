"""Files of tensors out of pieces are what safetensors' own reader says they are."""

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from flipnb.files.tensor_file import FilePart, PiecedTensor, write_tensors

DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32"]
ARRAYS = st.dictionaries(
    st.text("abc.0", min_size=1, max_size=5),
    st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 5), min_size=1, max_size=3), st.integers(0, 9)),
    max_size=5,
)


@given(ARRAYS, st.booleans())
@settings(max_examples=100, deadline=None)
def test_another_reader_finds_every_tensor_where_it_was_said_to_lie(tmp_path_factory, arrays, from_files):
    place = tmp_path_factory.mktemp("tensors")
    made, tensors = {}, {}
    for number, (name, (dtype, shape, seed)) in enumerate(arrays.items()):
        array = np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)
        made[name] = array
        data = array.tobytes()
        if from_files:
            (place / str(number)).write_bytes(b"before" + data + b"after")
            cut = len(data) // 2
            parts = [FilePart(place / str(number), 6, cut), FilePart(place / str(number), 6 + cut, len(data) - cut)]
        else:
            parts = [data]
        tensors[name] = PiecedTensor(dtype, tuple(shape), tuple(parts))
    starts = write_tensors(place / "out", tensors)
    found = safetensors.numpy.load_file(place / "out")
    content = (place / "out").read_bytes()
    assert found.keys() == made.keys()
    for name, array in made.items():
        assert np.array_equal(found[name], array) and found[name].dtype == array.dtype
        assert content[starts[name] :][: array.nbytes] == array.tobytes()
        assert starts[name] % array.itemsize == 0


def test_pieces_that_do_not_fit_are_refused(tmp_path):
    (tmp_path / "short").write_bytes(b"12")
    with pytest.raises(ValueError, match="not as long"):
        write_tensors(tmp_path / "a", {"t": PiecedTensor("uint8", (3,), (b"12",))})
    with pytest.raises(ValueError, match="has not the bytes"):
        write_tensors(tmp_path / "b", {"t": PiecedTensor("uint8", (3,), (FilePart(tmp_path / "short", 0, 3),))})
