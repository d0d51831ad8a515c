// Submits browser tasks to Capstan's queue and waits for their events. One file to copy, for Node 20 or newer.
//
//   npm install @nats-io/transport-node @nats-io/jetstream @nats-io/obj
//
// Node 22.18 or newer runs it as it is, Node 20 with `npx tsx yours.mts`. tsc needs @types/node.
//
//   const nc = await connect({ servers: process.env.NATS_URL, maxReconnectAttempts: -1 }); // of @nats-io/transport-node
//   const capstan = new Capstan(nc);
//   const request = { task_id: "ord-1842", url: "https://example.com", prompt: "Extract the main heading" };
//   const event = await capstan.run(request, { signal: AbortSignal.timeout(600_000) });
//   console.log(event.status, event.status === "succeeded" ? await capstan.result(event) : event.error);
//
// A task id is run at most once. After an error, a crash or a time-out, run the same request again: it waits for the task
// that runs, or gets the event of the one that has ended. The signal ends the wait and not the task: for that, there is
// `capstan cancel`. A task that failed is an event, not an exception. Each wait reads the headers of all events: with
// thousands of tasks at once, publish them and read the events with one durable consumer.

import { createHash, randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { DeliverPolicy, jetstream, JetStreamApiCodes, JetStreamApiError, jetstreamManager } from "@nats-io/jetstream";
import type { ConsumerMessages, JetStreamManager, JetStreamManagerOptions } from "@nats-io/jetstream";
import { Objm } from "@nats-io/obj";
import { ClosedConnectionError, InvalidArgumentError, PermissionViolationError } from "@nats-io/transport-node";
import type { MsgHdrs, NatsConnection } from "@nats-io/transport-node";

/** Why a task failed. A later version may add codes. */
export type Code =
  | "invalid_request" | "duplicate_task" | "expired" | "rejected" | "submission_unknown" | "workflow_failed" | "step_limit"
  | "agent_failed" | "invalid_result" | "workflow_lost" | "timeout" | "canceled" | "poisoned" | "secret_unavailable";

/** A task to run. Give prompt, and url or sessionId. docs/messages.md describes the fields. */
export interface TaskRequest {
  task_id?: string; batch?: string; // without a task_id, a random one is made, which the event and the errors name
  prompt: string; url?: string; sessionId?: string;
  session?: Record<string, unknown>; browser?: Record<string, unknown>; // with SESSIONS=on, for POST /v1/sessions
  agent?: string; provider?: string; model?: string; max_steps?: number;
  detect_elements?: boolean; human_intervention?: boolean; highlight_elements?: boolean; use_vision?: boolean;
  directly_open_url?: boolean; directlyOpenUrl?: boolean; extended_system_message?: string; async?: boolean;
  secret_values?: Record<string, string>; secret_refs?: Record<string, string>;
  output_schema?: Record<string, unknown>; extra?: Record<string, unknown>; metadata?: Record<string, unknown>;
  timeout?: string; expires_at?: string; // a duration of Go, such as "10m", and a time in RFC 3339
  on_unknown_submission?: "fail" | "resubmit" | "fence"; // the last one with SESSIONS=on
  retries?: number; retry_on?: Code[]; retry_with?: RetryWith[];
}

/** What a retry has in place of the request's fields. */
export interface RetryWith { agent?: string; provider?: string; model?: string; max_steps?: number }

/** How a task ended. docs/messages.md describes the fields. */
export interface TaskEvent {
  task_id: string; batch?: string; status: "succeeded" | "failed";
  result?: unknown; result_ref?: ResultRef; raw_result?: unknown; error?: TaskError;
  metadata?: Record<string, unknown>; dropped?: string[];
  workflow_id?: string; workflow_status?: string; worker: string;
  requested_at: string; submitted_at?: string; finished_at: string;
  attempts: number; runs?: Run[]; polls: number; unnoticed_ms?: number;
  session_id?: string; session_ended?: boolean; steps?: number; credits?: number; // with SESSIONS=on
}

/** Why a task failed. */
export interface TaskError { code: Code; message: string; retryable: boolean }

/** One run of a task that was retried. */
export interface Run {
  workflow_id?: string; code?: Code; submitted_at?: string; finished_at?: string;
  session_id?: string; steps?: number; credits?: number; // with SESSIONS=on
}

/** Where a result is that is too large for a message. */
export interface ResultRef { bucket: string; name: string; size: number; digest: string }

/** A published request, and what is needed to recognize its event. It can be kept as JSON, for a wait after a restart. */
export interface Task {
  id: string; stream: string; seq: number; // the stream that stores the request, and the request's sequence in it
  digest: string; // of the request's content
  after: number; // the last event before the request was published
}

/** Names, if the workers have others than by default, and the JetStream domain. */
export interface Options {
  requestSubject?: string; resultStream?: string; resultSubject?: string; jetstream?: JetStreamManagerOptions;
}

/** A wait ended before the event was stored. The task goes on: pass `task` to `wait`, or run the same request again. */
export class PendingError extends Error {
  override readonly name = "PendingError";
  readonly task: Task;

  constructor(task: Task, why: string, cause?: unknown) {
    const stored = `Its request is stored (${task.stream}, sequence ${task.seq})`;
    super(`no event of task ${task.id} yet: ${why}. ${stored}. The task goes on: capstan get ${task.id} shows it`, { cause });
    this.task = task;
  }
}

// How many events before the request a wait begins: the task that the request repeats may end at this moment.
const lookback = 1000;

/** Submits tasks and waits for their events. */
export class Capstan {
  readonly #nc: NatsConnection;
  readonly #names = { requestSubject: "tasks.request", resultStream: "TASK_RESULTS", resultSubject: "tasks.result" };
  readonly #options: JetStreamManagerOptions;
  readonly #closed = new AbortController();

  /** Makes no call. Whoever made the connection closes it. */
  constructor(nc: NatsConnection, options: Options = {}) {
    this.#nc = nc;
    void nc.closed().then(() => this.#closed.abort(new Error("the connection to NATS was closed")));
    const { jetstream, ...names } = options;
    Object.assign(this.#names, names);
    this.#options = { ...jetstream, checkAPI: false }; // the check would need one more permission
  }

  /**
   * Publishes a request and waits for its event. If an earlier request with the same task_id had other content, the event
   * has the code duplicate_task. Throws a PendingError if the signal ends the wait.
   */
  async run(request: TaskRequest, options: { signal?: AbortSignal } = {}): Promise<TaskEvent> {
    return await this.wait(await this.publish(request, options), options);
  }

  /**
   * Publishes a request and returns when it is stored. Through an outage of NATS it tries again until the signal ends it; the
   * stream recognizes copies. An error says whether the request may be stored.
   */
  async publish(request: TaskRequest, options: { signal?: AbortSignal } = {}): Promise<Task> {
    const signal = this.#orClosed(options.signal);
    const id = request.task_id ?? randomUUID();
    check(id, request);
    const body = JSON.stringify({ ...request, task_id: id });
    const results = await this.#retry(signal, (jsm) => jsm.streams.info(this.#names.resultStream)).catch((err: unknown) => {
      throw new Error(`task ${id} was not published: ${this.#explain(err)}`, { cause: err });
    });
    // The id is new for each request, and the same for all attempts to store it: a worker answers a request that repeats an
    // earlier one, while the stream would drop it without a word.
    const msgID = `${id}/${randomUUID()}`;
    const js = jetstream(this.#nc, this.#options);
    const ack = await this.#retry(signal, () => js.publish(this.#names.requestSubject, body, { msgID })).catch((err: unknown) => {
      const unknown = "may or may not be published (to be sure, run it again with this task_id; it does not run twice)";
      const outcome = isFinal(err) ? "was not published" : unknown;
      throw new Error(`task ${id} ${outcome}: ${this.#explain(err)}`, { cause: err });
    });
    return { id, stream: ack.stream, seq: ack.seq, digest: digestOf(body), after: results.state.last_seq };
  }

  /**
   * Waits for the event of a published request, through outages and restarts of NATS. The event may be stored already.
   * Throws a PendingError if the signal ends the wait, or the connection is closed.
   */
  async wait(task: Task, options: { signal?: AbortSignal } = {}): Promise<TaskEvent> {
    const signal = this.#orClosed(options.signal);
    let stop = () => {};
    try {
      const consumer = await this.#retry(signal, () => this.#follow(task));
      const messages = await untilAborted(signal, consumer.consume());
      signal.addEventListener("abort", stop = () => messages.stop());
      const event = await this.#firstAnswer(task, messages, signal);
      messages.stop(); // first: it would create a consumer again that is deleted
      await consumer.delete().catch(() => {}); // else the server does it soon
      return event;
    } catch (err) {
      throw new PendingError(task, this.#explain(err), err);
    } finally {
      signal.removeEventListener("abort", stop);
      stop();
    }
  }

  /**
   * The result of an event, also if it is too large for a message: then it is read from the object store, which checks its
   * digest. Of a task that failed, it is what Anchor sent.
   */
  async result(event: TaskEvent): Promise<unknown> {
    const ref = event.result_ref;
    if (ref === undefined) return event.status === "succeeded" ? event.result : event.raw_result;
    const store = await new Objm(jetstream(this.#nc, this.#options)).open(ref.bucket);
    const data = await store.getBlob(ref.name);
    if (data === null) throw new Error(`the result of task ${event.task_id} is no longer in the object store ${ref.bucket}`);
    return JSON.parse(new TextDecoder().decode(data)) as unknown;
  }

  // The consumer of a wait. It gets only the headers, because most events are other tasks'.
  #follow(task: Task) {
    return jetstream(this.#nc, this.#options).consumers.get(this.#names.resultStream, {
      filter_subjects: this.#names.resultSubject,
      headers_only: true,
      inactive_threshold: 30_000,
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: Math.max(1, task.after + 1 - lookback),
    });
  }

  async #firstAnswer(task: Task, messages: ConsumerMessages, signal: AbortSignal): Promise<TaskEvent> {
    for await (const msg of messages) {
      if (!isAnswered(task, msg.headers, msg.seq)) continue;
      const stored = await this.#retry(signal, (jsm) => jsm.streams.getMessage(this.#names.resultStream, { seq: msg.seq }));
      if (stored !== null) return stored.json<TaskEvent>(); // else it was deleted before it was read
    }
    signal.throwIfAborted();
    throw new Error(`stream ${this.#names.resultStream} cannot be read any more`);
  }

  #orClosed(signal?: AbortSignal): AbortSignal {
    return signal === undefined ? this.#closed.signal : AbortSignal.any([signal, this.#closed.signal]);
  }

  // Repeats a call until it is answered, or an error that another attempt would not change.
  async #retry<T>(signal: AbortSignal, call: (jsm: JetStreamManager) => Promise<T>): Promise<T> {
    const jsm = await jetstreamManager(this.#nc, this.#options);
    for (let pause = 100, unheard = 0;; pause = Math.min(2 * pause, 2000)) {
      try {
        signal.throwIfAborted();
        return await untilAborted(signal, call(jsm));
      } catch (err) {
        unheard = isUnheard(err) ? unheard + 1 : 0; // it may be starting
        if (signal.aborted || unheard === 6 || isFinal(err) && unheard === 0) throw err;
      }
      await delay(pause, undefined, { signal });
    }
  }

  // Says what went wrong, and what would do.
  #explain(err: unknown): string {
    if (err instanceof JetStreamApiError && err.code === JetStreamApiCodes.StreamNotFound) {
      return `no stream ${this.#names.resultStream} at ${this.#nc.getServer()}: start a worker first, it creates the streams`;
    }
    if (isUnheard(err)) {
      return `no JetStream, or no stream on ${this.#names.requestSubject}: start a worker first, it creates the streams`;
    }
    const denied = permissionViolation(err);
    return denied ? `missing permission: ${denied.operation} ${JSON.stringify(denied.subject)}` : textOf(err);
  }
}

