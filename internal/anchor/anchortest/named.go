package anchortest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"
)

const (
	// pollPrefix before the name of a fault makes it strike status calls.
	pollPrefix = "poll-"

	// sessionPrefix before the name of a fault makes it strike the calls that read, list and end sessions.
	sessionPrefix = "session-"

	// retrySeconds is the Retry-After of named faults, which is shorter than that of the API, so that tests are short.
	retrySeconds = 5

	// slowAnswer is the delay of the named fault slow.
	slowAnswer = 10 * time.Second
)

// Named is a fault of a call, or an ending of a workflow, that a flag or a script can name.
type Named struct {
	Name  string
	About string // what happens, in a few words

	Fault      *Fault // of a submission, and of other calls with a prefix before the name; else nil
	Ending     *Plan  // of a workflow; else nil
	ForPoll    bool   // whether the name with "poll-" before it exists, for status calls
	ForSession bool   // whether the name with "session-" before it exists, for the calls that read, list and end sessions
}

// takes reports whether the name with a prefix exists. The empty prefix is none.
func (n Named) takes(prefix string) bool {
	switch prefix {
	case pollPrefix:
		return n.ForPoll
	case sessionPrefix:
		return n.ForSession
	default:
		return true
	}
}

// cutCallPrefix returns the prefix of a name, or "", and the rest.
func cutCallPrefix(name string) (prefix, base string) {
	for _, prefix := range []string{pollPrefix, sessionPrefix} {
		if base, ok := strings.CutPrefix(name, prefix); ok {
			return prefix, base
		}
	}
	return "", name
}

// NamedFaults returns all of them, in the order of the documentation. Besides, every HTTP status from 400 to 599 is the
// name of a fault.
func NamedFaults() []Named {
	return slices.Concat(namedCalls(), namedEndings())
}

// namedCalls are the faults of calls.
func namedCalls() []Named {
	call := func(name, about string, f Fault) Named {
		f.Name = name
		return Named{Name: name, About: about, Fault: &f, ForPoll: true, ForSession: true}
	}
	lost, noID, html := Reset().ButAccepted(), NoID().ButAccepted(), HTML(http.StatusBadGateway)
	lost.Name, noID.Name = "lost-answer", "no-id"
	return []Named{
		{Name: "lost-answer", About: "the workflow runs, but the connection is reset before the answer", Fault: &lost, ForSession: true},
		{Name: "no-id", About: "the workflow runs, but the answer has no workflow id", Fault: &noID},
		call("reset", "the connection is reset, and nothing is accepted", Reset()),
		call("hang", "the workflow runs, but there is no answer until the client gives up", Hang().ButAccepted()),
		call("slow", "the answer comes after 10 s", Fault{After: slowAnswer}),
		call("cut", "the workflow runs, but the connection is reset in the middle of the answer", Fault{Cut: true}),
		call("garbage", "the workflow runs, but the answer is not JSON", Garbage().ButAccepted()),
		call("html", "502 with a page of a gateway", html),
		call("overloaded", "503 with Retry-After", Unavailable(retrySeconds)),
	}
}

// namedEndings are the endings of workflows.
func namedEndings() []Named {
	ending := func(name, about string, p Plan) Named {
		p.Name = name
		return Named{Name: name, About: about, Ending: &p}
	}
	return []Named{
		ending("failed", "FAILED", Plan{Error: "The browser crashed"}),
		ending("canceled", "CANCELED", Plan{State: "CANCELED", Error: "The workflow was canceled"}),
		ending("step-limit", "COMPLETED, stopped by max_steps", Plan{Result: json.RawMessage(`"Task completed (max steps reached)"`)}),
		ending("step-limit-failed", "FAILED, stopped by max_steps", Plan{Error: "Maximum number of steps exceeded"}),
		ending("agent-failed", "COMPLETED, but the agent says that it failed",
			Plan{Result: json.RawMessage(`{"status":"failed","result":null,"error":"the page did not load"}`)}),
		ending("empty", "COMPLETED with an empty result", Plan{Result: json.RawMessage(`""`)}),
		ending("wrong-result", "COMPLETED with a result that hardly fits an output_schema", Plan{Result: json.RawMessage(`[null]`)}),
		ending("stuck", "RUNNING for 20 minutes, the longest duration of a session, and then FAILED",
			Plan{Run: defaultMaxDuration * time.Minute, Error: "the browser session has ended"}),
		ending("forgotten", "every status call is answered with 404", Plan{Poll: []Fault{NotYet().Repeated(-1)}}),
	}
}

// findNamed returns the fault or the ending of that name. The error proposes a similar name.
func findNamed(name string) (Named, error) {
	prefix, base := cutCallPrefix(name)
	if status, err := strconv.Atoi(base); err == nil {
		return namedStatus(name, status)
	}
	for _, named := range NamedFaults() {
		if named.Name == base && named.takes(prefix) {
			return named, nil
		}
	}
	return Named{}, fmt.Errorf("no fault has the name %.100q: did you mean %s?", name, nearestName(name))
}

// namedStatus returns the fault that answers with a status.
func namedStatus(name string, status int) (Named, error) {
	if status < 400 || status > 599 {
		return Named{}, fmt.Errorf("a status must be from 400 to 599 (got %.100q)", name)
	}
	f := Answer(status)
	if status == http.StatusTooManyRequests {
		f = RateLimited(retrySeconds)
	}
	f.Name = strconv.Itoa(status)
	return Named{Name: f.Name, About: http.StatusText(status), Fault: &f, ForPoll: true, ForSession: true}, nil
}

// nearestName returns the name that takes the fewest edits.
func nearestName(name string) string {
	name = name[:min(len(name), 100)]
	var names []string
	for _, named := range NamedFaults() {
		for _, prefix := range []string{"", pollPrefix, sessionPrefix} {
			if named.takes(prefix) {
				names = append(names, prefix+named.Name)
			}
		}
	}
	edits := func(known string) int { return levenshtein.ComputeDistance(name, known) }
	return slices.MinFunc(names, func(a, b string) int { return edits(a) - edits(b) })
}
