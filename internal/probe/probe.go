// Package probe is the command capstan probe: it tries on an account what the API's document leaves open about browser
// sessions, and says whether tasks can run in sessions of their own.
package probe

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/task"
)

// What a probe uses, at most, for the words that announce it.
const (
	Sessions = 2
	Tasks    = 3
	Steps    = wholeSteps + longSteps + lateSteps
)

// MaxDuration is after how long the API ends a session of a probe that nobody could end.
const MaxDuration = 20 * time.Minute

// idleTimeout is after how long the API ends one that nobody uses.
const idleTimeout = 10 * time.Minute

// Waits is how long a probe waits for what it looks for.
type Waits struct {
	Pause    time.Duration // between two looks
	List     time.Duration // for a new session to be listed
	Run      time.Duration // for a short task to end
	Step     time.Duration // for the first step of a long task
	End      time.Duration // for a session to be seen as ended
	Workflow time.Duration // for the workflow of an ended session to end
	Figures  time.Duration // for the steps and credits of an ended session to be final
	Quiet    time.Duration // figures that have not changed for so long are final
}

// DefaultWaits are the waits for the real API. With them, a probe takes at most about a quarter of an hour.
func DefaultWaits() Waits {
	return Waits{
		Pause: 2 * time.Second, List: 30 * time.Second, Run: 4 * time.Minute, Step: 90 * time.Second, End: 30 * time.Second,
		Workflow: time.Minute, Figures: 2 * time.Minute, Quiet: 30 * time.Second,
	}
}

// Probe makes the calls. Use it from one goroutine at a time.
type Probe struct {
	client *anchor.Client
	waits  Waits
	starts *task.Starts // what the latest POST's answer said of the rate; nil if nothing
}

// New returns a probe that makes no call yet. The error names each mistake in cfg on a line.
func New(cfg anchor.Config, version string, waits Waits) (*Probe, error) {
	p := &Probe{waits: waits}
	client, err := anchor.New(cfg, version, prometheus.NewRegistry(), anchor.WithStarts(func(s task.Starts) { p.starts = &s }))
	if err != nil {
		return nil, err
	}
	p.client = client
	return p, nil
}

// Close closes idle connections.
func (p *Probe) Close() { p.client.Close() }

// Run looks at one fact after the other, reports each finding as it comes, and returns what follows from them. Before it
// returns, it ends all sessions that it has created, also after an error and after the end of ctx. That takes at most about
// two minutes if the API does not answer.
func (p *Probe) Run(ctx context.Context, report func(Finding)) Conclusion {
	r := &run{Probe: p, tag: "capstan-probe:" + strings.ToLower(rand.Text()), report: report}
	func() {
		defer r.endAll(ctx)
		r.look(ctx)
	}()
	return conclude(r.findings, r.credits)
}

// run is one run of a probe.
type run struct {
	*Probe
	tag      string // of its sessions, and of no other
	report   func(Finding)
	findings []Finding
	sessions []*session // that it has created
	lost     bool       // a session may exist whose id did not arrive
	credits  float64    // that the sessions have used, as far as the API says it
}

// look makes all calls but those that clean up.
func (r *run) look(ctx context.Context) {
	r.unknownWorkflow(ctx)
	if s := r.create(ctx); s != nil {
		r.rateLimit(ctx)
		r.listed(ctx, s)
		r.wholeTask(ctx, s)
	}
	if ctx.Err() != nil || r.has(factCreate, Unknown, Bad) {
		return
	}
	if s := r.create(ctx); s != nil {
		r.endedTask(ctx, s)
	}
}

// add reports a finding. After the end of ctx, calls fail for that reason alone, so there is nothing to report.
func (r *run) add(ctx context.Context, f Finding) {
	if ctx.Err() != nil {
		return
	}
	f.Need = needOf(f.Fact)
	r.findings = append(r.findings, f)
	r.report(f)
}

// until looks once, and then after each pause, until look returns true, the wait is over or ctx ends. It reports whether look
// returned true.
func (r *run) until(ctx context.Context, wait time.Duration, look func() bool) bool {
	over := time.NewTimer(wait)
	defer over.Stop()
	for !look() {
		pause := time.NewTimer(r.waits.Pause)
		select {
		case <-pause.C:
		case <-over.C:
			pause.Stop()
			return false
		case <-ctx.Done():
			pause.Stop()
			return false
		}
	}
	return true
}
