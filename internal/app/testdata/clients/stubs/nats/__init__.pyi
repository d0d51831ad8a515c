# The part of nats-py that the Python client and its program use, for the type checker.
from collections.abc import Awaitable, Callable

from .aio.client import Client

async def connect(
    servers: str = ..., *, error_cb: Callable[[Exception], Awaitable[None]] | None = ...,
    max_reconnect_attempts: int = ..., reconnect_time_wait: float = ...,
) -> Client: ...
