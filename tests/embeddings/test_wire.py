"""The form of embeddings outside: what is read back is what was written; all else is refused."""

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

SHAPE = (4, 6)


def embeddings(seed: int = 0) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


def as_uri(data: bytes) -> str:
    return URI_START + base64.b64encode(data).decode()


@pytest.mark.parametrize("dtype", DTYPES)
def test_safetensors_come_back_bit_for_bit(dtype: torch.dtype) -> None:
    sent = embeddings().to(dtype)
    received = from_uri(to_uri(to_base64(sent)), SHAPE)
    assert received.dtype == dtype
    assert torch.equal(received, sent)


def test_numbers_come_back_bit_for_bit() -> None:
    numbers = json.loads(numbers_json(embeddings()))
    assert torch.equal(from_uri(to_uri(numbers), SHAPE), embeddings())


def test_an_address_is_recognised_whatever_its_case() -> None:
    assert is_embeddings_uri(URI_START.upper() + "AAAA")
    assert not is_embeddings_uri("data:image/png;base64,AAAA")
    assert not is_embeddings_uri("http://example.com/" + URI_START)


def torch_file() -> bytes:
    buffer = io.BytesIO()
    torch.save(embeddings(), buffer)
    return buffer.getvalue()


class Exploding:
    """A pickle that would run code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a pickle was read",))


def with_header(header: object, numbers: bytes = bytes(96)) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + numbers


def described(dtype: str = "F32", shape: object = SHAPE, offsets: object = (0, 96)) -> object:
    return {TENSOR: {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


WITH_NAN = embeddings().index_fill(0, torch.tensor([1]), math.nan)
WITH_INFINITY = embeddings().index_fill(0, torch.tensor([1]), -math.inf)
FILES = {
    "a torch file": torch_file(),
    "a pickle": pickle.dumps(Exploding()),
    "a numpy file": embeddings().numpy().tobytes(),
    "empty": b"",
    "a header that is longer than the file": struct.pack("<Q", 1 << 60) + b"{}",
    "a header that is no JSON": struct.pack("<Q", 4) + b"\xff\xff\xff\xff",
    "a header that is a list": with_header([]),
    "no tensor": save({}),
    "another name": save({"x": embeddings()}),
    "two tensors": save({TENSOR: embeddings(), "x": embeddings(1)}),
    "a row too few": save({TENSOR: embeddings()[1:]}),
    "turned": save({TENSOR: embeddings().T.contiguous()}),
    "a dimension too many": save({TENSOR: embeddings()[None]}),
    "flat": save({TENSOR: embeddings().flatten()}),
    "whole numbers": save({TENSOR: torch.ones(SHAPE, dtype=torch.int32)}),
    "double precision": save({TENSOR: embeddings().double()}),
    "eight bits": with_header(described("F8_E4M3", SHAPE, (0, 24)), bytes(24)),
    "a dtype that torch lacks": with_header(described("F8_E8M0", SHAPE, (0, 24)), bytes(24)),
    "a dtype that nobody knows": with_header(described("F33")),
    "offsets beyond the file": with_header(described(offsets=(0, 1 << 40))),
    "offsets that go back": with_header(described(offsets=(96, 0))),
    "a negative size": with_header(described(shape=(-4, -6))),
    "sizes that overflow": with_header(described(shape=(1 << 62, 1 << 62))),
    "not a number": save({TENSOR: WITH_NAN}),
    "infinite": save({TENSOR: WITH_INFINITY}),
    "beyond what a cache may hold": save({TENSOR: torch.full(SHAPE, 2 * LARGEST)}),
    "far too long": save({TENSOR: torch.zeros(4096, 6)}),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_refused(name: str) -> None:
    with pytest.raises(ImageEmbeddingsError):
        from_uri(as_uri(FILES[name]), SHAPE)


NUMBERS: dict[str, Any] = {
    "nothing": None,
    "an empty text": "",
    "a list": [1.0],
    "no shape": {"data": [1.0] * 24},
    "one more field": {"shape": [4, 6], "data": [1.0] * 24, "dtype": "x"},
    "too few": {"shape": [4, 6], "data": [1.0] * 23},
    "nested": {"shape": [4, 6], "data": [[1.0] * 6] * 4},
    "texts": {"shape": [4, 6], "data": ["1.0"] * 24},
    "a text": {"shape": [4, 6], "data": "1.0"},
    "not a number": {"shape": [4, 6], "data": [math.nan] * 24},
    "infinite": {"shape": [4, 6], "data": [math.inf] * 24},
    "beyond any float": {"shape": [4, 6], "data": [10**400] * 24},
    "an open size": {"shape": [4, -1], "data": [1.0] * 24},
    "an infinite size": {"shape": [4, math.inf], "data": [1.0] * 24},
    "three sizes": {"shape": [4, 3, 2], "data": [1.0] * 24},
    "another shape": {"shape": [6, 4], "data": [1.0] * 24},
    "no base64": "@@@@",
    "base64 with letters of its own": "ÄÖÜ",
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_parts_value_is_refused(name: str) -> None:
    with pytest.raises(ImageEmbeddingsError):
        from_uri(to_uri(NUMBERS[name]), SHAPE)


def test_mutated_files_are_read_exactly_or_refused() -> None:
    """2,000 damaged files: the only error is ours, and what passes is finite and of the shape."""
    generator = random.Random("mutated safetensors")
    original = save({TENSOR: embeddings()})
    refused = 0
    for _ in range(2000):
        data = bytearray(original)
        for _ in range(generator.randint(1, 6)):
            data[generator.randrange(len(data))] = generator.randrange(256)
        if generator.random() < 0.2:
            del data[generator.randrange(len(data)) :]
        try:
            received = from_uri(as_uri(bytes(data)), SHAPE)
        except ImageEmbeddingsError:
            refused += 1
        else:
            assert received.shape == SHAPE
            assert torch.isfinite(received).all()
    assert 500 < refused < 2000, "the mutations must reach the reader's limits, and pass sometimes"


def test_a_digest_tells_embeddings_dtypes_and_tenants_apart() -> None:
    digests = {
        embeddings_digest(embeddings()),
        embeddings_digest(embeddings(1)),
        embeddings_digest(embeddings().half()),
        embeddings_digest(embeddings().bfloat16()),
        embeddings_digest(embeddings(), "alice"),
    }
    assert len(digests) == 5
    assert embeddings_digest(embeddings()) == embeddings_digest(embeddings().clone())
    assert all(np.frombuffer(bytes.fromhex(digest), np.uint8).size == 32 for digest in digests)
