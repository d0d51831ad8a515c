package anchortest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Plan is what happens to one task. The zero Plan is a workflow that is completed at once with the result "done". As
// JSON, durations are spelled as in Go: "1.5s".
type Plan struct {
	Name string `json:"name,omitempty"` // what a log of calls says of it; see WithCallLog

	Submit []Fault       `json:"submit,omitempty"` // strike its POSTs, in this order; later POSTs succeed
	Poll   []Fault       `json:"poll,omitempty"`   // strike the polls of each of its workflows, likewise
	Run    time.Duration `json:"-"`                // how long the workflow runs after it was accepted or, with Block, released; 0: see WithRunTime
	Block  bool          `json:"block,omitempty"`  // the workflow runs until Server.Release

	Fails int `json:"fails,omitempty"` // its first workflows, so many, end as FAILED

	Interim string          `json:"interim,omitempty"` // state of a running workflow; default RUNNING
	State   string          `json:"state,omitempty"`   // state at the end; default COMPLETED, or FAILED if Error is set
	Result  json.RawMessage `json:"result,omitempty"`  // of a COMPLETED workflow; default "done"
	Error   string          `json:"error,omitempty"`   // of a workflow that ended in another state
}

// marker begins the plan in a prompt. The object begins with its last byte.
const marker = "plan:{"

// Prompt returns a prompt that contains the plan, which MarkedPlan finds in it. The error means that the
// plan cannot be JSON, for example because its result is not.
func Prompt(text string, p Plan) (string, error) {
	plan, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("put plan into prompt: %w", err)
	}
	return text + " plan:" + string(plan), nil
}

// MarkedPlan reads the plan in a prompt: the JSON object after the first "plan:" that is directly followed by "{". A
// prompt without a plan has the zero Plan. The server answers an invalid plan with 400.
func MarkedPlan(t Task) (Plan, error) {
	i := strings.Index(t.Prompt, marker)
	if i < 0 {
		return Plan{}, nil
	}
	var p Plan
	if err := json.NewDecoder(strings.NewReader(t.Prompt[i+len(marker)-1:])).Decode(&p); err != nil {
		return Plan{}, fmt.Errorf("read the plan in the prompt: %w", err)
	}
	return p, nil
}

// faultAt returns the fault of the list that strikes call number n, counted from 0. age is the time since
// the task's first POST or, for a poll, since the workflow was accepted. A fault that is counted uses up
// its number of calls before the next one of the list can strike.
func faultAt(faults []Fault, n int, age time.Duration) (Fault, bool) {
	for _, f := range faults {
		if f.Until > 0 {
			if age < f.Until {
				return f, true
			}
			continue
		}
		if f.Times < 0 || n < max(f.Times, 1) {
			return f, true
		}
		n -= max(f.Times, 1)
	}
	return Fault{}, false
}

// hasEnding reports whether the plan says how the workflow ends. Otherwise an agent may decide.
func (p Plan) hasEnding() bool { return p.State != "" || p.Result != nil || p.Error != "" }

type (
	plainPlan Plan // without methods
	planJSON  struct {
		*plainPlan
		Run duration `json:"run,omitempty"`
	}
)

// MarshalJSON spells Run as in Go.
func (p Plan) MarshalJSON() ([]byte, error) {
	return json.Marshal(planJSON{plainPlan: (*plainPlan)(&p), Run: duration(p.Run)})
}

// UnmarshalJSON reads what MarshalJSON writes. It returns an error for an unknown field.
func (p *Plan) UnmarshalJSON(data []byte) error {
	aux := planJSON{plainPlan: (*plainPlan)(p)}
	if err := unmarshalStrict(data, &aux); err != nil {
		return err
	}
	p.Run = time.Duration(aux.Run)
	return nil
}

// duration is a time.Duration that is spelled as in Go in JSON, such as "1.5s".
type duration time.Duration

// MarshalText spells the duration as time.Duration.String does.
func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = duration(parsed)
	return err
}

// unmarshalStrict reads JSON and refuses fields that v does not have: a misspelled field of a plan would
// otherwise make a test pass that tests nothing.
func unmarshalStrict(data []byte, v any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	return decoder.Decode(v)
}
