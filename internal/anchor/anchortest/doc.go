// Package anchortest is a stand-in for Anchor Browser's API: an HTTP server that starts workflows and
// tells how far they are, in the documented shapes, and that fails in every way the real one can.
//
// What happens to a task is its Plan: which faults its submissions and polls meet, how long it runs and
// how it ends. A plan comes from the function given to WithPlan, or from the prompt itself (Prompt), so
// that another process can script it too. Outages, limits and random faults strike all tasks.
//
// The stand-in counts what it was asked, per task: how many submissions it saw and how many workflows it
// started. That is what tells whether a task was lost or run twice. Other processes read the same at
//
//	GET    /_stand-in/log            everything, or ?task=NAME
//	PUT    /_stand-in/release        the end of a block: of all workflows, or those of ?task=NAME
//	PUT    /_stand-in/outage         a Fault for every call from now on, as JSON
//	DELETE /_stand-in/outage         the end of it
//
// It is no AI and opens no browser. For the demo, PageReader fetches the page a task names and answers
// with what stands there, and SampleSite is a site to read. A worker in production never imports this.
package anchortest
