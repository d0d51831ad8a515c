package anchortest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Plan is what happens to one task. The zero Plan is a workflow that is completed at once with the
// result "done". As JSON a duration is spelled as in Go: "1.5s".
type Plan struct {
	Submit []Fault       `json:"submit,omitempty"` // what its POSTs meet, in their order; those after the last succeed
	Poll   []Fault       `json:"poll,omitempty"`   // what each workflow's polls meet, likewise
	Run    time.Duration `json:"-"`                // from acceptance to the end; of a blocked one, from its release
	Block  bool          `json:"block,omitempty"`  // the workflow does not end before Server.Release

	Interim string          `json:"interim,omitempty"` // state while it runs; default RUNNING
	State   string          `json:"state,omitempty"`   // state it ends in; default COMPLETED
	Result  json.RawMessage `json:"result,omitempty"`  // of a COMPLETED one: any JSON
	Error   string          `json:"error,omitempty"`   // of one that ended otherwise
}

// marker begins the plan inside a prompt.
const marker = "plan:{"

// Prompt returns a prompt that carries the plan, for MarkedPlan to find.
func Prompt(text string, p Plan) (string, error) {
	plan, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("put plan into prompt: %w", err)
	}
	return text + " plan:" + string(plan), nil
}

// MarkedPlan reads the JSON object that follows the first "plan:" directly before a "{" in the prompt. A
// prompt without one has the zero Plan; one that is no plan is an error, answered with 400.
func MarkedPlan(t Task) (Plan, error) {
	i := strings.Index(t.Prompt, marker)
	if i < 0 {
		return Plan{}, nil
	}
	var p Plan
	if err := json.NewDecoder(strings.NewReader(t.Prompt[i+len("plan:"):])).Decode(&p); err != nil {
		return Plan{}, fmt.Errorf("read the plan in the prompt: %w", err)
	}
	return p, nil
}

// strike returns the fault that the list has for call number n, which counts from 0 and comes so long after the
// first, or after what it asks for began.
func strike(faults []Fault, n int, age time.Duration) (Fault, bool) {
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

// ends reports whether the plan itself says how the workflow ends.
func (p Plan) ends() bool { return p.State != "" || p.Result != nil || p.Error != "" }

type (
	plainPlan Plan
	planJSON  struct {
		*plainPlan
		Run duration `json:"run,omitempty"`
	}
)

// MarshalJSON writes Run as a text.
func (p Plan) MarshalJSON() ([]byte, error) {
	return json.Marshal(planJSON{plainPlan: (*plainPlan)(&p), Run: duration(p.Run)})
}

// UnmarshalJSON reads what MarshalJSON writes. An unknown field is an error.
func (p *Plan) UnmarshalJSON(data []byte) error {
	aux := planJSON{plainPlan: (*plainPlan)(p)}
	if err := strict(data, &aux); err != nil {
		return err
	}
	p.Run = time.Duration(aux.Run)
	return nil
}

// duration is spelled as in Go in JSON.
type duration time.Duration

func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = duration(parsed)
	return err
}

func strict(data []byte, v any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	return decoder.Decode(v)
}
