import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convscope.errors import StoreError
from convscope.results import Trust
from convscope.store import load, save
from convscope.store.encode import decode, encode


def same(one, other):
    """Equal in type and in every bit, all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and raw(one) == raw(other)
    if dataclasses.is_dataclass(one):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)  # of a float: every bit but the payload of NaN


def raw(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


@pytest.mark.parametrize("kind", ["attribution", "explanation"])
def test_a_result_comes_back_bit_for_bit(tmp_path, kind, request):
    result = request.getfixturevalue(kind)
    assert save(result, tmp_path / "run") == tmp_path / "run"
    assert same(load(tmp_path / "run"), result)


def test_optional_tensors_come_back(tmp_path, attribution):
    result = dataclasses.replace(attribution, cells=torch.rand(2, 1, 2, 2), layers=("layer4",))
    save(result, tmp_path / "run")
    assert same(load(tmp_path / "run"), result)


def test_the_files_can_be_read_by_anyone(tmp_path, explanation):
    save(explanation, tmp_path / "run", files={"page.html": b"<p>", "page.png": b"\x89PNG"})
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["schema_version"] == 1
    assert manifest["kind"] == "explanation"
    assert manifest["result"]["answers"][0][0]["name"] == "tabby"
    assert manifest["result"]["provenance"]["options"]["σ"] == 0.15
    assert manifest["files"]["page.html"]["bytes"] == 3
    with np.load(tmp_path / "run" / "arrays.npz", allow_pickle=False) as arrays:
        assert "attributions.0.values" in arrays
        assert "attributions.1.facts.curve" in arrays
        assert arrays["images"].tobytes() == explanation.images.numpy().tobytes()
    assert (tmp_path / "run" / "page.png").read_bytes() == b"\x89PNG"


def test_the_same_result_gives_the_same_bytes(tmp_path, attribution):
    one, other = (save(attribution, tmp_path / name) for name in ("one", "other"))
    for name in ("manifest.json", "arrays.npz"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_the_result_is_left_alone(tmp_path, attribution):
    watched = dataclasses.replace(attribution, values=attribution.values.clone().requires_grad_())
    before = raw(watched.values.detach())
    save(watched, tmp_path / "run")
    assert watched.values.requires_grad
    assert raw(watched.values.detach()) == before


scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
keys = st.text(max_size=4).filter(lambda key: not key.startswith("$"))
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.lists(inner, max_size=3).map(tuple), st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(value=trees)
def test_any_tree_of_plain_values_survives_json(value):
    assert same(decode(json.loads(json.dumps(encode(value, Any, {}), allow_nan=False)), Any, {}), value)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.rand(3, 4).T,
        torch.tensor(2.5),
        torch.zeros(0, 3),
        torch.rand(5).bfloat16(),
        torch.rand(5).half(),
        torch.arange(4),
        torch.tensor([True, False]),
        torch.tensor([0x7FC00001, -1, 0x7F800001], dtype=torch.int32).view(torch.float32),
    ],
    ids=["strided", "scalar", "empty", "bfloat16", "half", "int64", "bool", "nan payloads"],
)
def test_tensors_of_any_type_survive(tmp_path, attribution, tensor):
    save(dataclasses.replace(attribution, facts={"file": tensor}), tmp_path / "run")
    assert same(load(tmp_path / "run").facts["file"], tensor)


@pytest.mark.parametrize(
    ("facts", "pattern"),
    [
        ({"a": np.float32(1)}, r"'facts\.a' holds a float32, which cannot be stored exactly\. Use numbers,"),
        ({"a": {"b": [object()]}}, r"'facts\.a\.b\.0' holds a object, which cannot"),
        ({"a": Trust(None, 0.1, None)}, r"'facts\.a' holds a Trust, which cannot be stored exactly"),
        ({"$x": 1}, r"'facts' has the key '\$x'; keys are strings that do not start with '\$'"),
        ({"a": {3: 1}}, r"'facts\.a' has the key 3; keys are strings"),
        ({"a.b": torch.zeros(1), "a": {"b": torch.zeros(1)}}, r"two tensors share the path 'facts\.a\.b'"),
    ],
)
def test_what_cannot_come_back_the_same_is_refused_and_nothing_is_written(tmp_path, attribution, facts, pattern):
    with pytest.raises(StoreError, match=rf"^cannot store the attribution: {pattern}"):
        save(dataclasses.replace(attribution, facts=facts), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
