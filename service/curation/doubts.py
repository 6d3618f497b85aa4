"""Telling a service that refuses one image from a service that refuses everything."""

from collections.abc import Sequence

from service.chat_client import ChatClient, Message, Reply
from service.errors import RemoteError, RequestRefusedError

DOUBTED_AFTER = 5
"""Refusals without an answer before the fault is the service's, or our way of asking, and no image's."""


class Watched:
    """A service whose refusals count until it has answered once.

    Attributes:
        has_answered: Whether it has; from then on a refusal speaks of one request.
    """

    def __init__(self, client: ChatClient) -> None:
        self.has_answered = False
        self._client, self._refused = client, 0

    async def ask(self, messages: Sequence[Message], longest: int) -> Reply:
        """See :meth:`service.chat_client.ChatClient.ask`.

        Raises:
            RequestRefusedError: the service finds fault with this conversation, perhaps with it alone.
            RemoteError: as there, or it has refused all of the first few and answered none.
        """
        try:
            reply = await self._client.ask(messages, longest)
        except RequestRefusedError as refusal:
            self._refused += 1
            if not self.has_answered and self._refused >= DOUBTED_AFTER:
                raise RemoteError(
                    f"The first {DOUBTED_AFTER} requests were refused and none was answered; nothing is "
                    f"written of them. {refusal}"
                ) from refusal
            raise
        self.has_answered = True
        return reply
