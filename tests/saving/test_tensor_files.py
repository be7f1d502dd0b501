"""The safetensors format: the safetensors package and PyTorch as oracles, and malformed headers."""

import io
import json

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as arrays_of

from nacre.core.errors import ArgumentError, FileFormatError
from nacre.saving.tensors import TensorReader, tensors_size, write_tensors

PLAIN_TYPES = "bool int8 uint8 int16 uint16 int32 uint32 int64 uint64 float16 float32 float64"


def written(arrays, metadata=None):
    file = io.BytesIO()
    write_tensors(file, arrays, metadata)
    return file.getvalue()


def read(content):
    return TensorReader(io.BytesIO(content), len(content), "The file").read()


def with_header(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=20).filter(lambda name: name != "__metadata__"),
        st.sampled_from(PLAIN_TYPES.split()).flatmap(
            lambda dtype: arrays_of.arrays(
                dtype, arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
            )
        ),
        max_size=5,
    )
)
@settings(max_examples=50, deadline=None)
def test_what_is_written_is_read_by_the_package_and_by_us(arrays):
    content = written(arrays)
    assert len(content) == tensors_size(arrays)
    for found in (safetensors.numpy.load(content), read(content)):
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            assert found[name].dtype == array.dtype
            assert found[name].shape == array.shape
            assert found[name].tobytes() == array.tobytes()  # whatever the bits of a NaN


def test_files_of_the_package_are_read():
    arrays = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.array([True, False])}
    found = read(safetensors.numpy.save(arrays, metadata={"format": "np"}))
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


def test_bfloat16_agrees_with_pytorch_both_ways():
    values = [0.1, -3.0, 1e30]
    tensor = torch.tensor(values, dtype=torch.bfloat16)
    array = np.asarray(jnp.array(values, jnp.bfloat16))
    content = written({"w": array, "x": np.ones(2, np.float32)})
    assert torch.equal(safetensors.torch.load(content)["w"], tensor)
    found = read(safetensors.torch.save({"w": tensor}))["w"]
    assert found.dtype == jnp.bfloat16
    np.testing.assert_array_equal(found.astype(np.float32), array.astype(np.float32))


def test_arrays_in_other_memory_orders_are_written_by_their_values():
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    found = read(written({"t": array.T, "s": array[::2, 1::2]}))
    np.testing.assert_array_equal(found["t"], array.T)
    np.testing.assert_array_equal(found["s"], array[::2, 1::2])


def test_every_array_is_aligned_to_its_type():
    arrays = {"a": np.zeros(3, np.int8), "b": np.zeros(2, np.float32), "c": np.zeros(1, np.float16)}
    content = written(arrays)
    start = 8 + int.from_bytes(content[:8], "little")
    for info in TensorReader(io.BytesIO(content), len(content), "The file").infos.values():
        assert (start + info.start) % info.dtype.itemsize == 0


def test_an_array_of_another_type_cannot_be_written():
    with pytest.raises(ArgumentError, match="'w' cannot be written"):
        written({"w": np.array(["text"])})


FLOATS = np.zeros(4, np.float32).tobytes()
EMPTY = {"data_offsets": [0, 0]}
ENTRY = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "truncated"),
        (b"\x01\0\0", "truncated"),
        ((10**6).to_bytes(8, "little") + b"{}", "truncated"),
        ((2**63).to_bytes(8, "little"), "truncated"),
        (with_header(b"[]"), "not a dictionary"),
        (with_header(b"{"), "not valid JSON"),
        (with_header(b"\xff\xfe"), "not valid JSON"),
        (with_header(b'{"a": NaN}'), "NaN"),
        (with_header(b"[" * 200_000), "nested too deeply"),
        (with_header(b"[" * 2_000_000), "more parts than any model"),
        (with_header(b'{"a": ' + b"9" * 5000 + b"}"), "not valid JSON"),
        (with_header(b'{"a": {"b": 1, "b": 2}}'), "two entries named 'b'"),
        (with_header({"__metadata__": 3}), "remarks"),
        (with_header({"a": 3}), "does not say where 'a' is"),
        (with_header({"a": {**ENTRY, "more": 1}}, FLOATS), "does not say where"),
        (with_header({"a": {**ENTRY, "dtype": "F31"}}, FLOATS), "unknown data type for 'a'"),
        (with_header({"a": {**ENTRY, "dtype": ["F32"]}}, FLOATS), "unknown data type"),
        (with_header({"a": {**ENTRY, "shape": [-4]}}, FLOATS), "impossible shape"),
        (with_header({"a": {**ENTRY, "shape": [4.0]}}, FLOATS), "impossible shape"),
        (with_header({"a": {**ENTRY, "shape": [True, 4]}}, FLOATS), "impossible shape"),
        (with_header({"a": {**ENTRY, "shape": "4"}}, FLOATS), "impossible shape"),
        (with_header({"a": {**ENTRY, "shape": [1] * 70 + [4]}}, FLOATS), "impossible shape"),
        (with_header({"a": {**ENTRY, "shape": [10**30]}}, FLOATS), "impossible shape"),
        (with_header({"a": {**ENTRY, "shape": [2**40, 2**40]}}, FLOATS), "gives it 16 bytes"),
        (with_header({"a": {**ENTRY, "shape": [5]}}, FLOATS), "gives it 16 bytes"),
        (with_header({"a": {**ENTRY, "data_offsets": [0, 16, 16]}}, FLOATS), "impossible place"),
        (with_header({"a": {**ENTRY, "data_offsets": [-16, 0]}}, FLOATS), "impossible place"),
        (with_header({"a": {**ENTRY, "data_offsets": [16, 0]}}, FLOATS), "gives it -16 bytes"),
        (with_header({"a": {**ENTRY, "data_offsets": [16, 32]}}, FLOATS * 2), "gap or an overlap"),
        (with_header({"a": ENTRY, "b": ENTRY}, FLOATS), "gap or an overlap before 'b'"),
        (with_header({"a": ENTRY}, FLOATS + b"more"), "declares 16 bytes of arrays and has 20"),
        (with_header({"a": ENTRY}, FLOATS[:-1]), "declares 16 bytes of arrays and has 15"),
        (with_header({"n" * 5000: ENTRY}, FLOATS), "name of 5000 characters"),
        (
            with_header({"a": {"dtype": "BOOL", "shape": [1], "data_offsets": [0, 1]}}, b"\x02"),
            "other bytes than 0 and 1",
        ),
        (
            with_header(
                {"a": {"dtype": "F32", "shape": [0] + [2**48] * 9, "data_offsets": [0, 0]}}
            ),
            "impossible shape",
        ),
    ],
)
def test_malformed_files_are_refused(content, message):
    with pytest.raises(FileFormatError, match=message):
        read(content)
