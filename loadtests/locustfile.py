"""Simulated users, for interactive load tests.

``locust -f loadtests/locustfile.py --host http://127.0.0.1:8000`` starts a server. The web page at
http://localhost:8089 starts and stops them. A user asks about a new picture and asks follow-up
questions, or chats without a picture. Some users leave before the answer is complete.
"""

import random
from time import perf_counter
from typing import Any

from locust import HttpUser, between, task

from loadtests.traffic import ANSWER, Messages, conversation, picture


class Person(HttpUser):
    """Holds one conversation after the other, with pauses for reading."""

    wait_time = between(1, 5)

    @task(4)
    def talk_about_a_picture(self) -> None:
        """Ask up to three questions about a new picture."""
        image = picture(random.getrandbits(32))
        for turn in range(1, random.randint(2, 4)):
            self._ask(conversation(image, turn), "first turn" if turn == 1 else "follow-up turn")

    @task(2)
    def chat(self) -> None:
        """Chat without a picture."""
        self._ask(conversation(None, 1), "text only")

    @task(1)
    def give_up(self) -> None:
        """Disconnect after the first words; the service must stop generating."""
        self._ask(conversation(picture(random.getrandbits(32)), 1), "abandoned", give_up=True)

    def _ask(self, messages: Messages, name: str, give_up: bool = False) -> None:
        body: dict[str, Any] = {"messages": messages, "max_tokens": 100, "stream": True}
        begin = perf_counter()
        with self.client.post(
            "/v1/chat/completions", json=body, stream=True, name=name, catch_response=True
        ) as response:
            for number, line in enumerate(response.iter_lines()):
                if number == 1:
                    self._report_first_token(name, perf_counter() - begin)
                if give_up and line:
                    break
            if response.status_code == 503:
                response.failure("refused because of overload")

    def _report_first_token(self, name: str, seconds: float) -> None:
        self.environment.events.request.fire(
            request_type="first token",
            name=name,
            response_time=seconds * 1000,
            response_length=len(ANSWER),
            exception=None,
            context={},
        )
