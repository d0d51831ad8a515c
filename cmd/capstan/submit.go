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

// submitCmd publishes a request and prints the task's id, or waits and prints its event.
type submitCmd struct {
	fields

	File        string        `short:"f" placeholder:"FILE" help:"Publish the JSON request in this file as it is; - for standard input."`
	Wait        bool          `short:"w" help:"Wait for the task's end and print its event. The exit status is 1 where it failed."`
	WaitTimeout time.Duration `placeholder:"DURATION" help:"Longest wait with --wait. The task is not stopped by it. Default: no end."`
}

// Help is printed below the flags.
func (*submitCmd) Help() string {
	return `The request comes from flags, from a file (-f), or from standard input when it is piped in:

  capstan submit --url https://example.com "Extract the main heading" --wait
  capstan submit -f request.json
  jq -n '{prompt: "…", url: "…"}' | capstan submit

It is checked before it is sent. The task's id is printed; capstan get ID shows how it goes.`
}

// Run runs the command.
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

// request returns the one request that the command line means.
func (s *submitCmd) request(stdin io.Reader) ([]byte, error) {
	switch {
	case s.WaitTimeout < 0:
		return nil, fmt.Errorf("--wait-timeout is %v: give a duration above 0, such as 10m", s.WaitTimeout)
	case s.WaitTimeout > 0 && !s.Wait:
		return nil, fmt.Errorf("--wait-timeout is %v and --wait is not given: add --wait", s.WaitTimeout)
	}
	request, err := s.encode()
	switch {
	case err != nil:
		return nil, err
	case request != nil && s.File != "":
		return nil, errors.New("-f publishes the file as it is: leave the other fields out")
	case request != nil:
		return request, nil
	case s.File != "" && s.File != "-":
		request, err = os.ReadFile(s.File)
		return withoutBOM(request), err
	case stdin == nil:
		return nil, errors.New(`no request: try capstan submit --url https://example.com "Extract the main heading", or -f FILE`)
	}
	request, err = io.ReadAll(stdin)
	if err != nil {
		return nil, fmt.Errorf("read the request from standard input: %w", err)
	}
	return withoutBOM(request), nil
}

// withoutBOM returns a text without the byte order mark that some editors put before UTF-8. RFC 8259, section 8.1,
// forbids it in JSON that is sent.
func withoutBOM(text []byte) []byte { return bytes.TrimPrefix(text, []byte("\ufeff")) }

// wait publishes the request, waits for the event that answers it and prints that.
func (s *submitCmd) wait(ctx context.Context, t *terminal, c *client, request []byte) error {
	if s.WaitTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.WaitTimeout)
		defer cancel()
	}
	events, err := c.follow(ctx, fromNow())
	if err != nil {
		return err
	}
	p, err := c.publish(ctx, request)
	if err != nil {
		return err
	}
	t.note("task %s is queued, waiting for its event (Ctrl-C ends the waiting, not the task)", p.taskID)
	ev, err := p.await(ctx, events)
	if err != nil {
		return err
	}
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
