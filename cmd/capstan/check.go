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

// checkCmd checks everything that a worker needs. It reads the worker's settings, so run it where the
// worker runs, with the same environment, files and network.
type checkCmd struct {
	Timeout time.Duration `default:"60s" help:"Overall timeout. Default: 60s."`
	JSON    bool          `name:"json" help:"Print each result as a line of JSON with level (ok, warn or bad), subject and text."`
}

// Help is printed below the flags.
func (*checkCmd) Help() string {
	return `It reads the worker's settings (worker -help prints them) and prints one line per requirement: ok,
warn (works, but not recommended) or BAD, and how to fix it. The exit status is 1 if a line is BAD. It
changes nothing: no stream is created, no message stored, no request taken. A worker uses no context of
the nats command, so neither does check.

An API that cannot be reached is only a warning: workers wait for it, and must be able to start during
an outage. A key that the API refuses is BAD, and so is a base URL at which something else answers.`
}

// Run prints each result as it comes. It returns an error, and so the exit status 1, if at least one result
// is BAD. A check that the timeout interrupts reports that in its own words.
func (c *checkCmd) Run(ctx context.Context, t *terminal) error {
	if c.Timeout <= 0 {
		return usageError{fmt.Errorf("--timeout must be a duration above 0, such as 60s (got %v)", c.Timeout)}
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
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
		report(check.Result{Level: check.Warn, Subject: "settings", Text: m.Variable + " is ignored: no setting has this name. Did you mean " + m.Nearest + "?"})
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
