package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/fatih/color"

	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/check"
	"github.com/capstan-worker/capstan/internal/settings"
)

// checkCmd looks at all that a worker needs. It reads the worker's settings, so run it where the worker
// runs.
type checkCmd struct {
	Timeout time.Duration `default:"60s" help:"Longest time for all of it. Default: 60s."`
}

// Help is printed below the flags.
func (*checkCmd) Help() string {
	return `It reads the worker's settings (worker -help prints them) and prints a line for each thing that
has to be right: ok, warn (works, but is not advised) or BAD, with what to do. The exit status is 1
where a line is BAD. It changes nothing: no stream is made, no message stored, no request taken.

An API that is away is no more than a warning: a worker waits for it, and a fleet that could not
start in the outage would be worse. A key that the API refuses is BAD, and so is a base URL behind
which something else answers.`
}

// Run runs the command.
func (c *checkCmd) Run(ctx context.Context, t *terminal) error {
	if c.Timeout <= 0 {
		return usageError{fmt.Errorf("--timeout is %v: give a duration above 0, such as 60s", c.Timeout)}
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	bad := 0
	report := func(f check.Finding) {
		if f.Level == check.Bad {
			bad++
		}
		printFinding(t, f)
	}
	warnOfMisspellings(report)
	cfg, mistakes := app.LoadCheckedConfig()
	check.Run(ctx, cfg, mistakes, version, report)
	if bad > 0 {
		return errChecked
	}
	return nil
}

// warnOfMisspellings reports each variable that looks like a misspelled setting: a worker ignores it.
func warnOfMisspellings(report func(check.Finding)) {
	for _, m := range settings.Misspelled(app.Settings(), os.Environ()) {
		report(check.Finding{Level: check.Warn, What: "settings", Says: m.Variable + " is ignored: no setting has this name. Did you mean " + m.Nearest + "?"})
	}
}

// errChecked ends the process as a failure. The lines have told why.
var errChecked = errors.New("not all is right")

// printFinding prints a finding on one line.
func printFinding(t *terminal, f check.Finding) {
	mark, c := "ok  ", color.FgGreen
	switch f.Level {
	case check.OK:
	case check.Warn:
		mark, c = "warn", color.FgYellow
	case check.Bad:
		mark, c = "BAD ", color.FgRed
	}
	t.printf("%s  %-25s  %s\n", color.New(c).Sprint(mark), f.What, oneLine(f.Says, messageWidth))
}
