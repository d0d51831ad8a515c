package probe_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/probe"
)

// An API, or what stands before it, may put anything into any text.
func TestNoSecretIsReported(t *testing.T) {
	t.Parallel()
	const link = "wss://live.example/x?apiKey="
	huge := strings.Repeat("\u202ea\x1b", 200_000)
	for name, text := range map[string]string{"a link": link + "stand-in-key", "a member": `cdp_url: stand-in-key`, "the key": "stand-in-key", "much": huge} {
		message, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		body := anchortest.Fault{Status: 500, Body: `{"error":{"message":` + string(message) + `}}`, Times: -1}
		state := anchortest.State(text)
		for call, api := range map[string]*anchortest.Server{
			"create": faulty(t, anchortest.SessionPlan{Create: []anchortest.Fault{body}}),
			"end":    faulty(t, anchortest.SessionPlan{End: []anchortest.Fault{body}}),
			"get":    faulty(t, anchortest.SessionPlan{Get: []anchortest.Fault{body}}),
			"list":   faulty(t, anchortest.SessionPlan{List: []anchortest.Fault{body}}),
			"submit": startAPI(t, anchortest.WithPlan(func(anchortest.Task) anchortest.Plan { return anchortest.Plan{Submit: []anchortest.Fault{body}} })),
			"poll":   startAPI(t, anchortest.WithPlan(func(anchortest.Task) anchortest.Plan { return anchortest.Plan{Poll: []anchortest.Fault{body}} })),
			"state": startAPI(t, anchortest.WithPlan(func(anchortest.Task) anchortest.Plan {
				return anchortest.Plan{Poll: []anchortest.Fault{state.Repeated(-1)}}
			})),
		} {
			t.Run(call+" "+name, func(t *testing.T) {
				t.Parallel()
				const wait = 20 * time.Millisecond
				waits := probe.Waits{Pause: wait / 4, List: wait, Run: wait, Step: wait, End: wait, Workflow: wait, Figures: wait, Quiet: wait / 2}
				for _, f := range run(t.Context(), t, api, waits, nil).findings {
					if strings.Contains(f.Seen, api.Key()) || strings.Contains(f.Seen, "apiKey") || strings.Contains(f.Seen, "cdp_url") || len(f.Seen) > 1000 {
						t.Errorf("got %.1000q, want no secret and no long text", f)
					}
				}
			})
		}
	}
}
