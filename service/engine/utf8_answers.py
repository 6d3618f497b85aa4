"""Keep answers that are bound by a grammar well-formed UTF-8.

Llama's vocabulary has a token for each byte, and xgrammar lets some ill-formed sequences of them
through: surrogates everywhere a character is allowed, overlong encodings in a regex. Such a
sequence counts as one character for the grammar, and decodes to several U+FFFD: the answer would be
longer than its schema allows.
"""

from collections.abc import Mapping, Sequence

import vllm.envs
from vllm.sampling_params import SamplingParams
from vllm.tokenizers import TokenizerLike

from service.plugin.errors import BadRequestError

ILL_FORMED_SECOND_BYTES = {
    0xE0: range(0x80, 0xA0),  # overlong
    0xED: range(0xA0, 0xC0),  # surrogates
    0xF0: range(0x80, 0x90),  # overlong
}
"""Second bytes that may not follow a first byte (The Unicode Standard, table 3-7). xgrammar itself
refuses the others: C0, C1, F5 to FF, F4 90 to F4 BF, and continuation bytes that are alone or
missing."""

TokenPair = tuple[int, int]


def find_ill_formed_pairs(vocabulary: Mapping[str, int]) -> tuple[TokenPair, ...]:
    """Return the ids of byte tokens that may not follow each other."""
    pairs = [
        (f"<0x{first:02X}>", f"<0x{second:02X}>")
        for first, seconds in ILL_FORMED_SECOND_BYTES.items()
        for second in seconds
    ]
    return tuple(
        (vocabulary[first], vocabulary[second])
        for first, second in pairs
        if first in vocabulary and second in vocabulary
    )


def forbid_pairs(
    params: SamplingParams, pairs: Sequence[TokenPair], tokenizer: TokenizerLike
) -> SamplingParams:
    """``params`` under which an answer that is bound by a grammar never holds one of ``pairs``.

    Raises:
        VLLMValidationError: for ``bad_words`` that the engine cannot hold beside the pairs. On a
            GPU they would end the engine.
    """
    added = pairs if params.structured_outputs is not None else ()
    if not added and not params.bad_words:
        return params
    params = params.clone()
    # vLLM takes bad words as text, which cannot express single bytes; it would also drop these ids
    # if it tokenized the client's words after this.
    params.update_from_tokenizer(tokenizer)
    words = [*(params.bad_words_token_ids or []), *map(list, added)]
    most, most_tokens = vllm.envs.VLLM_MAX_NUM_BAD_WORDS, vllm.envs.VLLM_MAX_BAD_WORDS_TOTAL_TOKENS
    if len(words) > most or sum(map(len, words)) > most_tokens:
        where = "With structured output, " if added else ""
        raise BadRequestError(
            f"{where}`bad_words` may hold at most {most - len(added)} sequences, of "
            f"{most_tokens - sum(map(len, added))} tokens together.",
            parameter="bad_words",
        )
    params.bad_words, params._bad_words_token_ids = [], words
    return params