// Refuses what can be told to be wrong without a worker, which knows more rules.
function check(id: string, request: TaskRequest): void {
  checkName("task_id", id, 128);
  if (request.batch !== undefined) checkName("batch", request.batch, 64);
  if (typeof request.prompt !== "string" || request.prompt.trim() === "") {
    throw new TypeError(`task ${id}: prompt must be a text that is not blank`);
  }
  if (request.url === undefined && request.sessionId === undefined) {
    throw new TypeError(`task ${id}: set url or sessionId`);
  }
}

function checkName(field: string, name: unknown, longest: number): void {
  const form = /^[A-Za-z0-9](?:[\w.=-]*[A-Za-z0-9])?$/;
  if (typeof name !== "string" || name.length > longest || !form.test(name) || name.includes("..")) {
    const shown = JSON.stringify(typeof name === "string" ? name.slice(0, 80) : name);
    const rule = "letters, digits, '.', '_', '-' or '=', begin and end with a letter or digit, and have no '..'";
    throw new TypeError(`${field} must be 1 to ${longest} ${rule} (got ${shown})`);
  }
}

// The digest by which workers tell whether two requests with one task id are the same: the SHA-256 of the JSON with its names
// in order and without space, secret_values and metadata.
function digestOf(body: string): string {
  const { secret_values: _secrets, metadata: _metadata, ...content } = JSON.parse(body) as TaskRequest;
  return createHash("sha256").update(canonical(content)).digest("hex");
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value).sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    return `{${members.map(([name, member]) => `${canonical(name)}:${canonical(member)}`).join(",")}}`;
  }
  const escape = (c: string) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, escape);
}

