"""Error bodies in OpenAI's shape, for what is answered before vLLM's routers are reached.

https://platform.openai.com/docs/guides/error-codes; the types' names are vLLM's.
"""

import json


def error_body(message: str, error_type: str, status: int, parameter: str | None = None) -> bytes:
    """The JSON body of an error response."""
    error = {"message": message, "type": error_type, "param": parameter, "code": status}
    return json.dumps({"error": error}).encode()
