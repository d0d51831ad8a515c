// Command worker runs Anchor Browser web tasks from a NATS JetStream queue. It is set up by the
// environment: worker -help prints the settings.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/capstan-worker/capstan/internal/app"
)

// version is set by the linker.
var version = "dev"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("worker", flag.ContinueOnError)
	flags.Usage = func() { _ = app.WriteHelp(os.Stdout) }
	showVersion := flags.Bool("version", false, "print the version")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if *showVersion {
		fmt.Println(version)
		return nil
	}
	cfg, err := app.LoadConfig()
	if err != nil {
		return err
	}
	// The first signal begins the drain; with stop, a second one ends the process at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	log := app.NewLogger(os.Stdout, cfg.Log.Level, cfg.Log.Format).With().Str("worker", cfg.Worker.Name).Logger()
	return app.Run(ctx, cfg, version, log)
}
