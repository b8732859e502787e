"""The fixed-point encoding: its error bound, exact clipping, no dependence on order, no overflow, hostile files."""

import itertools
import math
import struct
import subprocess
import sys
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import safe_open
from safetensors.numpy import load_file, save

from flipnb.contracts.outputs import DeclaredOutput, admit_report
from flipnb.contracts.plan import MAX_INTEGER_CLIP, MAX_TRUSTS, MAX_WEIGHT, Plan
from flipnb.contracts.problem import FlipError
from flipnb.contracts.tensors import Tensor, TensorSpec
from flipnb.federation.encoding import encode_update
from flipnb.federation.safetensors_file import SafetensorsWriter, library_order
from flipnb.federation.sum import UNADDED, Sum
from flipnb.federation.weights import WeightsFile, cast, moved, numpy_dtype, write_weights

LOSS = DeclaredOutput(name="loss", minimum=-10, maximum=10, decimals=4, over="train")
ACCURACY = DeclaredOutput(name="accuracy", minimum=0, maximum=1, decimals=2, over="test")
OUTPUTS = (LOSS, ACCURACY)
SPEC = TensorSpec(
    tensors=(
        Tensor(name="layer.weight", shape=(3, 2), dtype="float32"),
        Tensor(name="layer.bias", shape=(2,), dtype="bfloat16"),
        Tensor(name="half", shape=(1, 3), dtype="float16"),
        Tensor(name="double", shape=(2,), dtype="float64"),
        Tensor(name="scale", shape=(), dtype="float32"),
        Tensor(name="empty", shape=(0, 4), dtype="float32"),
        Tensor(name="seen", shape=(), dtype="int64"),
        Tensor(name="bytes", shape=(3,), dtype="uint8"),
        Tensor(name="mask", shape=(3,), dtype="bool"),
    )
)
QUICK = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def pack(spec, changes):
    """An update as a kernel leaves it: every tensor's change at its slot."""
    slots, size = spec.update_layout()
    buffer = bytearray(size)
    for slot in slots:
        raw = np.asarray(changes[slot.tensor.name]).astype(slot.dtype).tobytes()
        buffer[slot.offset : slot.offset + len(raw)] = raw
    return memoryview(buffer)


def encode(path, changes, people=10, *, spec=SPEC, plan=None, loss=0.5, accuracy=0.75, test=4):
    encoded = encode_update(
        path,
        spec=spec,
        plan=plan or Plan(rounds=1, clip_norm=1000.0),
        people={"train": people, "validation": 0, "test": test},
        report=admit_report(OUTPUTS, {"loss": loss, "accuracy": accuracy}),
        outputs=OUTPUTS,
        change=pack(spec, changes) if changes is not None else None,
    )
    return path, encoded


def add_all(paths, *, spec=SPEC, plan=None, training=True):
    total = Sum(spec=spec, plan=plan or Plan(rounds=1, clip_norm=1000.0), outputs=OUTPUTS, training=training)
    for index, path in enumerate(paths):
        total.add(path, f"trust-{index}")
    return total


def drawn(spec, seed):
    random = np.random.default_rng(seed)

    def change(tensor):
        if tensor.update_dtype != "int64":
            return random.normal(size=tensor.shape)
        most = tensor.largest_change(9)
        return random.integers(-most, most + 1, tensor.shape)

    return {tensor.name: change(tensor) for tensor in spec.tensors}


def test_the_file_is_plain_safetensors_and_deterministic(tmp_path):
    first, encoded = encode(tmp_path / "a", drawn(SPEC, 1))
    second, again = encode(tmp_path / "b", drawn(SPEC, 1))
    assert first.read_bytes() == second.read_bytes()
    assert (encoded.sha256, encoded.size) == (again.sha256, first.stat().st_size)
    arrays = load_file(first)
    assert {name for name in arrays if not name.startswith("update/")} == {
        "metric/loss", "metric/accuracy", "people/train", "people/validation", "people/test", "shift",
    }  # fmt: skip
    assert {name.removeprefix("update/"): str(arrays[name].dtype) for name in arrays if name.startswith("update/")} == {
        tensor.name: "int32" if tensor.dtype in ("float32", "float16", "bfloat16") else "int64"
        for tensor in SPEC.tensors
    }
    assert {name.removeprefix("update/"): arrays[name].shape for name in arrays if name.startswith("update/")} == {
        tensor.name: tensor.shape for tensor in SPEC.tensors
    }
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


