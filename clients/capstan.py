"""Submits browser tasks to Capstan's queue and waits for their events. One file to copy, for Python 3.11 or newer.

    pip install nats-py

    nc = await nats.connect(os.environ["NATS_URL"], max_reconnect_attempts=-1)
    capstan = Capstan(nc)
    event = await capstan.run(
        {"task_id": "ord-1842", "url": "https://example.com", "prompt": "Extract the main heading"}, timeout=600)
    print(event["status"], await capstan.result(event) if event["status"] == "succeeded" else event["error"])

A task id is run at most once. After an error, a crash or a time-out, run the same request again: it waits for the task that
runs, or gets the event of the one that has ended. A time-out, and the cancellation of the asyncio task, end the wait and not
Capstan's task: for that, there is `capstan cancel`. A task that failed is an event, not an exception. Each wait reads the
headers of all events: with thousands of tasks at once, publish them and read the events with one durable consumer.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Literal, NotRequired, Required, TypedDict, TypeVar, cast

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError, Error, MaxPayloadError, NoRespondersError
from nats.errors import TimeoutError as NATSTimeout
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError, ServiceUnavailableError

T = TypeVar("T")

# Why a task failed. A later version may add codes.
Code = Literal[
    "invalid_request", "duplicate_task", "expired", "rejected", "submission_unknown", "workflow_failed", "step_limit",
    "agent_failed", "invalid_result", "workflow_lost", "timeout", "canceled", "poisoned", "secret_unavailable",
]


# What a retry has in place of the request's fields.
RetryWith = TypedDict("RetryWith", {"agent": str, "provider": str, "model": str, "max_steps": int}, total=False)

# A task to run. Give prompt, and url or sessionId. docs/messages.md describes the fields. Without a task_id, a random one is
# made, which the event and the errors name.
TaskRequest = TypedDict("TaskRequest", {
    "task_id": str, "batch": str,
    "prompt": Required[str], "url": str, "sessionId": str,
    "session": dict[str, Any], "browser": dict[str, Any],  # with SESSIONS=on, for POST /v1/sessions
    "agent": str, "provider": str, "model": str, "max_steps": int,
    "detect_elements": bool, "human_intervention": bool, "highlight_elements": bool, "use_vision": bool,
    "directly_open_url": bool, "directlyOpenUrl": bool, "extended_system_message": str, "async": bool,
    "secret_values": dict[str, str], "secret_refs": dict[str, str],
    "output_schema": dict[str, Any], "extra": dict[str, Any], "metadata": dict[str, Any],
    "timeout": str, "expires_at": str,  # a duration of Go, such as "10m", and a time in RFC 3339
    "on_unknown_submission": Literal["fail", "resubmit", "fence"],  # the last one with SESSIONS=on
    "retries": int, "retry_on": list[Code], "retry_with": list[RetryWith],
}, total=False)


# Why a task failed.
TaskError = TypedDict("TaskError", {"code": Code, "message": str, "retryable": bool})

# One run of a task that was retried.
Run = TypedDict("Run", {
    "workflow_id": str, "code": Code, "submitted_at": str, "finished_at": str,
    "session_id": str, "steps": int, "credits": float,  # with SESSIONS=on
}, total=False)

# Where a result is that is too large for a message.
ResultRef = TypedDict("ResultRef", {"bucket": str, "name": str, "size": int, "digest": str})

# How a task ended. docs/messages.md describes the fields.
TaskEvent = TypedDict("TaskEvent", {
    "task_id": str, "batch": NotRequired[str], "status": Literal["succeeded", "failed"],
    "result": NotRequired[Any], "result_ref": NotRequired[ResultRef], "raw_result": NotRequired[Any],
    "error": NotRequired[TaskError], "metadata": NotRequired[dict[str, Any]], "dropped": NotRequired[list[str]],
    "workflow_id": NotRequired[str], "workflow_status": NotRequired[str], "worker": str,
    "requested_at": str, "submitted_at": NotRequired[str], "finished_at": str,
    "attempts": int, "runs": NotRequired[list[Run]], "polls": int, "unnoticed_ms": NotRequired[int],
    # With SESSIONS=on.
    "session_id": NotRequired[str], "session_ended": NotRequired[bool], "steps": NotRequired[int], "credits": NotRequired[float],
})


@dataclass(frozen=True)
class Task:
    """A published request, and what is needed to recognize its event. dataclasses.asdict makes JSON of it, for later."""

    id: str
    stream: str  # that stores the request
    seq: int  # of the request in that stream
    digest: str  # of the request's content
    after: int  # the last event before the request was published


class PendingError(Exception):
    """A wait ended before the event was stored. The task goes on: pass its `task` to wait, or run the same request again."""

    def __init__(self, task: Task, why: str) -> None:
        super().__init__(
            f"no event of task {task.id} yet: {why}. Its request is stored ({task.stream}, sequence {task.seq}). "
            f"The task goes on: capstan get {task.id} shows it")
        self.task = task


_LOOKBACK = 1000  # events before the request with which a wait begins: the task that it repeats may end at this moment
_IDLE = 5.0  # seconds for which a read waits for events, before it is checked whether it missed any


class Capstan:
    """Submits tasks and waits for their events. Whoever made the connection closes it."""

    def __init__(self, nc: Client, *, request_subject: str = "tasks.request", result_stream: str = "TASK_RESULTS",
                 result_subject: str = "tasks.result", domain: str | None = None) -> None:
        self._nc, self._js = nc, nc.jetstream(domain=domain)
        self._request_subject, self._stream, self._result_subject = request_subject, result_stream, result_subject

    async def run(self, request: TaskRequest, timeout: float | None = None) -> TaskEvent:
        """Publishes a request and waits for its event, for at most timeout seconds; then it raises PendingError.

        If an earlier request with the same task_id had other content, the event has the code duplicate_task.
        """
        began = time.monotonic()
        task = await self.publish(request, timeout)
        return await self.wait(task, None if timeout is None else max(0.0, timeout - (time.monotonic() - began)))

    async def publish(self, request: TaskRequest, timeout: float | None = None) -> Task:
        """Publishes a request and returns when it is stored. An error says whether the request may be stored.

        Through an outage of NATS it tries again until the time is up; the stream recognizes copies.
        """
        task_id = request.get("task_id", str(uuid.uuid4()))
        _check(task_id, request)
        body = json.dumps({**request, "task_id": task_id}, ensure_ascii=False, allow_nan=False)
        sent = False
        try:
            async with asyncio.timeout(timeout):
                info = await self._retry(lambda: self._js.stream_info(self._stream))
                sent = True
                # The id is new for each request, and the same for all attempts to store it: a worker answers a request that
                # repeats an earlier one, while the stream would drop it without a word.
                headers = {"Nats-Msg-Id": f"{task_id}/{uuid.uuid4()}"}
                ack = await self._retry(lambda: self._js.publish(self._request_subject, body.encode(), headers=headers))
        except (Error, TimeoutError, PermissionError) as err:
            unknown = "may or may not be published (to be sure, run it again with this task_id; it does not run twice)"
            outcome = "was not published" if not sent or _is_final(err) else unknown
            raise RuntimeError(f"task {task_id} {outcome}: {self._explain(err)}") from err
        return Task(task_id, ack.stream, ack.seq, _digest(body), info.state.last_seq)

    async def wait(self, task: Task, timeout: float | None = None) -> TaskEvent:
        """Waits for the event of a published request, through outages and restarts of NATS. It may be stored already.

        Raises PendingError if the time is up, or the connection is closed for good.
        """
        try:
            async with asyncio.timeout(timeout), aclosing(self._events(max(1, task.after + 1 - _LOOKBACK))) as events:
                async for msg in events:
                    seq = msg.metadata.sequence.stream
                    if _is_answered(task, msg.headers or {}, seq) and (event := await self._read(seq)) is not None:
                        return event
        except (Error, TimeoutError, PermissionError) as err:
            raise PendingError(task, self._explain(err)) from err
        raise PendingError(task, "the connection to NATS was closed")

    async def result(self, event: TaskEvent) -> Any:
        """The result of an event, also if it is too large for a message: then it is read from the object store.

        The store checks its digest. Of a task that failed, the result is what Anchor sent.
        """
        ref = event.get("result_ref")
        if ref is None:
            return event.get("result" if event["status"] == "succeeded" else "raw_result")
        store = await self._js.object_store(ref["bucket"])
        return json.loads((await store.get(ref["name"])).data or b"")

    async def _read(self, seq: int) -> TaskEvent | None:
        """Reads an event, or returns None if it was deleted meanwhile."""
        try:
            stored = await self._retry(lambda: self._js.get_msg(self._stream, seq=seq))
        except NotFoundError:
            return None
        return cast(TaskEvent, json.loads(stored.data or b""))

    async def _events(self, first: int) -> AsyncGenerator[Msg, None]:
        """Yields the headers of all events from a sequence on, in order. A consumer that is lost is created again."""
        while not self._nc.is_closed:
            name = f"capstan-{uuid.uuid4().hex}"
            config = ConsumerConfig(
                name=name, deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=first, ack_policy=AckPolicy.NONE,
                filter_subject=self._result_subject, headers_only=True, mem_storage=True, num_replicas=1, inactive_threshold=30)
            await self._retry(lambda: self._js.add_consumer(self._stream, config))
            inbox = self._nc.new_inbox().rpartition(".")[0].encode() + b"."
            sub = await self._js.pull_subscribe_bind(name, stream=self._stream, inbox_prefix=inbox)
            try:
                async with aclosing(self._in_order(sub, name)) as messages:
                    async for msg in messages:
                        first = msg.metadata.sequence.stream + 1
                        yield msg
            finally:
                await asyncio.shield(self._drop(sub, name))
            await asyncio.sleep(0.2)

    async def _in_order(self, sub: JetStreamContext.PullSubscription, consumer: str) -> AsyncGenerator[Msg, None]:
        """Yields the messages of a consumer until one is missing, or the consumer is."""
        expected, batch = 1, 1
        while not self._nc.is_closed:
            try:
                messages = await sub.fetch(batch, timeout=_IDLE)
            except NATSTimeout:
                if not await self._is_whole(consumer, expected):
                    return
                continue
            except Error:
                return
            for msg in messages:
                if msg.metadata.sequence.consumer != expected:
                    return
                expected, batch = expected + 1, max(1, min(msg.metadata.num_pending, 200))
                yield msg

    async def _is_whole(self, consumer: str, expected: int) -> bool:
        """Reports whether a consumer still exists and has sent nothing that did not arrive."""
        try:
            info = await self._retry(lambda: self._js.consumer_info(self._stream, consumer))
        except NotFoundError:
            return False
        return info.delivered is None or info.delivered.consumer_seq < expected

    async def _drop(self, sub: JetStreamContext.PullSubscription, consumer: str) -> None:
        """Deletes a consumer. If that fails, the server does it soon."""
        with suppress(Error, TimeoutError):
            async with asyncio.timeout(1):
                await sub.unsubscribe()
                await self._js.delete_consumer(self._stream, consumer)

    async def _retry(self, call: Callable[[], Awaitable[T]]) -> T:
        """Repeats a call until it is answered, or an error that another attempt would not change."""
        pause, unheard = 0.1, 0
        while True:
            before = self._nc.last_error
            try:
                return await call()
            except Error as err:
                denied = self._nc.last_error
                if denied is not None and denied is not before and "permissions violation" in str(denied).lower():
                    raise PermissionError(str(denied)) from err
                unheard = unheard + 1 if isinstance(err, (ServiceUnavailableError, NoStreamResponseError, NoRespondersError)) else 0
                if unheard == 6 or _is_final(err) and unheard == 0:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, 2.0)

    def _explain(self, err: Exception) -> str:
        """Says what went wrong, and what would do."""
        if isinstance(err, NotFoundError):
            return f"no stream {self._stream}: start a worker first, it creates the streams"
        if isinstance(err, (NoStreamResponseError, ServiceUnavailableError, NoRespondersError)):
            return f"no JetStream, or no stream on {self._request_subject}: start a worker first, it creates the streams"
        return "the time is up" if type(err) is TimeoutError else str(err)


def _is_final(err: Exception) -> bool:
    return isinstance(err, (APIError, NoStreamResponseError, ConnectionClosedError, MaxPayloadError, PermissionError))


def _check(task_id: str, request: TaskRequest) -> None:
    """Refuses what can be told to be wrong without a worker, which knows more rules."""
    _check_name("task_id", task_id, 128)
    if "batch" in request:
        _check_name("batch", request["batch"], 64)
    if not isinstance(request.get("prompt"), str) or not request["prompt"].strip():
        raise ValueError(f"task {task_id}: prompt must be a text that is not blank")
    if "url" not in request and "sessionId" not in request:
        raise ValueError(f"task {task_id}: set url or sessionId")


def _check_name(field: str, name: str, longest: int) -> None:
    form = r"[A-Za-z0-9](?:[A-Za-z0-9._=-]*[A-Za-z0-9])?"
    if not isinstance(name, str) or len(name) > longest or not re.fullmatch(form, name) or ".." in name:
        rule = "letters, digits, '.', '_', '-' or '=', begin and end with a letter or digit, and have no '..'"
        raise ValueError(f"{field} must be 1 to {longest} {rule} (got {str(name)[:80]!r})")


def _digest(body: str) -> str:
    """By which workers compare requests: of the JSON with its names in order, without space, secret_values and metadata."""
    content = {name: value for name, value in json.loads(body).items() if name not in ("secret_values", "metadata")}
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    canonical = re.sub("[<>&\u2028\u2029]", lambda match: f"\\u{ord(match[0]):04x}", text)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _is_answered(task: Task, headers: dict[str, str], seq: int) -> bool:
    """Whether the event with these headers answers the request, or is that of the task which the request repeats.

    That may have had other content: then the digests differ, and a worker answers this request with duplicate_task.
    """
    request = headers.get("ce-source"), headers.get("Capstan-Sequence")
    return (seq > task.after and request == (f"/capstan/{task.stream}", str(task.seq))
            or headers.get("ce-subject") == task.id and headers.get("Capstan-Digest") == task.digest)
