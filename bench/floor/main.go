// Command floor is the program that the benchmarks compare the worker with. It does only what every correct worker
// must do with a task, as fast as we could make it: fetch the request, create the record, POST, update the record, ask
// for the status, publish the event under its message id and wait for its PubAck, update the record, acknowledge.
// It calls the API with the worker's own client. It checks nothing, limits nothing, logs nothing, and recovers from
// nothing: an error ends it.
//
// It reads the worker's environment and uses NATS_URL, ANCHORBROWSER_*, MAX_IN_FLIGHT and SUBMIT_CONCURRENCY. The
// streams must exist.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/app"
)

// The names that a worker gives to its streams by default.
const (
	requestStream = "TASKS"
	consumer      = "worker"
	resultSubject = "tasks.result"
	recordPrefix  = "$KV.task_tracker."
)

func main() {
	cfg, err := app.LoadConfig()
	check(err)
	nc, err := nats.Connect(cfg.NATS.URL)
	check(err)
	api, err := anchor.New(cfg.Anchor, "floor", prometheus.NewRegistry())
	check(err)
	newLine(nc, api, cfg.MaxInFlight).run(context.Background(), cfg.Submit.Concurrency)
	select {}
}

// check ends the program if something has failed.
func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