@QUICK
@given(
    values=st.lists(hnp.arrays(np.float32, 5, elements=st.floats(-3, 3, width=32)), min_size=1, max_size=6),
    clip=st.sampled_from([16.0, 2.0**20, 6.75]),
    dtype=st.sampled_from(["float32", "float64"]),
    data=st.data(),
)
def test_the_mean_is_within_the_stated_error(tmp_path, values, clip, dtype, data):
    weights = [data.draw(st.integers(1, 5000)) for _ in values]
    spec = TensorSpec(tensors=(Tensor(name="w", shape=(5,), dtype=dtype),))
    plan = Plan(rounds=1, clip_norm=clip)
    paths, shifts = [], []
    for i, (v, w) in enumerate(zip(values, weights, strict=True)):
        path, encoded = encode(tmp_path / str(i), {"w": v}, w, spec=spec, plan=plan)
        assume(encoded.clip_factor == 1.0)
        paths.append(path)
        shifts.append(int(load_file(path)["shift"][0]))
    mean = add_all(paths, spec=spec, plan=plan).mean(spec.tensors[0])
    for element in range(5):
        exact = sum(Fraction(float(v[element])) * w for v, w in zip(values, weights, strict=True)) / sum(weights)
        bound = Fraction(2) ** (max(shifts) - plan.fraction_bits - 1) + abs(exact) / 2**50
        assert abs(Fraction(float(mean[element])) - exact) <= bound
    largest = max(float(np.abs(v).max()) for v in values)
    assert max(shifts) == 0 or 2.0 ** (max(shifts) - plan.fraction_bits - 1) <= 2.0**-30 * largest


@pytest.mark.parametrize("clip", [2.0**20, 1.0, 2.0**-10, 0.75 * 2**20, 3.0])
def test_an_element_as_large_as_the_clip_fits_into_32_bits(tmp_path, clip):
    spec = TensorSpec(tensors=(Tensor(name="w", shape=(2,), dtype="float32"),))
    plan = Plan(rounds=1, clip_norm=clip)
    paths = [encode(tmp_path / str(i), {"w": [-9 * clip, 0]}, MAX_WEIGHT, spec=spec, plan=plan)[0] for i in range(2)]
    assert add_all(paths, spec=spec, plan=plan).mean(spec.tensors[0]).tolist() == pytest.approx([-clip, 0], rel=1e-8)


def test_no_order_of_arrival_changes_a_bit(tmp_path):
    paths = [encode(tmp_path / str(i), drawn(SPEC, i), 7 + 13 * i)[0] for i in range(UNADDED + 2)]
    sums = [add_all(order) for order in itertools.islice(itertools.permutations(paths), 0, None, 31)]
    for tensor in SPEC.tensors:
        assert len({total.mean(tensor).tobytes() for total in sums}) == 1
    assert len({tuple(sorted(total.metrics().items())) for total in sums}) == 1


def test_many_trusts_have_the_mean_of_all(tmp_path):
    spec = TensorSpec(tensors=(Tensor(name="n", shape=(3,), dtype="int64"),))
    paths = [encode(tmp_path / str(i), {"n": [i, 10 * i, -i]}, 1 + i, spec=spec)[0] for i in range(2 * UNADDED + 3)]
    people = sum(1 + i for i in range(len(paths)))
    exact = sum((1 + i) * i for i in range(len(paths))) / people
    assert add_all(paths, spec=spec).mean(spec.tensors[0]).tolist() == [round(exact), round(10 * exact), -round(exact)]


def test_most_trusts_with_most_people_at_the_clip_do_not_overflow(tmp_path):
    for clip in (2.0**20, 1.0, 2.0**-10, 0.75 * 2**20):
        plan = Plan(rounds=1, clip_norm=clip)
        spec = TensorSpec(
            tensors=(Tensor(name="w", shape=(1,), dtype="float64"), Tensor(name="n", shape=(1,), dtype="int64"))
        )
        path, _ = encode(
            tmp_path / f"{clip}", {"w": [-9.0 * clip], "n": [MAX_INTEGER_CLIP]}, MAX_WEIGHT, spec=spec, plan=plan
        )
        total = add_all([path] * MAX_TRUSTS, spec=spec, plan=plan)
        assert total.mean(spec.tensors[0])[0] == pytest.approx(-clip, rel=1e-9)
        assert total.mean(spec.tensors[1])[0] == MAX_INTEGER_CLIP
        with pytest.raises(FlipError, match="64 Trusts"):
            total.add(path, "one more")


