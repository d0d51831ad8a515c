package probe_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/probe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quick are waits in which a stand-in shows everything that it will show.
func quick() probe.Waits {
	return probe.Waits{
		Pause: 5 * time.Millisecond, List: 5 * time.Second, Run: 5 * time.Second, Step: 5 * time.Second, End: 5 * time.Second,
		Workflow: 5 * time.Second, Figures: 5 * time.Second, Quiet: 100 * time.Millisecond,
	}
}

// soon are waits that are over soon, for what never comes.
func soon(change func(*probe.Waits)) probe.Waits {
	w := quick()
	change(&w)
	return w
}

// longTask lets the task that is to be ended run for an hour, and the others end at once.
func longTask(t anchortest.Task) anchortest.Plan {
	if strings.Contains(t.Prompt, "one after the other") {
		return anchortest.Plan{Run: time.Hour}
	}
	return anchortest.Plan{}
}

// tried is what a probe found.
type tried struct {
	findings   []probe.Finding
	conclusion probe.Conclusion
}

// verdict returns what was found of a fact, or "" if it was not looked at. The last finding counts.
func (r tried) verdict(fact string) (v probe.Verdict, seen string) {
	for _, f := range r.findings {
		if f.Fact == fact {
			v, seen = f.Verdict, f.Seen
		}
	}
	return v, seen
}

// startAPI starts a stand-in.
func startAPI(t *testing.T, opts ...anchortest.Option) *anchortest.Server {
	t.Helper()
	api := anchortest.New(append([]anchortest.Option{anchortest.WithPlan(longTask)}, opts...)...)
	if err := api.Start("127.0.0.1:0"); err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(api.Close)
	return api
}

// run runs a probe against a stand-in. onFinding is called for each finding; nil for nothing.
func run(ctx context.Context, t *testing.T, api *anchortest.Server, waits probe.Waits, onFinding func()) tried {
	t.Helper()
	cfg := anchor.Config{APIKey: anchor.Secret(api.Key()), BaseURL: api.URL(), RequestTimeout: 5 * time.Second}
	p, err := probe.New(cfg, "1.2.3", waits)
	if err != nil {
		t.Fatalf("new probe: %v", err)
	}
	defer p.Close()
	var r tried
	r.conclusion = p.Run(ctx, func(f probe.Finding) {
		r.findings = append(r.findings, f)
		if onFinding != nil {
			onFinding()
		}
	})
	return r
}

// openSessions returns the ids of the sessions that are still open.
func openSessions(api *anchortest.Server) (ids []string) {
	for _, s := range api.Sessions() {
		if s.Ended.IsZero() {
			ids = append(ids, s.ID)
		}
	}
	return ids
}
