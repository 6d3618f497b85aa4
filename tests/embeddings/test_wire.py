"""The wire format: valid embeddings are read exactly, and everything else is refused."""

import base64
import io
import json
import math
import pickle
import random
import struct
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from service.embeddings.wire import (
    DTYPES,
    LARGEST,
    TENSOR,
    URI_START,
    embeddings_digest,
    from_uri,
    is_embeddings_uri,
    numbers_json,
    to_base64,
    to_uri,
)
from service.errors import ImageEmbeddingsError
from tests.mutations import mutate

SHAPE = (4, 6)


def make_embeddings(seed: int = 0) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


def make_uri(data: bytes) -> str:
    return URI_START + base64.b64encode(data).decode()


@pytest.mark.parametrize("dtype", DTYPES)
def test_safetensors_are_equal_bit_for_bit(dtype: torch.dtype) -> None:
    sent = make_embeddings().to(dtype)
    received = from_uri(to_uri(to_base64(sent)), SHAPE)
    assert received.dtype == dtype
    assert torch.equal(received, sent)


def test_numbers_are_equal_bit_for_bit() -> None:
    numbers = json.loads(numbers_json(make_embeddings()))
    assert torch.equal(from_uri(to_uri(numbers), SHAPE), make_embeddings())


def test_an_embeddings_url_may_have_any_case() -> None:
    assert is_embeddings_uri(URI_START.upper() + "AAAA")
    assert not is_embeddings_uri("data:image/png;base64,AAAA")
    assert not is_embeddings_uri("http://example.com/" + URI_START)


def make_torch_file() -> bytes:
    buffer = io.BytesIO()
    torch.save(make_embeddings(), buffer)
    return buffer.getvalue()


class Exploding:
    """A pickle that would execute code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a pickle was read",))


def make_file(header: object, numbers: bytes = bytes(96)) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + numbers


def make_header(dtype: str = "F32", shape: object = SHAPE, offsets: object = (0, 96)) -> object:
    return {TENSOR: {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


WITH_NAN = make_embeddings().index_fill(0, torch.tensor([1]), math.nan)
WITH_INFINITY = make_embeddings().index_fill(0, torch.tensor([1]), -math.inf)
FILES = {
    "a torch file": make_torch_file(),
    "a pickle": pickle.dumps(Exploding()),
    "a numpy file": make_embeddings().numpy().tobytes(),
    "empty": b"",
    "a header that is longer than the file": struct.pack("<Q", 1 << 60) + b"{}",
    "a header that is not JSON": struct.pack("<Q", 4) + b"\xff\xff\xff\xff",
    "a header that is a list": make_file([]),
    "no tensor": save({}),
    "another name": save({"x": make_embeddings()}),
    "two tensors": save({TENSOR: make_embeddings(), "x": make_embeddings(1)}),
    "a missing row": save({TENSOR: make_embeddings()[1:]}),
    "transposed": save({TENSOR: make_embeddings().T.contiguous()}),
    "an extra dimension": save({TENSOR: make_embeddings()[None]}),
    "flat": save({TENSOR: make_embeddings().flatten()}),
    "integers": save({TENSOR: torch.ones(SHAPE, dtype=torch.int32)}),
    "double precision": save({TENSOR: make_embeddings().double()}),
    "float8": make_file(make_header("F8_E4M3", SHAPE, (0, 24)), bytes(24)),
    "a dtype that torch lacks": make_file(make_header("F8_E8M0", SHAPE, (0, 24)), bytes(24)),
    "an unknown dtype": make_file(make_header("F33")),
    "offsets beyond the file": make_file(make_header(offsets=(0, 1 << 40))),
    "offsets in the wrong order": make_file(make_header(offsets=(96, 0))),
    "a negative size": make_file(make_header(shape=(-4, -6))),
    "sizes that overflow": make_file(make_header(shape=(1 << 62, 1 << 62))),
    "not a number": save({TENSOR: WITH_NAN}),
    "infinite": save({TENSOR: WITH_INFINITY}),
    "too large a magnitude": save({TENSOR: torch.full(SHAPE, 2 * LARGEST)}),
    "far too many rows": save({TENSOR: torch.zeros(4096, 6)}),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_refused(name: str) -> None:
    with pytest.raises(ImageEmbeddingsError):
        from_uri(make_uri(FILES[name]), SHAPE)


NUMBERS: dict[str, Any] = {
    "nothing": None,
    "an empty text": "",
    "a list": [1.0],
    "no shape": {"data": [1.0] * 24},
    "an extra field": {"shape": [4, 6], "data": [1.0] * 24, "dtype": "x"},
    "too few": {"shape": [4, 6], "data": [1.0] * 23},
    "nested": {"shape": [4, 6], "data": [[1.0] * 6] * 4},
    "texts": {"shape": [4, 6], "data": ["1.0"] * 24},
    "a text": {"shape": [4, 6], "data": "1.0"},
    "not a number": {"shape": [4, 6], "data": [math.nan] * 24},
    "infinite": {"shape": [4, 6], "data": [math.inf] * 24},
    "beyond any float": {"shape": [4, 6], "data": [10**400] * 24},
    "a negative size": {"shape": [4, -1], "data": [1.0] * 24},
    "an infinite size": {"shape": [4, math.inf], "data": [1.0] * 24},
    "three sizes": {"shape": [4, 3, 2], "data": [1.0] * 24},
    "another shape": {"shape": [6, 4], "data": [1.0] * 24},
    "not base64": "@@@@",
    "base64 with other letters": "ÄÖÜ",
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_value_is_refused(name: str) -> None:
    with pytest.raises(ImageEmbeddingsError):
        from_uri(to_uri(NUMBERS[name]), SHAPE)


def test_mutated_files_are_read_exactly_or_refused() -> None:
    """Each of 2,000 damaged files is refused with our error or gives finite values."""
    generator = random.Random("mutated safetensors")
    original = save({TENSOR: make_embeddings()})
    refused = 0
    for _ in range(2000):
        data = mutate(generator, original, changes=6, cut_share=0.2)
        try:
            received = from_uri(make_uri(data), SHAPE)
        except ImageEmbeddingsError:
            refused += 1
        else:
            assert received.shape == SHAPE
            assert torch.isfinite(received).all()
    assert 500 < refused < 2000, "some mutated files must be refused, and some must be accepted"


def test_digests_differ_by_embeddings_dtype_and_salt() -> None:
    digests = {
        embeddings_digest(make_embeddings()),
        embeddings_digest(make_embeddings(1)),
        embeddings_digest(make_embeddings().half()),
        embeddings_digest(make_embeddings().bfloat16()),
        embeddings_digest(make_embeddings(), "alice"),
    }
    assert len(digests) == 5
    assert embeddings_digest(make_embeddings()) == embeddings_digest(make_embeddings().clone())
    assert all(np.frombuffer(bytes.fromhex(digest), np.uint8).size == 32 for digest in digests)