@QUICK
@given(scale=st.floats(1e-6, 1e30), clip=st.floats(1e-3, 1e5))
def test_clipping_is_exact_and_over_all_float_tensors(tmp_path, scale, clip):
    plan = Plan(rounds=1, clip_norm=clip)
    spec = TensorSpec(
        tensors=(
            Tensor(name="a", shape=(3,), dtype="float32"),
            Tensor(name="b", shape=(2,), dtype="float64"),
            Tensor(name="n", shape=(1,), dtype="int64"),
        )
    )
    change = {"a": np.float32([1, -2, 3]) * np.float32(scale), "b": np.array([4.0, -5.0]) * scale, "n": [1000]}
    path, encoded = encode(tmp_path / "u", change, 3, spec=spec, plan=plan)
    norm = math.sqrt(sum(float(x) ** 2 for name in "ab" for x in change[name]))
    assert encoded.clip_factor == pytest.approx(min(1.0, clip / norm), rel=1e-12)
    total = add_all([path], spec=spec, plan=plan)
    means = [total.mean(tensor) for tensor in spec.tensors]
    kept = math.sqrt(sum(float(x) ** 2 for mean in means[:2] for x in mean))
    assert kept == pytest.approx(min(norm, clip), rel=1e-6, abs=5 * 2.0**-plan.fraction_bits)
    assert means[2][0] == 1000


def test_a_change_below_the_clip_is_not_scaled(tmp_path):
    spec = TensorSpec(tensors=(Tensor(name="w", shape=(2,), dtype="float32"),))
    plan = Plan(rounds=1, clip_norm=5.0)
    assert encode(tmp_path / "u", {"w": [3.0, 4.0]}, spec=spec, plan=plan)[1].clip_factor == 1.0


