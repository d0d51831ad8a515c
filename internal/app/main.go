package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	stdlog "log"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/gcpacer"
	"github.com/capstan-worker/capstan/internal/settings"
)

// The exit statuses of the worker.
const (
	exitOK = 0

	// exitFailed means that a setting is wrong, that the admin server failed, or that the drain took too long.
	exitFailed = 1

	// exitUsage means that the command line is wrong.
	exitUsage = 2
)

// usageError is a mistake in the command line. It is found before anything starts.
type usageError struct{ error }

// Main is the command worker: it reads the settings, creates the logger, and calls Run until a signal arrives. Its only
// arguments are -help and -version. It logs to out, writes mistakes to errOut, and returns the exit status.
func Main(args []string, version string, out, errOut io.Writer) int {
	// net/http writes unexpected bytes of an answer to the standard log, and they may be secret.
	stdlog.SetOutput(anchor.LogFilter(os.Stderr))
	err := command(args, version, out)
	if err == nil {
		return exitOK
	}
	_, _ = fmt.Fprintln(errOut, err)
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	return exitFailed
}

// command parses the arguments and runs the worker until a signal arrives. The help and the version, which
// are not errors, go to out and return nil. Its errors are for people.
func command(args []string, version string, out io.Writer) error {
	flags := flag.NewFlagSet("worker", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // Parse returns the error
	flags.Usage = func() { _ = WriteHelp(out) }
	showVersion := flags.Bool("version", false, "print the version")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return usageError{fmt.Errorf("worker takes no arguments but -help and -version: %w", err)}
	}
	if flags.NArg() > 0 {
		return usageError{errors.New("worker takes no arguments; for checks use: capstan check")}
	}
	if *showVersion {
		_, _ = fmt.Fprintln(out, version)
		return nil
	}
	cfg, err := LoadConfig()
	if err != nil {
		return withMisspellings(err)
	}
	// The first signal starts the drain. After stop, a second one kills the process.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	log := NewLogger(out, cfg.Log.Level, cfg.Log.Format).With().Str("worker", cfg.Worker.Name).Logger()
	warnOfMisspellings(log)
	gcpacer.Pace()
	return Run(ctx, cfg, version, log)
}

// withMisspellings adds to the mistakes in the settings a line for each variable that looks like a misspelled setting: that may
// be why one is missing.
func withMisspellings(err error) error {
	lines := []string{err.Error()}
	for _, m := range settings.Misspelled(Settings(), os.Environ()) {
		lines = append(lines, m.Text())
	}
	if len(lines) == 1 {
		return err
	}
	return errors.New(strings.Join(lines, "\n"))
}

// warnOfMisspellings logs each environment variable that looks like a misspelled setting. The worker starts
// nevertheless: the variable may belong to another program in the same environment.
func warnOfMisspellings(log zerolog.Logger) {
	for _, m := range settings.Misspelled(Settings(), os.Environ()) {
		log.Warn().Str("variable", m.Variable).Str("did_you_mean", m.Nearest).Msg("unknown setting ignored")
	}
}
