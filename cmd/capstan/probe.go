package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/check"
	"github.com/capstan-worker/capstan/internal/probe"
)

// probeCmd tries on the user's account what Anchor does not document about browser sessions.
type probeCmd struct {
	Yes  bool `help:"Do it without asking."`
	JSON bool `name:"json" help:"Print each finding as a line of JSON with fact, verdict (fine, bad or unknown), needed_for, seen and seconds, and then one with the conclusion."`
}

// Help is printed below the flags.
func (*probeCmd) Help() string {
	return `With SESSIONS=on, Capstan gives each task a browser session of its own. That rests on facts that Anchor
does not document. This finds them out with the account of ANCHORBROWSER_API_KEY, and prints a line per
fact. It needs no NATS and no worker.

` + probeCost() + `

The exit status is 0 if SESSIONS=on can be used, and 1 if not.`
}

// probeCost says what a probe does and what that costs.
func probeCost() string {
	return fmt.Sprintf(`It creates %d browser sessions, one after the other, and submits %d tasks on example.com with at most %d
steps together, one of them into a session that has ended. It ends the sessions itself, also after Ctrl-C;
Anchor ends them after %.0f minutes at the latest. By an older price list of Anchor (0.01 per browser, 0.05 per
browser hour, 0.01 per step) it costs at most about 0.25 US dollars. It takes 2 to 15 minutes.`,
		probe.Sessions, probe.Tasks, probe.Steps, probe.MaxDuration.Minutes())
}

// Run asks, and prints each finding as it comes.
func (c *probeCmd) Run(ctx context.Context, t *terminal) error {
	return c.probe(ctx, t, probe.DefaultWaits())
}

// probe is Run with other waits.
func (c *probeCmd) probe(ctx context.Context, t *terminal, waits probe.Waits) error {
	p, err := newProbe(waits)
	if err != nil {
		return err
	}
	defer p.Close()
	if !c.Yes {
		if err := c.ask(ctx, t); err != nil {
			return err
		}
	}
	report := func(f probe.Finding) { printFinding(t, f) }
	if c.JSON {
		report = func(f probe.Finding) { printFindingJSON(t, f) }
	}
	conclusion := p.Run(ctx, report)
	if c.JSON {
		printConclusionJSON(t, conclusion)
	} else {
		t.printf("\n")
		t.paragraph(fmt.Sprintf("%s. Credits used, as far as Anchor says: %.4g", conclusion.Text, conclusion.Credits))
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case !conclusion.Sessions:
		return errors.New("SESSIONS=on cannot be used with this account")
	default:
		return nil
	}
}

// newProbe returns a probe with the settings of the API. Mistakes in other settings do not matter.
func newProbe(waits probe.Waits) (*probe.Probe, error) {
	cfg, mistakes := app.LoadCheckedConfig()
	var own []string
	for _, mistake := range mistakes {
		if strings.Contains(mistake, "ANCHORBROWSER_") {
			own = append(own, mistake)
		}
	}
	if len(own) > 0 {
		return nil, usageError{errors.New(strings.Join(own, "\n"))}
	}
	p, err := probe.New(cfg.Anchor, version, waits)
	if err != nil {
		return nil, usageError{err}
	}
	return p, nil
}

// ask says what the probe will do and waits for a yes. Where nobody can answer, --yes is needed. The question goes to standard
// error, so that the findings can be piped into another program.
func (*probeCmd) ask(ctx context.Context, t *terminal) error {
	t.note("%s", probeCost())
	if t.in != nil {
		return usageError{errors.New("nobody can be asked, because standard input is not a terminal: add --yes. Nothing was sent")}
	}
	_, _ = fmt.Fprint(t.err, "Go on? [y/N] ")
	yes, err := readYes(ctx, os.Stdin)
	switch {
	case err != nil:
		return err
	case !yes:
		return usageError{errors.New("not confirmed: nothing was sent")}
	default:
		return nil
	}
}

// readYes reads a line, and reports whether it says yes. If ctx ends first, the line is still being read when it returns: only
// the end of the process ends that.
func readYes(ctx context.Context, in io.Reader) (bool, error) {
	lines := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(in).ReadString('\n') // the end of the input is no yes
		lines <- line
	}()
	select {
	case line := <-lines:
		answer := strings.ToLower(strings.TrimSpace(line))
		return answer == "y" || answer == "yes", nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

// printFinding prints a finding as a line of a check. One that SESSIONS=on does not need is only a warning.
func printFinding(t *terminal, f probe.Finding) {
	level := check.Warn
	switch {
	case f.Verdict == probe.Fine:
		level = check.OK
	case f.Verdict == probe.Bad && f.Need != probe.ForNothing:
		level = check.Bad
	}
	printResult(t, check.Result{Level: level, Subject: f.Fact, Text: f.Seen})
}

// printFindingJSON prints a finding as a line of JSON. The names of its members and its verdicts are stable.
func printFindingJSON(t *terminal, f probe.Finding) {
	_ = t.printJSONLine(struct { // texts can always be encoded
		Fact    string        `json:"fact"`
		Verdict probe.Verdict `json:"verdict"`
		Need    probe.Need    `json:"needed_for"`
		Seen    string        `json:"seen"`
		Seconds float64       `json:"seconds"`
	}{f.Fact, f.Verdict, f.Need, f.Seen, f.Took.Round(time.Millisecond).Seconds()})
}

// printConclusionJSON prints the conclusion, likewise.
func printConclusionJSON(t *terminal, c probe.Conclusion) {
	_ = t.printJSONLine(struct {
		Conclusion string  `json:"conclusion"`
		Sessions   bool    `json:"sessions"`
		Fence      bool    `json:"fence"`
		Credits    float64 `json:"credits"`
	}{c.Text, c.Sessions, c.Fence, c.Credits})
}
