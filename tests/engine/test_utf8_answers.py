"""No answer that a grammar allows is ill-formed UTF-8, whatever bytes the model prefers."""

import json
from itertools import pairwise
from typing import Any

import pytest
import vllm.envs
from vllm.exceptions import VLLMValidationError
from vllm.sampling_params import SamplingParams, StructuredOutputsParams
from vllm.v1.structured_output import backend_xgrammar

from service.engine.utf8_answers import find_ill_formed_pairs, forbid_pairs

xgrammar: Any = backend_xgrammar.xgr  # type: ignore[attr-defined] # the version that vLLM brings
Matcher = Any
CONTINUATION = range(0x80, 0xC0)
SCHEMAS: list[dict[str, Any]] = [
    {"type": "string"},
    {"type": "string", "maxLength": 8},
    {"type": "string", "minLength": 1, "maxLength": 8},
    {"type": "string", "pattern": "^.*$"},
    {"type": "string", "pattern": "^[^a]{1,8}$"},
    {"type": "string", "pattern": r"^\W+$"},
    {"type": "string", "pattern": "^[\u00a1-\U0010ffff]+$"},
    {},
]
# The Unicode Standard, table 3-7: the ranges of the bytes of a well-formed character.
WELL_FORMED: list[list[range]] = [
    [range(0xC3, 0xE0), CONTINUATION],
    [range(0xE0, 0xE1), range(0xA0, 0xC0), CONTINUATION],
    [range(0xE1, 0xED), CONTINUATION, CONTINUATION],
    [range(0xED, 0xEE), range(0x80, 0xA0), CONTINUATION],
    [range(0xEE, 0xF0), CONTINUATION, CONTINUATION],
    [range(0xF0, 0xF1), range(0x90, 0xC0), CONTINUATION, CONTINUATION],
    [range(0xF1, 0xF4), CONTINUATION, CONTINUATION, CONTINUATION],
    [range(0xF4, 0xF5), range(0x80, 0x90), CONTINUATION, CONTINUATION],
]
ILL_FORMED: dict[str, list[bytes]] = {
    "a continuation byte alone": [bytes([byte]) for byte in CONTINUATION],
    "overlong, two bytes": [bytes([0xC0 + n, byte]) for n in (0, 1) for byte in CONTINUATION],
    "overlong, three bytes": [bytes([0xE0, byte, 0x80]) for byte in range(0x80, 0xA0)],
    "overlong, four bytes": [bytes([0xF0, byte, 0x80, 0x80]) for byte in range(0x80, 0x90)],
    "a surrogate": [bytes([0xED, byte, 0x80]) for byte in range(0xA0, 0xC0)],
    "beyond U+10FFFF": [bytes([0xF4, byte, 0x80, 0x80]) for byte in range(0x90, 0xC0)],
    "bytes that never occur": [bytes([byte, 0x80, 0x80, 0x80]) for byte in range(0xF5, 0x100)],
    "cut short": [
        bytes([*start, byte])
        for start in ([0xC3], [0xE1], [0xE1, 0x80], [0xF1], [0xF1, 0x80], [0xF1, 0x80, 0x80])
        for byte in (*range(0x20, 0x80), *range(0xC2, 0xF5))
    ],
}
PAIRS = find_ill_formed_pairs({f"<0x{byte:02X}>": byte for byte in range(256)})


@pytest.fixture(scope="module", params=SCHEMAS, ids=json.dumps)
def in_a_string(request: pytest.FixtureRequest) -> Matcher:
    """A grammar that has taken a string's opening quotation mark."""
    tokens = [bytes([byte]) for byte in range(256)]
    info = xgrammar.TokenizerInfo(tokens, xgrammar.VocabType.RAW, stop_token_ids=[0])
    grammar = xgrammar.GrammarCompiler(info).compile_json_schema(json.dumps(request.param))
    matcher = xgrammar.GrammarMatcher(grammar)
    assert matcher.accept_string(b'"')
    return matcher


def is_possible(matcher: Matcher, text: bytes) -> bool:
    """Whether a model can write ``text`` next, byte by byte."""
    matcher = matcher.fork()
    allowed = all(pair not in PAIRS for pair in pairwise(text))
    return allowed and all(matcher.accept_string(bytes([byte])) for byte in text)


@pytest.mark.parametrize("ill_formed", ILL_FORMED.values(), ids=ILL_FORMED)
def test_ill_formed_text_is_impossible(in_a_string: Matcher, ill_formed: list[bytes]) -> None:
    for text in ill_formed:
        with pytest.raises(UnicodeDecodeError):
            text.decode()
        assert not is_possible(in_a_string, text), text.hex(" ")


@pytest.mark.parametrize("ranges", WELL_FORMED, ids=lambda ranges: f"{ranges[0].start:02X}")
def test_well_formed_text_stays_possible(in_a_string: Matcher, ranges: list[range]) -> None:
    first, second, *rest = ranges
    for start in ((a, b) for a in first for b in second):
        text = bytes([*start, *(part[-1] for part in rest)])
        assert text.decode()
        assert is_possible(in_a_string, text), text.hex(" ")


class Words:
    """A tokenizer with a token for each letter."""

    max_token_id = 500

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return [ord(letter) for letter in text]


@pytest.mark.parametrize("constraint", [{"json": {"type": "string"}}, {"regex": "."}], ids=str)
def test_the_pairs_join_the_clients_bad_words(constraint: dict[str, Any]) -> None:
    params = SamplingParams(
        structured_outputs=StructuredOutputsParams(**constraint), bad_words=["ab"]
    )
    result = forbid_pairs(params, [(1, 2)], Words())  # type: ignore[arg-type]
    result.update_from_tokenizer(Words())  # type: ignore[arg-type] # as vLLM does next
    assert result.bad_words_token_ids == [[97, 98], [1, 2]]
    assert params.bad_words == ["ab"], "the client's own parameters stay"


def test_answers_without_a_grammar_are_not_bound() -> None:
    params = SamplingParams()
    assert forbid_pairs(params, [(1, 2)], Words()) is params  # type: ignore[arg-type]


BOUND = StructuredOutputsParams(json={"type": "string"})


@pytest.mark.parametrize(("constraint", "added"), [(BOUND, len(PAIRS)), (None, 0)])
def test_too_many_bad_words_are_refused(
    constraint: StructuredOutputsParams | None, added: int
) -> None:
    room = vllm.envs.VLLM_MAX_NUM_BAD_WORDS - added
    tokens = vllm.envs.VLLM_MAX_BAD_WORDS_TOTAL_TOKENS - 2 * added
    assert room > 0

    def forbid(words: list[str]) -> SamplingParams:
        params = SamplingParams(structured_outputs=constraint, bad_words=words)
        return forbid_pairs(params, PAIRS, Words())  # type: ignore[arg-type]

    assert forbid(["a" * tokens]).bad_words_token_ids
    assert forbid([chr(number) for number in range(256, 256 + room)]).bad_words_token_ids
    for words in (["a" * (tokens + 1)], [chr(256 + number) for number in range(room + 1)]):
        with pytest.raises(VLLMValidationError, match=r"bad[ _]words"):
            forbid(words)


def test_a_vocabulary_without_byte_tokens_has_no_pairs() -> None:
    assert find_ill_formed_pairs({"a": 1}) == ()
