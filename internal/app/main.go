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
	"syscall"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/collector"
)

// Main is the command worker: settings, logger, signals, then Run. It takes -help and -version, logs to
// out, writes a mistake to errOut, and returns the exit status: 1 for whatever did not end in order.
func Main(args []string, version string, out, errOut io.Writer) int {
	stdlog.SetOutput(anchor.LogFilter(os.Stderr))
	if err := command(args, version, out); err != nil {
		_, _ = fmt.Fprintln(errOut, err)
		return 1
	}
	return 0
}

func command(args []string, version string, out io.Writer) error {
	flags := flag.NewFlagSet("worker", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // what is wrong is returned
	flags.Usage = func() { _ = WriteHelp(out) }
	showVersion := flags.Bool("version", false, "print the version")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if *showVersion {
		_, _ = fmt.Fprintln(out, version)
		return nil
	}
	cfg, err := LoadConfig()
	if err != nil {
		return err
	}
	// The first signal begins the drain; with stop, a second one ends the process at once.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	log := NewLogger(out, cfg.Log.Level, cfg.Log.Format).With().Str("worker", cfg.Worker.Name).Logger()
	collector.Pace()
	return Run(ctx, cfg, version, log)
}
