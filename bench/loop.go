package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/test/process"
)

// replay is a job that a loop runs, with the time to the next poll at each age.
type replay struct {
	job
	arm string
	gap func(age time.Duration) time.Duration
}

// every is a loop with one interval for all ages.
func every(gap time.Duration) func(time.Duration) time.Duration {
	return func(time.Duration) time.Duration { return gap }
}

// fifthOfAge is what a worker does before it has learned: a fifth of the age, within the bounds.
func fifthOfAge(age time.Duration) time.Duration {
	return min(max(age/5, shortestGap), longestGap)
}

// loop replays jobs in their order, so many at once, with the worker's client of the API: submit, wait, ask,
// and again. It keeps nothing and learns nothing.
func (w *world) loop(ctx context.Context, all []replay, atOnce int) error {
	client, err := anchor.New(anchor.Config{APIKey: "bench", BaseURL: w.apiURL, RequestTimeout: startPatience}, "bench", prometheus.NewRegistry())
	if err != nil {
		return err
	}
	defer client.Close()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, r := range all {
		group.Go(func() error { return r.follow(ctx, client) })
	}
	return group.Wait()
}

// follow runs one job to its end.
func (r replay) follow(ctx context.Context, client *anchor.Client) error {
	began := time.Now()
	id, err := client.Submit(ctx, "", r.request(r.arm))
	if err != nil {
		return fmt.Errorf("submit %s: %w", r.id(r.arm), err)
	}
	for {
		if err := process.Pass(ctx, r.gap(time.Since(began))); err != nil {
			return err
		}
		workflow, err := client.Status(ctx, id, anchor.MaxAnswer)
		switch {
		case err != nil:
			return fmt.Errorf("ask after %s: %w", r.id(r.arm), err)
		case workflow.Status == "COMPLETED":
			return nil
		case workflow.Status != "RUNNING":
			return errors.New(r.id(r.arm) + " is " + workflow.Status)
		}
	}
}