@pytest.mark.parametrize("tensor", ["layer.weight", "layer.bias", "half", "double", "scale"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_refused_by_name_and_leave_no_file(tmp_path, tensor, bad):
    changes = drawn(SPEC, 1)
    changes[tensor] = np.full(np.shape(changes[tensor]), bad)
    with pytest.raises(FlipError, match=tensor) as caught:
        encode(tmp_path / "u", changes)
    assert caught.value.code == "not-finite"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("values", [[1e200, 1.0], [1.2e154, 1.2e154]])
def test_a_norm_beyond_float64_is_refused(tmp_path, values):
    spec = TensorSpec(tensors=(Tensor(name="w", shape=(2,), dtype="float64"),))
    with pytest.raises(FlipError) as caught:
        encode(tmp_path / "u", {"w": values}, spec=spec)
    assert caught.value.code == "not-finite"


@pytest.mark.parametrize("clip", [0, 5000, MAX_INTEGER_CLIP])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64"])
def test_an_integer_changes_by_no_more_than_the_plan_and_its_dtype_allow(tmp_path, dtype, clip):
    spec = TensorSpec(tensors=(Tensor(name="n", shape=(2,), dtype=dtype),))
    plan = Plan(rounds=1, clip_norm=1e-3, integer_clip=clip)
    most = min(clip, {"bool": 1, "uint8": 255, "int8": 255, "int16": 65535}.get(dtype, clip))
    path, _ = encode(tmp_path / "u", {"n": [most, -most]}, spec=spec, plan=plan)
    assert add_all([path], spec=spec, plan=plan).mean(spec.tensors[0]).tolist() == [most, -most]
    for difference in (most + 1, -most - 1, 2**36, 2**63 - 1, -(2**63)):
        with pytest.raises(FlipError, match="'n'") as caught:
            encode(tmp_path / "more", {"n": np.array([0, difference], "i8")}, spec=spec, plan=plan)
        assert caught.value.code == "integer-change-too-large"
        assert "integer_clip" in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ["u"]


@pytest.mark.parametrize(("people", "counted"), [(3, 3), (500, 500), (501, 500), (3_000_000, 500)])
def test_a_trust_counts_with_no_more_people_than_the_plan_allows(tmp_path, people, counted):
    plan = Plan(rounds=1, clip_norm=1000.0, weight_cap=500)
    path, _ = encode(tmp_path / "u", drawn(SPEC, 1), people, plan=plan, test=people)
    arrays = load_file(path)
    assert [int(arrays[f"people/{part}"][0]) for part in ("train", "validation", "test")] == [counted, 0, counted]
    assert int(arrays["metric/loss"][0]) == 5000 * counted
    total = add_all([path], plan=plan)
    assert (total.weight, total.metrics()) == (counted, {"loss": 0.5, "accuracy": 0.75})


@QUICK
@given(
    st.lists(
        st.tuples(st.integers(-MAX_INTEGER_CLIP, MAX_INTEGER_CLIP), st.integers(1, MAX_WEIGHT)), min_size=1, max_size=8
    )
)
def test_integers_are_the_exact_mean_rounded_half_to_even(tmp_path, terms):
    spec = TensorSpec(tensors=(Tensor(name="n", shape=(1,), dtype="int64"),))
    paths = [encode(tmp_path / str(i), {"n": [d]}, w, spec=spec)[0] for i, (d, w) in enumerate(terms)]
    exact = Fraction(sum(d * w for d, w in terms), sum(w for _, w in terms))
    assert int(add_all(paths, spec=spec).mean(spec.tensors[0])[0]) == round(exact)


@pytest.mark.parametrize(
    ("dtype", "weights", "change", "expected"),
    [
        ("bool", [True, False, True], [-1, 1, 1], [False, True, True]),
        ("uint8", [250, 3, 7], [10, -5, 1], [255, 0, 8]),
        ("int64", [2**62, 5, -(2**63)], [1, -6, -1], [2**62 + 1, -1, -(2**63)]),
        ("int64", [2**63 - 1, 0, 0], [1, 0, 0], [2**63 - 1, 0, 0]),
    ],
)
def test_integer_buffers_stay_in_their_dtype(dtype, weights, change, expected):
    tensor = Tensor(name="n", shape=(3,), dtype=dtype)
    array = cast(tensor, moved(tensor, np.array(weights, dtype), np.array(change, np.int64)))
    assert array.dtype == np.dtype(dtype)
    assert array.tolist() == expected


def test_metrics_are_averages_over_the_people_of_their_part(tmp_path):
    a, _ = encode(tmp_path / "a", None, 10, loss=1.0, accuracy=0.5, test=1)
    b, _ = encode(tmp_path / "b", None, 30, loss=2.0, accuracy=1.0, test=3)
    assert add_all([a, b], training=False).metrics() == {"loss": 1.75, "accuracy": 0.88}
    c, _ = encode(tmp_path / "c", None, 10, test=0)
    assert add_all([c], training=False).metrics() == {"loss": 0.5}


NARROW = Plan(rounds=1, clip_norm=2.0**-10, weight_cap=500)


def hostile(change):
    """An honest file, changed, written again in the layout that all of them have."""

    def make(directory):
        arrays = load_file(encode(directory / "honest", drawn(SPEC, 3), plan=NARROW)[0])
        change(arrays)
        entries = library_order([(name, array.shape, str(array.dtype)) for name, array in arrays.items()])
        with SafetensorsWriter(directory / "hostile", entries) as file:
            for name, _, _ in entries:
                file.add([np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8)])
        return directory / "hostile"

    return make


def put(name, value):
    return hostile(lambda arrays: arrays.__setitem__(name, np.asarray(value)))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (put("update/layer.weight", np.full((3, 2), 2**31 - 1, "i4")), "layer.weight"),
        (put("update/layer.weight", np.full((3, 2), -(2**31), "i4")), "layer.weight"),
        (put("update/double", np.full(2, -(2**63))), "double"),
        (put("update/seen", np.int64(2**36)), "seen"),
        (put("update/seen", np.int64(2**20 + 1)), "seen"),
        (put("update/bytes", np.array([0, 256, 0])), "bytes"),
        (put("update/mask", np.array([0, 0, -2])), "mask"),
        (put("shift", np.array([8, 0, 0, 0, 0, 0, 0, 0, 0], "u1")), "shift at 'layer.weight'"),
        (put("shift", np.array([0, 0, 0, 1, 0, 0, 0, 0, 0], "u1")), "shift at 'double'"),
        (put("shift", np.array([0, 0, 0, 0, 0, 0, 1, 0, 0], "u1")), "shift at 'seen'"),
        (put("update/layer.weight", np.zeros((2, 3), "i4")), "layout"),
        (put("update/layer.weight", np.zeros((3, 2), "f4")), "layout"),
        (put("update/other", np.zeros(1, "i8")), "layout"),
        (hostile(lambda arrays: arrays.pop("update/empty")), "layout"),
        (put("metric/loss", np.array([10**5 * 10 + 1])), "loss"),
        (put("metric/accuracy", np.array([-1])), "accuracy"),
        (put("people/train", np.array([2**20])), "people"),
        (put("people/train", np.array([501])), "people"),
        (put("people/test", np.array([501])), "people"),
        (put("people/train", np.array([0])), "people"),
        (put("people/test", np.array([-1])), "people"),
    ],
)
def test_a_hostile_file_is_refused_by_name_and_changes_nothing(tmp_path, make, says):
    total = add_all([encode(tmp_path / "good", drawn(SPEC, 1), plan=NARROW)[0]], plan=NARROW)
    before = [total.mean(tensor).tobytes() for tensor in SPEC.tensors]
    with pytest.raises(FlipError, match=says) as caught:
        total.add(make(tmp_path), "mallory")
    assert caught.value.code == "wrong-update"
    assert "mallory" in str(caught.value)
    assert [total.mean(tensor).tobytes() for tensor in SPEC.tensors] == before
    assert (total.trusts, total.weight) == (1, 10)


