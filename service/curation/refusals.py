"""Telling a service that refuses one image from a service that refuses every request."""

from collections.abc import Sequence

from service.chat_client import ChatClient, Message, Reply
from service.errors import RemoteError, RequestRefusedError

MAX_REFUSALS = 5
"""Refusals before the first answer that count as the service's failure instead of an image's."""


class RefusalGuard:
    """A client that fails if the service only refuses.

    Attributes:
        has_answered: Whether the service has answered once. From then on, a refusal concerns one
            request.
    """

    def __init__(self, client: ChatClient) -> None:
        self.has_answered = False
        self._client, self._refusals = client, 0

    async def ask(self, messages: Sequence[Message], longest: int) -> Reply:
        """See :meth:`service.chat_client.ChatClient.ask`.

        Raises:
            RequestRefusedError: the service refuses this conversation, and perhaps no other.
            RemoteError: the service fails, or it has refused the first requests and answered none.
        """
        try:
            reply = await self._client.ask(messages, longest)
        except RequestRefusedError as refusal:
            self._refusals += 1
            if not self.has_answered and self._refusals >= MAX_REFUSALS:
                raise RemoteError(
                    f"The first {MAX_REFUSALS} requests were refused and none was answered; "
                    f"nothing is written about them. {refusal}"
                ) from refusal
            raise
        self.has_answered = True
        return reply
