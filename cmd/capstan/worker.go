package main

import (
	"os"

	"github.com/capstan-worker/capstan/internal/app"
)

// workerError is the exit status of a worker that ended with a mistake. The worker has printed it already.
type workerError int

func (workerError) Error() string { return "the worker failed" }

// workerCmd is the command worker. Its arguments and its exit statuses are those of the program worker.
type workerCmd struct {
	Args []string `arg:"" optional:"" hidden:""`
}

// Help is printed below the flags.
func (*workerCmd) Help() string {
	return `It is the same as the program worker: it takes no arguments, is configured by variables of the environment, and
stops on SIGTERM. capstan worker -help lists the variables. A worker uses no context of the nats command.`
}

// Run runs the worker until a signal arrives.
func (w *workerCmd) Run() error {
	if status := app.Main(w.Args, version, os.Stdout, os.Stderr); status != exitOK {
		return workerError(status)
	}
	return nil
}
