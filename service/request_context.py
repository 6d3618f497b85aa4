"""Whose request this is: the name of its API key."""

from contextvars import ContextVar

TENANT: ContextVar[str] = ContextVar("tenant", default="")
"""Set for the time of a request; empty where no keys are configured."""
