// Command floor is what the benchmarks hold the worker against: it does what any correct worker has to do
// with a task, as fast as was found possible, and nothing else. It fetches the request, creates the record,
// posts, updates the record, asks for the status, publishes the event under its message id and waits for
// the stream's word, updates the record, acknowledges. The API it calls with the worker's own client. Else it checks
// nothing, limits nothing, logs nothing, and recovers from nothing: an error ends it.
//
// It reads the same environment as the worker: NATS_URL, ANCHORBROWSER_BASE_URL, ANCHORBROWSER_API_KEY,
// MAX_IN_FLIGHT and SUBMIT_CONCURRENCY. The streams have to be there.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/capstan-worker/capstan/internal/anchor"
)

// The streams' names, as a worker makes them by default.
const (
	requestStream = "TASKS"
	consumer      = "worker"
	resultSubject = "tasks.result"
	recordPrefix  = "$KV.task_tracker."
)

// requestTimeout is how long a worker gives a call of the API by default.
const requestTimeout = 30 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	held, err := number("MAX_IN_FLIGHT", 1000)
	if err != nil {
		return err
	}
	posts, err := number("SUBMIT_CONCURRENCY", 16)
	if err != nil {
		return err
	}
	nc, err := nats.Connect(os.Getenv("NATS_URL"))
	if err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	defer nc.Close()
	api, err := anchor.New(anchor.Config{
		BaseURL: os.Getenv("ANCHORBROWSER_BASE_URL"), APIKey: anchor.Secret(os.Getenv("ANCHORBROWSER_API_KEY")), RequestTimeout: requestTimeout,
	}, "floor", prometheus.NewRegistry())
	if err != nil {
		return err
	}
	defer api.Close()
	return newLine(nc, api, held).run(ctx, posts)
}

// number reads a setting.
func number(variable string, otherwise int) (int, error) {
	text := os.Getenv(variable)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", variable, err)
	}
	return n, nil
}
