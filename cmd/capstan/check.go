package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/fatih/color"

	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/check"
	"github.com/capstan-worker/capstan/internal/settings"
)

// The default times for checks, and for a question to a worker on the same machine, which answers at once.
const (
	checkTimeout = 60 * time.Second
	probeTimeout = 5 * time.Second
)

// checkCmd checks everything that a worker needs, or asks a worker that runs. It reads the worker's settings, so run it
// where the worker runs, with the same environment, files and network.
type checkCmd struct {
	Timeout *time.Duration `help:"Overall timeout. Default: 60s, or 5s with --ready and --live."`
	JSON    bool           `name:"json" xor:"form" help:"Print each result as a line of JSON with level (ok, warn or bad), subject and text."`
	Ready   bool           `xor:"form" help:"Only ask the worker that listens at ADMIN_ADDR whether it is ready. Exits 1 if it is not, or does not answer."`
	Live    bool           `xor:"form" help:"Only ask it whether it answers at all: a worker that waits for NATS is alive, and not ready."`
	At      *string        `placeholder:"HOST:PORT" help:"Address for --ready and --live. Default: ADMIN_ADDR."`
}

// Help is printed below the flags.
func (*checkCmd) Help() string {
	return `It reads the worker's settings (worker -help prints them) and prints one line per requirement: ok,
warn (works, but not recommended) or BAD, and how to fix it. The exit status is 1 if a line is BAD. It
changes nothing: no stream is created, no message stored, no request taken. A worker uses no context of
the nats command, so neither does check.

An API that cannot be reached is only a warning: workers wait for it, and must be able to start during
an outage. A key that the API refuses is BAD, and so is a base URL at which something else answers.

With --ready or --live nothing is checked. A worker that runs is asked for /readyz or /livez, and its answer is
printed: for the health checks of containers without a shell.`
}

// Run does what the flags say. It returns an error, and so the exit status 1, if a check fails or the worker is not ready.
func (c *checkCmd) Run(ctx context.Context, t *terminal) error {
	timeout := checkTimeout
	if c.isProbe() {
		timeout = probeTimeout
	}
	if c.Timeout != nil {
		timeout = *c.Timeout
	}
	if timeout <= 0 {
		return usageError{fmt.Errorf("--timeout must be a duration above 0, such as 60s (got %v)", timeout)}
	}
	if c.At != nil && !c.isProbe() {
		return usageError{errors.New("--at has no effect without --ready or --live: add one of them")}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if c.isProbe() {
		return c.probe(ctx, t)
	}
	return c.checkAll(ctx, t)
}

// checkAll prints each result as it comes. It returns an error if at least one of them is BAD. A check that the timeout
// interrupts reports that in its own words.
func (c *checkCmd) checkAll(ctx context.Context, t *terminal) error {
	failed := 0
	report := func(r check.Result) {
		if r.Level == check.Bad {
			failed++
		}
		if c.JSON {
			printResultJSON(t, r)
			return
		}
		printResult(t, r)
	}
	reportMisspellings(report)
	reportContext(report)
	cfg, mistakes := app.LoadCheckedConfig()
	check.Run(ctx, cfg, mistakes, version, report)
	switch failed {
	case 0:
		return nil
	case 1:
		return errors.New("1 check failed")
	default:
		return fmt.Errorf("%d checks failed", failed)
	}
}

// reportMisspellings reports each variable that looks like a misspelled setting, which a worker ignores. It
// is only a warning: the variable may belong to another program.
func reportMisspellings(report func(check.Result)) {
	for _, m := range settings.Misspelled(app.Settings(), os.Environ()) {
		report(check.Result{Level: check.Warn, Subject: "settings", Text: m.Text()})
	}
}

// reportContext reports a context of the nats command that the environment names. The other commands of the tool use it, so
// one might expect that a worker does, too.
func reportContext(report func(check.Result)) {
	if os.Getenv(contextVariable) != "" {
		report(check.Result{Level: check.Warn, Subject: "settings", Text: contextVariable + " is ignored by workers and by this check: set NATS_URL and a login for them"})
	}
}

// printResultJSON prints a result as a line of JSON. The names of its members and levels are stable, and its text is for
// people.
func printResultJSON(t *terminal, r check.Result) {
	level := map[check.Level]string{check.OK: "ok", check.Warn: "warn", check.Bad: "bad"}[r.Level]
	_ = t.printJSONLine(struct { // texts can always be encoded
		Level   string `json:"level"`
		Subject string `json:"subject"`
		Text    string `json:"text"`
	}{level, r.Subject, r.Text})
}

// printResult prints a result. The marks have the same width, so that the columns line up. On a terminal, a long text
// continues on the next lines.
func printResult(t *terminal, r check.Result) {
	mark, c := "ok  ", color.FgGreen
	switch r.Level {
	case check.OK:
	case check.Warn:
		mark, c = "warn", color.FgYellow
	case check.Bad:
		mark, c = "BAD ", color.FgRed
	}
	rest := fmt.Sprintf("  %-25s  ", r.Subject)
	left, indent, width := color.New(c).Sprint(mark)+rest, len(mark)+len(rest), 0
	if columns := t.room().columns; columns > 0 {
		width = max(columns-indent, answerLeast)
	}
	for _, line := range wrapLines(printable(r.Text), " ", width) {
		t.printf("%s%s\n", left, line)
		left = strings.Repeat(" ", indent)
	}
}
