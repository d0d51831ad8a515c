// Runs the request on standard input and prints its event and its result, or the error. SIGINT ends the wait.

import { text } from "node:stream/consumers";
import { connect } from "@nats-io/transport-node";
import { Capstan, type TaskRequest } from "./capstan.ts";

const interrupted = new AbortController();
process.once("SIGINT", () => interrupted.abort(new Error("interrupted")));

const server = new URL(process.env["NATS_URL"] ?? "nats://127.0.0.1:4222");
const login = server.username === "" ? {} : { user: server.username, pass: server.password };
const nc = await connect({ servers: server.host, maxReconnectAttempts: -1, reconnectTimeWait: 200, ...login });
const capstan = new Capstan(nc);
try {
  const request = JSON.parse(await text(process.stdin)) as TaskRequest;
  const event = await capstan.run(request, { signal: interrupted.signal });
  console.log(JSON.stringify({ event, result: await capstan.result(event) }));
} catch (err) {
  console.log(JSON.stringify({ error: (err as Error).message }));
} finally {
  await nc.close();
}