def test_a_file_that_is_cut_off_or_longer_is_refused(tmp_path):
    path, _ = encode(tmp_path / "honest", drawn(SPEC, 1))
    for content in (path.read_bytes()[:-1], path.read_bytes() + b"\0"):
        (tmp_path / "other").write_bytes(content)
        with pytest.raises(FlipError, match="layout"):
            add_all([]).add(tmp_path / "other", "mallory")


@pytest.mark.parametrize("content", [b"", b"{}", struct.pack("<Q", 2**60) + b"{}", b"\x80\x04}q." * 20])
def test_a_file_that_is_no_safetensors_is_refused(tmp_path, content):
    path = tmp_path / "junk"
    path.write_bytes(content)
    with pytest.raises(FlipError, match="mallory"):
        add_all([]).add(path, "mallory")


@QUICK
@given(st.integers(0, 2**32 - 1))
def test_weights_have_the_bytes_of_the_library_and_come_back(tmp_path, seed):
    random = np.random.default_rng(seed)
    arrays = {
        t.name: random.integers(0, 2, t.shape).astype(numpy_dtype(t.dtype))
        if t.update_dtype == "int64"
        else random.normal(size=t.shape).astype(numpy_dtype(t.dtype))
        for t in SPEC.tensors
    }
    path = tmp_path / "w"
    digest, size = write_weights(path, SPEC, arrays)
    assert path.read_bytes() == save({name: np.asarray(array) for name, array in arrays.items()})
    assert size == path.stat().st_size
    back = WeightsFile(path, SPEC, "The weights")
    assert write_weights(tmp_path / "again", SPEC, back)[0] == digest
    assert all(back[t.name].dtype == numpy_dtype(t.dtype) and back[t.name].shape == t.shape for t in SPEC.tensors)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_an_aggregate_beyond_the_declared_dtype_is_refused(dtype):
    tensor = Tensor(name="w", shape=(1,), dtype=dtype)
    with pytest.raises(FlipError, match="'w'"):
        cast(tensor, np.array([1e300]))


def test_weights_of_another_model_are_refused(tmp_path):
    one = TensorSpec(tensors=(Tensor(name="w", shape=(2,), dtype="float32"),))
    write_weights(tmp_path / "w", one, {"w": np.zeros(2, np.float32)})
    for tensor in (("w", (3,), "float32"), ("w", (2,), "float64"), ("v", (2,), "float32")):
        other = TensorSpec(tensors=(Tensor(name=tensor[0], shape=tensor[1], dtype=tensor[2]),))
        with pytest.raises(FlipError) as caught:
            WeightsFile(tmp_path / "w", other, "The weights")
        assert caught.value.code == "wrong-weights"


def test_bfloat16_travels_as_declared(tmp_path):
    spec = TensorSpec(tensors=(Tensor(name="w", shape=(2,), dtype="bfloat16"),))
    write_weights(tmp_path / "w", spec, {"w": np.array([1.0, -2.5], ml_dtypes.bfloat16)})
    with safe_open(tmp_path / "w", framework="numpy") as file:
        assert file.get_slice("w").get_dtype() == "BF16"


def test_an_enclave_that_imports_the_encoding_gets_neither_flower_nor_torch():
    code = "import sys, flipnb.federation.encoding; print({'flwr', 'torch', 'httpx'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"


def test_a_change_whose_elements_fit_but_which_is_beyond_the_clip_together_is_refused(tmp_path):
    """Enclaves would refuse what it makes of the weights, and one Trust could end each run."""
    wide, clip = Plan(rounds=1, clip_norm=8.0), Plan(rounds=1, clip_norm=5.0)
    assert wide.fraction_bits == clip.fraction_bits
    changes = drawn(SPEC, 1)
    norm = math.sqrt(sum(float(np.sum(changes[t.name] ** 2)) for t in SPEC.tensors if t.update_dtype != "int64"))
    for size, fits in ((4.999, True), (5.001, False)):
        scaled = {t.name: changes[t.name] * (size / norm if t.update_dtype != "int64" else 1) for t in SPEC.tensors}
        path, _ = encode(tmp_path / f"{size}", scaled, plan=wide)
        if fits:
            add_all([path], plan=clip)
        else:
            with pytest.raises(FlipError, match=r"The update of trust-0 exceeds the clip\."):
                add_all([path], plan=clip)
