// Reads a schema from the path that it is given and JSON texts from standard input, one in a JSON string on each line, and
// prints for each of them whether it fits: the schema's keywords and patterns are to mean the same outside of Go.
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import Ajv from "ajv/dist/2020.js";
import formats from "ajv-formats";

const ajv = new Ajv.default();
formats.default(ajv);
const fits = ajv.compile(JSON.parse(await readFile(process.argv[2], "utf8")));
for await (const line of createInterface({ input: process.stdin })) {
  console.log(fits(JSON.parse(JSON.parse(line))));
}
