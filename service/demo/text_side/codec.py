"""Texts to token ids as the text side needs them."""

from dataclasses import dataclass, field

from tokenizers import Tokenizer, normalizers

from service.prompt.tokenizer import BOS


@dataclass
class Codec:
    """Encodes texts piece by piece, and words to the one id that stands for them in a slot."""

    tokenizer: Tokenizer
    _continuing: Tokenizer = field(init=False)

    def __post_init__(self) -> None:
        # The same pieces without the dummy-prefix space, for text that follows other text.
        self._continuing = Tokenizer.from_str(self.tokenizer.to_str())
        self._continuing.normalizer = normalizers.Replace(" ", "▁")

    @property
    def start(self) -> int:
        """The id of ``<s>``."""
        return int(self.tokenizer.token_to_id(BOS))  # type: ignore[arg-type]

    def encode_segment(self, text: str) -> list[int]:
        """Encode text that is tokenized by itself: at the start, or after an image."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def encode_continuation(self, text: str) -> list[int]:
        """Encode text that continues a segment."""
        return list(self._continuing.encode(text, add_special_tokens=False).ids)

    def encode_word(self, word: str) -> int:
        """Return the word's last id as in a sentence (a digit follows a lone ``▁``)."""
        return self.encode_segment(word)[-1]
