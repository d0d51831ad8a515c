// Calls the stub with the npm package anchorbrowser as it is, and prints a line of JSON for each step. Base URL and key
// come from the variables that the package reads by itself.
import Anchorbrowser from "anchorbrowser";

const client = new Anchorbrowser();
const print = (step, value) => console.log(JSON.stringify({ step, value }));

const schema = { type: "object", properties: { heading: { type: "string" } }, required: ["heading"] };
const sync = await client.tools.performWebTask({ prompt: "Read the heading", url: "https://example.com", output_schema: schema });
print("synchronous", sync);

const started = await client.tools.performWebTask({
  prompt: "Read it all",
  url: "https://example.com",
  async: true,
  agent: "browser-use",
  provider: "openai",
  model: "gpt-5",
  detect_elements: false,
  highlight_elements: true,
  human_intervention: false,
  max_steps: 40,
  secret_values: { PIN: "1234" },
  output_schema: schema,
  directlyOpenUrl: true,
});
print("asynchronous", started.data.status);

/** result polls a workflow until it has ended. */
async function result(workflow) {
  for (;;) {
    const { data } = await client.tools.getPerformWebTaskStatus(workflow);
    if (data.status !== "RUNNING") return data;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
print("status", await result(started.data.workflow_id));

const created = await client.sessions.create({ session: { tags: ["night"], timeout: { max_duration: 5 } } });
const id = created.data.id;
print("cdp_url", created.data.cdp_url.startsWith("ws://") && created.data.live_view_url.startsWith("http://"));
print("retrieve", (await client.sessions.retrieve(id)).data.status);
print("all", (await client.sessions.all.status()).data.items.filter((item) => item.session_id === id).length);
const inside = await client.tools.performWebTask({ prompt: "Read it here", sessionId: id, async: true });
print("in session", (await result(inside.data.workflow_id)).status);
print("list", (await client.get("/v1/sessions", { query: { tags: "night" } })).data.total);
print("delete", (await client.sessions.delete(id)).data.status);
print("ended", (await client.sessions.retrieve(id)).data.status);

/** failure returns the class and the status of the error with which a call ends. */
async function failure(call) {
  try {
    return await call();
  } catch (error) {
    return [error.constructor.name, error.status, error.error?.error?.message ?? error.message];
  }
}
print("wrong key", await failure(() => new Anchorbrowser({ apiKey: "wrong" }).sessions.create()));
print("bad agent", await failure(() => client.tools.performWebTask({ prompt: "x", agent: "nobody" })));
print("limited", await failure(() => client.tools.performWebTask({ prompt: "limited", async: true })));
print("limited no more", (await client.tools.performWebTask({ prompt: "limited", async: true })).data.status);
print("failed", await failure(() => client.tools.performWebTask({ prompt: "fails" })));
