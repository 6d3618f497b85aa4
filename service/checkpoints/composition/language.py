"""The language side of a composed model: a decoder's configuration and tokenizer."""

from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase

from service.checkpoints import hub
from service.checkpoints.composition.chat_format import (
    add_image_place,
    read_template,
    read_turn_format,
)
from service.errors import CheckpointError
from service.families import IMAGE_TOKEN, TurnFormat


@dataclass(frozen=True)
class LanguagePart:
    """A language model that stays where it is, and the tokenizer that is written for it.

    Attributes:
        reference: Path or hub id.
        architecture: Its class in vLLM.
        stop: Strings that end an answer in addition to the end-of-sequence token.
    """

    reference: str
    model_type: str
    architecture: str
    hidden_size: int
    tokenizer: PreTrainedTokenizerBase
    turn: TurnFormat
    stop: tuple[str, ...]


def open_language(source: str, template_file: Path | None) -> LanguagePart:
    """Read a language model's configuration and tokenizer; its weights are not read.

    Raises:
        CheckpointError: it is not a decoder with a fast tokenizer and a usable chat template.
    """
    local = hub.find_local(source)
    reference = str(local) if local is not None else source
    try:
        config = AutoConfig.from_pretrained(reference)
        tokenizer = AutoTokenizer.from_pretrained(reference)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{source} is not a language model: {error}") from error
    architecture = next(iter(config.architectures or []), "")
    if not architecture.endswith("ForCausalLM"):
        raise CheckpointError(
            f"{source} is a {architecture or config.model_type}, not a decoder such as "
            "LlamaForCausalLM or Qwen2ForCausalLM."
        )
    if not tokenizer.is_fast:
        raise CheckpointError(f"{source} holds no tokenizer.json, which the service needs.")
    template = read_template(tokenizer, template_file, source)
    turn = read_turn_format(tokenizer, template, source)
    stop = _end_answers(tokenizer, turn)
    tokenizer.chat_template = add_image_place(template, _list_special_tokens(tokenizer))
    tokenizer.add_special_tokens(
        {"additional_special_tokens": [AddedToken(IMAGE_TOKEN, special=True, normalized=False)]},
        replace_extra_special_tokens=False,
    )
    return LanguagePart(
        reference=reference,
        model_type=config.model_type,
        architecture=architecture,
        hidden_size=config.hidden_size,
        tokenizer=tokenizer,
        turn=turn,
        stop=stop,
    )


def _end_answers(tokenizer: PreTrainedTokenizerBase, turn: TurnFormat) -> tuple[str, ...]:
    """Make the mark of the template end answers; return it if it must be a stop string.

    A chat model's configuration may name another end-of-sequence token than its template writes.
    """
    if turn.end in _list_special_tokens(tokenizer):
        tokenizer.eos_token = turn.end
        return ()
    return (turn.end,)


def _list_special_tokens(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """List the tokens that are split off before a text is tokenized."""
    return [token.content for token in tokenizer.added_tokens_decoder.values() if token.content]
