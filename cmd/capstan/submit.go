package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/task"
)

// submitCmd publishes a request and prints the task id, or with --wait the event. It prints nothing else to
// standard output, so a script can read the id or the JSON from there.
type submitCmd struct {
	fields

	File        string        `short:"f" placeholder:"FILE" help:"Publish this JSON file unchanged; - for standard input."`
	Wait        bool          `short:"w" help:"Wait for the result event and print it. Exits 1 if the task failed, 3 if the wait timed out."`
	WaitTimeout time.Duration `placeholder:"DURATION" help:"Give up waiting after this long (the task keeps running). Default: wait forever."`
}

// Help is printed below the flags.
func (*submitCmd) Help() string {
	return `The request comes from flags, from a file (-f) or from standard input, and is checked before it is sent.
Without --wait, the task id is printed.

Examples:

  capstan submit --wait --url https://example.com "Extract the main heading"
  capstan submit --task-id ord-1842 --timeout 10m --secret PIN=@pin.txt --url https://example.com "Log in with PIN"
  capstan submit -f request.json
  jq -n '{prompt: "Extract the main heading", url: "https://example.com"}' | capstan submit`
}

// Run checks the request, connects, and publishes it. The check comes first: a mistake is reported even if
// NATS is down, and never leaves a request behind.
func (s *submitCmd) Run(ctx context.Context, t *terminal) error {
	request, err := s.request(t.in)
	if err != nil {
		return usageError{err}
	}
	cfg, err := app.LoadToolConfig()
	if err != nil {
		return usageError{err}
	}
	if err := checkRequest(cfg, request); err != nil {
		return err
	}
	c, err := connect()
	if err != nil {
		return err
	}
	defer c.nc.Close()
	if s.Wait {
		return s.wait(ctx, t, c, request)
	}
	p, err := c.publish(ctx, request)
	if err != nil {
		return err
	}
	t.printf("%s\n", p.taskID)
	return nil
}

// request returns the request from the flags, the file or standard input, in this order. Flags take
// precedence over standard input, because that is no terminal in a cron job either and may be empty there.
// A prompt and -f together are a mistake, since one of them would be ignored.
func (s *submitCmd) request(stdin io.Reader) ([]byte, error) {
	switch {
	case s.WaitTimeout < 0:
		return nil, fmt.Errorf("--wait-timeout must be a duration above 0, such as 10m (got %v)", s.WaitTimeout)
	case s.WaitTimeout > 0 && !s.Wait:
		return nil, errors.New("--wait-timeout has no effect without --wait: add --wait")
	}
	request, err := s.encode()
	switch {
	case err != nil:
		return nil, err
	case request != nil && s.File != "":
		return nil, errors.New("-f cannot be combined with other flags of the request, or with a prompt")
	case request != nil:
		return request, nil
	case s.File != "" && s.File != "-":
		request, err = os.ReadFile(s.File)
		return withoutBOM(request), err
	case stdin == nil:
		return nil, errNoRequest
	}
	request, err = io.ReadAll(stdin)
	if err != nil {
		return nil, fmt.Errorf("read the request from standard input: %w", err)
	}
	if len(request) == 0 {
		return nil, errNoRequest
	}
	return withoutBOM(request), nil
}

// errNoRequest shows how to give a request, because a user who runs capstan submit alone most likely wants
// to see that.
var errNoRequest = errors.New(`no request: try capstan submit --url https://example.com "Extract the main heading", or -f FILE`)

// withoutBOM removes the byte order mark that some editors write at the beginning of UTF-8. RFC 8259, section 8.1, forbids
// it in JSON that is sent.
func withoutBOM(text []byte) []byte { return bytes.TrimPrefix(text, []byte("\ufeff")) }

// wait publishes the request, waits for the event that answers it, and prints the event. It returns
// errTaskFailed if the task failed. --wait-timeout also bounds the publishing. When it ends, the task keeps
// running.
func (s *submitCmd) wait(ctx context.Context, t *terminal, c *client, request []byte) error {
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
	p, err := c.publish(ctx, request)
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
