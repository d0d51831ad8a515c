// Package redact replaces secrets in texts and JSON by marks such as [redacted:PASSWORD].
//
// A secret is found as it is, and also in these forms:
//
//   - escaped once, as in a JSON string (\" or \u0022), in a URL (%22) or in HTML (&quot; or &#34;);
//   - escaped twice, in any two of these forms around each other: JSON that is a string in JSON, JSON in the query of a
//     URL, a URL in an attribute of HTML;
//   - with a blank and a + exchanged, because a + in a query means a blank;
//   - as a JSON number, if the secret is written like the number.
//
// It is not found in other encodings (base64, upper case), nor with a part missing.
//
// An Aho-Corasick automaton searches for all secrets together. It reads the text once as it is and, only if the text
// contains the first byte of an escape, again for each order in which escapes may be nested. So the time grows linearly
// with the text, whatever the number of secrets. The memory is about ten bytes for each byte of a secret, plus about two
// bytes for each byte of a text in which a secret is found.
//
// The search itself is in [Redactor]; [Secrets] are the values, which print as [redacted].
package redact
