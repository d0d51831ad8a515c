"""Runs the request on standard input and prints its event and its result, or the error. SIGINT ends the wait."""

import asyncio
import json
import os
import signal
import sys
from typing import Any

import nats

from capstan import Capstan, Task


async def ignore(_: Exception) -> None:
    """Keeps nats-py from printing what the client reports."""


async def submit(capstan: Capstan, request: Any) -> dict[str, Any]:
    """Publishes the request, and waits until its event is stored or SIGINT comes."""
    task = await capstan.publish(request)
    waiting = asyncio.ensure_future(capstan.wait(task))
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, waiting.cancel)
    try:
        event = await waiting
    except asyncio.CancelledError:
        return {"error": interrupted(task)}
    return {"event": event, "result": await capstan.result(event)}


def interrupted(task: Task) -> str:
    """Says the same as the other clients."""
    return f"no event of task {task.id} yet: interrupted ({task.stream}, sequence {task.seq}). The task goes on"


async def main() -> None:
    nc = await nats.connect(os.environ["NATS_URL"], max_reconnect_attempts=-1, reconnect_time_wait=0.2, error_cb=ignore)
    try:
        print(json.dumps(await submit(Capstan(nc), json.load(sys.stdin))))
    except Exception as err:
        print(json.dumps({"error": str(err)}))
    finally:
        await nc.close()


asyncio.run(main())
