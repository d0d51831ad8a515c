// Reads the AsyncAPI document of the path that it is given with the official parser, and prints what the parser finds:
// mistakes, warnings and advice, one per line. The exit status is 1 if the document cannot be read.
import { readFile } from "node:fs/promises";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(await readFile(process.argv[2], "utf8"));
for (const each of diagnostics) {
  const severity = ["error", "warning", "information", "hint"][each.severity];
  console.log(`${severity}: ${each.path.join("/")}: ${each.message} (${each.code})`);
}
if (document === undefined) {
  process.exit(1);
}
for (const channel of document.channels().all()) {
  console.log(`channel: ${channel.id()} ${channel.address()} ${channel.messages().all().map((m) => m.id()).join(" ")}`);
}
