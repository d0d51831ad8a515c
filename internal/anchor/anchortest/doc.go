// Package anchortest is a stand-in for Anchor Browser's API: an HTTP server that accepts tasks, runs workflows and
// reports their state in the documented forms, and that can fail in every way the real API can.
//
// # Plans
//
// A [Plan] says what happens to one task: how long its workflow runs, how it ends, and which faults the calls meet. It
// comes from the function given to [WithPlan], or from the prompt itself (see [Prompt]), so that a test can plan a task
// that it publishes to another process. A workflow whose plan has Block set runs until the test calls [Server.Release]:
// no test needs to guess how long something takes. A submission that is not asynchronous is answered when its workflow
// ends.
//
// # Faults
//
// A [Fault] is what goes wrong with one call: an error, a delay, a broken connection, a page of a gateway. Functions
// such as [Answer], [Reset] and [HTML] return common ones. The faults of a plan strike its task only, in their order;
// [Server.FailAll] is an outage for all tasks, and [WithRandomFaults] adds faults at random. An outage takes precedence
// over a plan, unless it only makes calls slow, and a plan over random faults. A fault can strike before or after the task
// was accepted: [Fault.ButAccepted] is a call that failed although its workflow runs.
//
// Common faults, and ways in which a workflow can end, have names ([NamedFaults]). [ParseFaults] reads them with the share
// of the calls that each strikes, and [ReadScript] reads a file that says what happens to which task.
//
// # Sessions
//
// A session is a browser in use until it is ended or its time is over. A task without a session takes a browser of its
// own. [WithMaxRunning] and [WithStartRate] bound both. A [SessionPlan] says which faults the calls about one session meet;
// it comes from the function given to [WithSessionPlan], or from a tag of the session (see [SessionTag]). [SessionRules] are
// what the API's document leaves open, such as what becomes of a workflow whose session has ended. [Server.Sessions] says
// what became of each session.
//
// # The log
//
// The stand-in counts the calls for each task: a task with one accepted submission was neither lost nor run twice (see
// [Server.Log] and [Server.StartedTwice]). It also notes when a task was posted, ended, and was seen to have ended. Other processes have the same over HTTP:
//
//	GET    /_stand-in/log        the log of all tasks, or of ?task=NAME
//	GET    /_stand-in/sessions   what became of each session
//	GET    /_stand-in/totals     the sums over all tasks
//	PUT    /_stand-in/release    releases all blocked workflows, or those of ?task=NAME
//	PUT    /_stand-in/outage     begins an outage with the Fault in the body (JSON)
//	DELETE /_stand-in/outage     ends it
//
// The stand-in has no AI and no browser. For demonstrations, [PageReader] fetches the page of a task and answers with
// what it finds there, and [SampleSite] is a web site to read. It must not be part of a worker in production.
package anchortest
