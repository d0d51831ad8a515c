// Command floor is what the benchmarks hold the worker against: it does what any correct worker has to do
// with a task, as fast as was found possible, and nothing else. It fetches the request, creates the record,
// posts, updates the record, asks for the status, publishes the event under its message id and waits for
// the stream's word, updates the record, acknowledges. The API it calls with the worker's own client. Else it checks
// nothing, limits nothing, logs nothing, and recovers from nothing: an error ends it.
//
// It reads the same environment as the worker, and goes by NATS_URL, ANCHORBROWSER_*, MAX_IN_FLIGHT and
// SUBMIT_CONCURRENCY. The streams have to be there.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/app"
)

// The streams' names, as a worker makes them by default.
const (
	requestStream = "TASKS"
	consumer      = "worker"
	resultSubject = "tasks.result"
	recordPrefix  = "$KV.task_tracker."
)

func main() {
	cfg, err := app.LoadConfig()
	if err == nil {
		err = run(cfg)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(cfg app.Config) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	nc, err := nats.Connect(cfg.NATS.URL)
	if err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	defer nc.Close()
	api, err := anchor.New(cfg.Anchor, "floor", prometheus.NewRegistry())
	if err != nil {
		return err
	}
	defer api.Close()
	return newLine(nc, api, cfg.MaxInFlight).run(ctx, cfg.Submit.Concurrency)
}
