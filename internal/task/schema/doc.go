// Package schema checks JSON against JSON Schema within a budget of steps and memory.
//
// # Why a budget
//
// A schema and the value to check come from strangers: the author of a request, and the agent that answered it. A small
// schema can make any validator run for years, and a small pattern too; a value of a few megabytes can produce
// gigabytes of violations. The validator (santhosh-tekuri/jsonschema) has no limits of its own, and a time limit would
// make the verdict depend on how busy the machine is. So this package leaves the cheap work to the validator, and
// replaces the keywords whose cost or number of violations has no bound:
//
//   - Every subschema has a [visit] that counts steps before anything else is checked. It also checks type, enum and const.
//   - Keywords for the inside of objects and arrays, such as properties and items, are checked by [children], which
//     decodes large values piece by piece and stops after a few violations.
//   - Patterns are compiled to a [program] that reads a text once. The validator would use Go's regexp, which is not
//     ECMA-262 and has no look-around.
//
// # Steps
//
// A step is a unit of work that takes about a microsecond: a visit to a value, 64 operations of a pattern's search, a few
// comparisons. The budget of a check is 250,000 steps, plus 25 for each JSON value and one for two bytes of its text: an
// ordinary schema stays far below it for any value. A check that needs more is stopped, at the same point on every
// machine, and the value then does not fit (a [MisfitError] that says "it takes too long to check").
//
// Memory is estimated before anything is decoded. A job that is small and takes less than a moment (20,000 steps) runs at
// once. Others wait for their turn and for memory from a budget that the whole process shares.
//
// # What is understood
//
// Drafts 4, 6, 7, 2019-09 and 2020-12. The keyword $schema selects the draft; the default is 2020-12. So a draft-04 schema
// without $schema is read as 2020-12: definitions works as a place for $ref, but exclusiveMinimum: true and an array in
// items are errors, and id has no effect. Keywords of OpenAPI 3.0, such as nullable, are not part of JSON Schema and have
// no effect: a value that may be null has "type": ["string", "null"]. A $schema that names another dialect (OpenAPI 3.1,
// draft-03) is an error, and so is a $ref to another document: nothing is loaded.
//
// As the drafts say, format is checked up to draft 7 and is an annotation since 2019-09; contentEncoding and
// contentMediaType are annotations in all drafts. Patterns are ECMA-262 with the flag u; a pattern that is only valid
// without that flag, such as [\w-.], is read without it. The search takes time proportional to the length of the text times
// that of the pattern, even with look-around. Only patterns with back-references can take longer, within the budget.
package schema
