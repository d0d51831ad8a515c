package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/operator/request"
	"github.com/capstan-worker/capstan/internal/task"
)

// submitCmd publishes a request and prints the task id, or with --wait the event. It prints nothing else to
// standard output, so a script can read the id or the JSON from there. With a file of many requests it publishes
// a batch; see submit_batch.go.
type submitCmd struct {
	fields
	batchFlags

	File        string        `short:"f" placeholder:"FILE" help:"Publish the requests in this file: one JSON object unchanged, JSON Lines, or CSV with --template; - for standard input."`
	Wait        bool          `short:"w" help:"Wait for the result event and print it. Of a batch, wait for all tasks and print how they ended. Exits 1 if a task failed, 3 if the wait timed out."`
	WaitTimeout time.Duration `placeholder:"DURATION" help:"Give up waiting after this long (the tasks keep running). Default: wait forever."`
}

// Help is printed below the flags.
func (*submitCmd) Help() string {
	return `The request comes from flags, from a file (-f) or from standard input, and is checked before it is sent.
Without --wait, the task id is printed.

A file can hold a batch. All lines are checked before the first is sent. The same command can be run again:
what was sent before is not sent twice.

Examples:

  capstan submit --wait --url https://example.com "Extract the main heading"
  capstan submit --task-id ord-1842 --timeout 10m --secret PIN=@pin.txt --url https://example.com "Log in with PIN"
  capstan submit -f request.json
  jq -n '{prompt: "Extract the main heading", url: "https://example.com"}' | capstan submit
  capstan submit -f orders.csv --template request.json --batch night --canary 50 --wait --report out.jsonl`
}

// Run checks the request, connects, and publishes it. The check comes first: a mistake is reported even if
// NATS is down, and never leaves a request behind.
func (s *submitCmd) Run(ctx context.Context, t *terminal) error {
	in, err := s.input(t.in)
	if err != nil {
		return usageError{err}
	}
	cfg, err := app.LoadToolConfig()
	if err != nil {
		return usageError{err}
	}
	if s.isBatch(in) {
		return s.runBatch(ctx, t, cfg, in)
	}
	if err := checkRequest(cfg, in.data); err != nil {
		return err
	}
	c, err := connect()
	if err != nil {
		return err
	}
	defer c.nc.Close()
	if s.Wait {
		return s.wait(ctx, t, c, in.data)
	}
	p, err := c.publish(ctx, in.data)
	if err != nil {
		return err
	}
	t.printf("%s\n", p.taskID)
	return nil
}

// input is what is to be published.
type input struct {
	name string // of the file, for messages; "" if the request comes from flags
	data []byte
}

// input returns the request from the flags, or the content of the file or of standard input, in this order.
// Flags take precedence over standard input, because that is no terminal in a cron job either and may be empty
// there. A prompt and -f together are a mistake, since one of them would be ignored.
func (s *submitCmd) input(stdin io.Reader) (input, error) {
	switch {
	case s.WaitTimeout < 0:
		return input{}, fmt.Errorf("--wait-timeout must be a duration above 0, such as 10m (got %v)", s.WaitTimeout)
	case s.WaitTimeout > 0 && !s.Wait && s.Canary == 0:
		return input{}, errors.New("--wait-timeout has no effect without --wait: add --wait")
	}
	text, err := s.encode()
	switch {
	case err != nil:
		return input{}, err
	case text != nil && s.File != "":
		return input{}, errors.New("-f cannot be combined with other flags of the request, or with a prompt")
	case text != nil:
		return s.inBatch(text)
	}
	if err := s.check(); err != nil {
		return input{}, err
	}
	if s.File != "" && s.File != "-" {
		text, err = os.ReadFile(s.File)
		return input{s.File, request.WithoutBOM(text)}, err
	}
	if stdin == nil {
		return input{}, errNoRequest
	}
	text, err = io.ReadAll(stdin)
	if err != nil {
		return input{}, fmt.Errorf("read the request from standard input: %w", err)
	}
	if len(text) == 0 {
		return input{}, errNoRequest
	}
	return input{"standard input", request.WithoutBOM(text)}, nil
}

// errNoRequest shows how to give a request, because a user who runs capstan submit alone most likely wants
// to see that.
var errNoRequest = errors.New(`no request: try capstan submit --url https://example.com "Extract the main heading", or -f FILE`)

// wait publishes the request, waits for the event that answers it, and prints the event. It returns
// errTaskFailed if the task failed. --wait-timeout also bounds the publishing. When it ends, the task keeps
// running.
func (s *submitCmd) wait(ctx context.Context, t *terminal, c *client, text []byte) error {
	if s.WaitTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.WaitTimeout)
		defer cancel()
	}
	ctx, stop := c.whileConnected(ctx)
	defer stop()
	// Follow first: an event that is stored between the two calls would otherwise be missed.
	events, err := c.follow(ctx, fromNow())
	if err != nil {
		return withinTime(ctx, err)
	}
	p, err := c.publish(ctx, text)
	if err != nil {
		return withinTime(ctx, err)
	}
	t.note("task %s queued; waiting for the result (Ctrl-C stops waiting, not the task)", p.taskID)
	ev, err := p.await(ctx, events)
	if err != nil {
		return err
	}
	// The event is worth printing without its large result, so this failure does not decide the exit
	// status.
	if err := c.fetchResult(ctx, &ev); err != nil {
		t.complain(err)
	}
	if err := t.printJSON(ev); err != nil {
		return err
	}
	if ev.Status != task.Succeeded {
		return errTaskFailed
	}
	return nil
}