// Whether the event with these headers answers the request, or is that of the task which the request repeats. The task may
// have been requested with other content: then the digests differ, and a worker answers this request with duplicate_task.
function isAnswered(task: Task, headers: MsgHdrs | undefined, seq: number): boolean {
  const is = (name: string, value: string) => headers?.get(name) === value;
  return seq > task.after && is("ce-source", `/capstan/${task.stream}`) && is("Capstan-Sequence", `${task.seq}`) ||
    is("ce-subject", task.id) && is("Capstan-Digest", task.digest);
}

// Whether nobody answered: there is no JetStream, or no stream on the subject.
const isUnheard = (err: unknown) => err instanceof Error && err.name === "JetStreamNotEnabled";

// Whether another attempt would fail as well.
const isFinal = (err: unknown) =>
  err instanceof ClosedConnectionError || err instanceof InvalidArgumentError || isUnheard(err) ||
  err instanceof JetStreamApiError && err.status !== 503 || permissionViolation(err) !== undefined;

function permissionViolation(err: unknown): PermissionViolationError | undefined {
  for (let cause = err; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof PermissionViolationError) return cause;
  }
  return undefined;
}

// Waits for a promise, or throws the signal's reason if that comes first.
async function untilAborted<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  let abort = () => {};
  const aborted = new Promise<never>((_, reject) => signal.addEventListener("abort", abort = () => reject(signal.reason)));
  return await Promise.race([promise, aborted]).finally(() => signal.removeEventListener("abort", abort));
}

const textOf = (reason: unknown) => reason instanceof Error ? reason.message : String(reason);
