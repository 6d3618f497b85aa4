"""Serves ``tools`` for structured output: a grammar forms the arguments of a named function.

vLLM makes the grammar from the function's schema, for ``tool_choice`` with a function's name and
for ``required``. Neither needs a model that was trained to call tools.
"""

from typing import Any

from vllm.entrypoints.generate.base.protocol import DeltaMessage, ExtractedToolCallInformation
from vllm.tokenizers import TokenizerLike
from vllm.tool_parsers import ToolParser


class SchemaToolParser(ToolParser):
    """Finds no calls in free text, because these models do not write calls."""

    def __new__(cls, tokenizer: TokenizerLike, tools: list[Any] | None = None) -> Any:
        """Make a parser for one request; None without tools.

        vLLM then streams as it does without a parser: it does not collect the text so far, and sends
        a chunk for each token. The parser took 8 % of the event loop (docs/log/performance.md).
        """
        return super().__new__(cls) if tools else None

    def extract_tool_calls(self, model_output: str, request: Any) -> ExtractedToolCallInformation:
        """Return the whole answer as content."""
        return ExtractedToolCallInformation(tools_called=False, tool_calls=[], content=model_output)

    def extract_tool_calls_streaming(
        self, previous_text: str, current_text: str, delta_text: str, *_: Any, **__: Any
    ) -> DeltaMessage:
        """Return each piece as content, also an empty one, so that each token has its chunk."""
        return DeltaMessage(content=delta_text)
