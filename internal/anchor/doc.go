// Package anchor is a client for Anchor Browser's API. It submits web tasks and asks for the status of their workflows, and
// it creates, finds and ends browser sessions for them.
//
// One method call is at most one request on the wire. Nothing here waits or retries: a submission starts an agent
// that costs money and acts on web sites, and the API has neither an idempotency key nor a list of workflows. So the
// error says what is known, and the caller decides.
//
// [Client.Submit] returns a [task.SubmitError] of one of three kinds:
//
//   - Refused: the API itself refused the task, with a 4xx in the form of its own errors, or answered with a redirect.
//     The same request would be refused again.
//   - NotNow: nothing was accepted, and the task may be accepted later. The request was never sent; or the answer is 401,
//     402, 403, 407, 408, 425, 429, a 503 or 529 with Retry-After, or a 4xx that a gateway in front of the API gave.
//   - Unknown: the task may or may not run. The connection broke or the time ran out after a part of the request was
//     sent; or the answer is any other 5xx, or a success without a workflow id.
//
// [Client.Status] returns a [task.StatusError] that says nothing about the workflow, unless the API itself does not
// know the workflow (see [task.StatusError.UnknownWorkflow]).
//
// [Client.CreateSession] returns a [task.SubmitError], too: a session may or may not exist after Unknown, and does not after
// the other kinds. [Client.Session], [Client.EndSession] and [Client.FindSessions] change nothing or may be repeated; they
// return a [task.SessionError]. No call of this package ends a session but EndSession, and that one ends no other session
// than the one it names. The links with which a session can be controlled are in no error: cdp_url is not even kept.
//
// Errors and metrics never contain the API key. The messages of errors may quote the request, as the API's own do.
package anchor
