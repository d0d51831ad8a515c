package probe

import (
	"slices"
	"time"
)

// Verdict says whether SESSIONS=on can rest on a fact.
type Verdict string

// The verdicts.
const (
	Fine    Verdict = "fine"
	Bad     Verdict = "bad"
	Unknown Verdict = "unknown" // it could not be found out
)

// Need is what a fact is needed for.
type Need string

// The needs.
const (
	ForSessions Need = "sessions" // SESSIONS=on
	ForFence    Need = "fence"    // on_unknown_submission: fence, with SESSIONS=on
	ForNothing  Need = "nothing"  // it is good to know
)

// Finding is what was seen of one fact.
type Finding struct {
	Fact    string
	Need    Need
	Verdict Verdict

	// Seen is a sentence for people. It may quote an error of the API, so print it with care. It contains no key and no link to
	// a browser.
	Seen string

	// Took is how long it took until the fact was seen; 0 if time says nothing about it.
	Took time.Duration
}

// The facts, in the words of a finding.
const (
	factNoWorkflow = "unknown workflow id"
	factCreate     = "new session"
	factRate       = "RateLimit headers"
	factList       = "list by tag"
	factTask       = "task in a session"
	factEnd        = "end of a session"
	factFigures    = "steps after the end"
	factLate       = "task in an ended session"
	factLive       = "steps during a task"
	factEndBusy    = "end of a busy session"
	factOrphan     = "workflow without session"
	factEndedSteps = "steps of an ended task"
	factCleanUp    = "clean-up"
)

// needs returns the facts that are needed for something, in the order in which they are looked at.
func needs() []Finding {
	return []Finding{
		{Fact: factCreate, Need: ForSessions},
		{Fact: factTask, Need: ForSessions},
		{Fact: factEnd, Need: ForSessions},
		{Fact: factFigures, Need: ForFence},
		{Fact: factLate, Need: ForFence},
		{Fact: factEndBusy, Need: ForSessions},
		{Fact: factOrphan, Need: ForSessions},
		{Fact: factEndedSteps, Need: ForFence},
		{Fact: factCleanUp, Need: ForSessions},
	}
}

// needOf returns what a fact is needed for.
func needOf(fact string) Need {
	for _, f := range needs() {
		if f.Fact == fact {
			return f.Need
		}
	}
	return ForNothing
}

// has reports whether a fact was found with one of the verdicts.
func (r *run) has(fact string, verdicts ...Verdict) bool {
	return slices.ContainsFunc(r.findings, func(f Finding) bool { return f.Fact == fact && slices.Contains(verdicts, f.Verdict) })
}
