package main

import "github.com/alecthomas/kong"

// widestHelp is the width of help texts on a terminal that is wider. Longer lines are hard to read.
const widestHelp = 110

// The text that capstan --help prints above the flags. Scripts may rely on the exit statuses in it.
const description = `Submit web tasks, follow their results, and steer the queue.

Configured by the worker's environment variables (see worker -help).

Exit status:

  0    success
  1    a task failed, a check is BAD, or another error
  2    wrong usage or a wrong setting; nothing was sent
  3    the time to wait is over; what was waited for continues
  4    NATS is unreachable, or refused (login, permission, missing stream)
  130  stopped by Ctrl-C, or 143 by SIGTERM

Examples:

  capstan demo
  capstan submit --wait --url https://example.com "Extract the main heading"
  capstan watch --since 1h`

// helpCmd prints the same as --help: capstan help submit is capstan submit --help.
type helpCmd struct {
	Command []string `arg:"" optional:"" predictor:"command" help:"The command."`
}

// Run prints the help. An unknown command is a usageError that names the nearest.
func (h *helpCmd) Run(command *kong.Context) error {
	described, err := kong.Trace(command.Kong, h.Command)
	if err == nil {
		err = described.Error
	}
	if err != nil {
		return usageError{explainParsing(err)}
	}
	return described.PrintUsage(false)
}

// versionCmd prints the same as --version.
type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(t *terminal) error {
	t.printf("%s\n", version)
	return nil
}
