package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/batch"
	"github.com/capstan-worker/capstan/internal/operator/send"
)

// isBatch reports whether the input is a batch, and not one request that is sent unchanged.
func (s *submitCmd) isBatch(in input) bool {
	if in.name == "" {
		return false
	}
	if s.Batch != "" || s.Template != "" || s.Report != "" || s.Canary > 0 || s.Format != "" && s.Format != batch.JSON {
		return true
	}
	return s.Format == "" && batch.Recognize(batch.File{Name: in.name, Data: in.data}) != batch.JSON
}

// read returns the requests of the input.
func (s *submitCmd) read(cfg app.Config, in input) (*batch.Batch, error) {
	if s.Report != "" && !s.Wait {
		return nil, errors.New("--report has no effect without --wait: add --wait")
	}
	f := batch.File{Name: in.name, Data: in.data, Format: s.Format, Batch: s.Batch, TemplateName: s.Template}
	if s.Template != "" {
		var err error
		if f.Template, err = os.ReadFile(s.Template); err != nil {
			return nil, fmt.Errorf("--template: %w", err)
		}
	}
	return batch.Read(f, cfg)
}

// batchRun is one run of submit with a batch.
type batchRun struct {
	*submitCmd
	t       *terminal
	c       *client
	batch   *batch.Batch
	sub     *batch.Submission
	results *batch.Results // nil if nothing is waited for
}

// runBatch checks all requests, and then sends and follows them.
func (s *submitCmd) runBatch(ctx context.Context, t *terminal, cfg app.Config, in input) error {
	b, err := s.read(cfg, in)
	if err != nil {
		return usageError{nothingSent(err)}
	}
	c, err := connect()
	if err != nil {
		return err
	}
	defer c.nc.Close()
	ctx, stop := c.whileConnected(ctx)
	defer stop()
	run := &batchRun{submitCmd: s, t: t, c: c, batch: b}
	if err := run.prepare(ctx); err != nil {
		return err
	}
	if s.Report == "" {
		return run.run(ctx)
	}
	report, err := batch.OpenReport(s.Report)
	if err != nil {
		return usageError{err}
	}
	run.results.OnEvent = report.Write
	return closeReport(t, report, run.run(ctx))
}

// closeReport closes the report and returns the error of the run or, if it has none, that of closing. That of closing is
// told in any case: a task that failed says nothing of the report.
func closeReport(t *terminal, report io.Closer, err error) error {
	closing := report.Close()
	if err == nil || closing == nil {
		return cmp.Or(err, closing)
	}
	t.complain(closing)
	return err
}

// nothingSent returns an error about a file, which quotes it, without anything that could control a terminal. At the end of a
// list of mistakes it says that nothing was sent.
func nothingSent(err error) error {
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		lines[i] = oneLine(line, messageWidth)
	}
	if _, isList := errors.AsType[*batch.MistakesError](err); isList {
		lines = append(lines, "nothing was sent")
	}
	return errors.New(strings.Join(lines, "\n"))
}

// prepare looks at what was sent before, and begins to follow the events if they are waited for.
func (r *batchRun) prepare(ctx context.Context) (err error) {
	r.sub, err = batch.Prepare(ctx, r.c.queue(), r.batch)
	if _, wrong := errors.AsType[*batch.MistakesError](err); wrong {
		return usageError{nothingSent(err)}
	}
	if ctx.Err() != nil {
		return causeOf(ctx, fmt.Errorf("%w: nothing was sent", errInterrupted))
	}
	if err != nil && r.sub == nil {
		return r.c.explain(ctx, err)
	}
	if err != nil {
		r.t.note("capstan: %v; all requests are sent, and those that were sent before do not run again", r.c.explain(ctx, err))
	}
	if r.Wait || r.Canary > 0 {
		if r.results, err = r.sub.Follow(ctx); err != nil {
			return r.c.explain(ctx, err)
		}
	}
	return nil
}

// run sends the batch, and waits for its tasks if that is asked for.
func (r *batchRun) run(ctx context.Context) error {
	waiting, cancel := ctx, context.CancelFunc(func() {})
	if r.WaitTimeout > 0 {
		waiting, cancel = context.WithTimeout(ctx, r.WaitTimeout)
	}
	defer cancel()
	if r.Canary > 0 {
		if err := r.runCanary(ctx, waiting); err != nil {
			return err
		}
	}
	if err := r.send(ctx, len(r.batch.Requests)); err != nil {
		return err
	}
	counts := r.sub.Counts()
	r.t.printf("%s%s: %s\n", taskCount(counts.All), r.batchName(), countsText(counts))
	if !r.Wait {
		return nil
	}
	r.t.note("waiting for the tasks (Ctrl-C stops waiting, not the tasks)")
	tally, err := r.await(waiting, len(r.batch.Requests))
	if err != nil {
		return err
	}
	r.t.printf("%s\n", tallyText(tally))
	if tally.Expired > 0 {
		r.t.note("capstan: the events of %s are no longer stored; only their outcome is known", taskCount(tally.Expired))
	}
	if tally.Failed > 0 {
		return errTaskFailed
	}
	return nil
}

// runCanary sends the first tasks and waits for them. The error says that too few succeeded.
func (r *batchRun) runCanary(ctx, waiting context.Context) error {
	if err := r.send(ctx, r.Canary); err != nil {
		return err
	}
	r.t.note("canary: %s sent; the rest follows if enough of them succeed (Ctrl-C stops waiting, not the tasks)", taskCount(min(r.Canary, len(r.batch.Requests))))
	tally, err := r.await(waiting, r.Canary)
	if err != nil {
		return err
	}
	r.t.note("canary: %s", tallyText(tally))
	if float64(tally.Succeeded) >= r.minSuccess()*float64(tally.All) {
		return nil
	}
	text := fmt.Sprintf("only %d of the %d tasks of the canary succeeded (--min-success %v)", tally.Succeeded, tally.All, r.minSuccess())
	if rest := len(r.batch.Requests) - tally.All; rest > 0 {
		text += fmt.Sprintf(", so the rest (%s) was not sent; to send it anyway, run the command without --canary", taskCount(rest))
	}
	return errors.New(text)
}

// send sends the first n requests. The error says how many are stored, and how to continue.
func (r *batchRun) send(ctx context.Context, n int) error {
	bar := newProgress(r.t, "sending")
	r.sub.OnProgress = bar.show
	err := r.sub.Send(ctx, n)
	bar.clear()
	if err == nil {
		return nil
	}
	text := countsText(r.sub.Counts()) + "; run the same command again to continue, it sends nothing twice"
	if ctx.Err() != nil && causeOf(ctx, nil) == nil {
		return fmt.Errorf("%w: %s", errInterrupted, text)
	}
	return fmt.Errorf("%w. %s", r.c.explain(ctx, err), text)
}

// errInterrupted is the error of a command that Ctrl-C has ended before it was done.
var errInterrupted = errors.New("interrupted")

// await waits for the first n tasks.
func (r *batchRun) await(ctx context.Context, n int) (batch.Tally, error) {
	bar := newProgress(r.t, "waiting for tasks")
	err := r.results.Wait(ctx, n, func(tally batch.Tally) { bar.show(tally.Ended, tally.All) })
	bar.clear()
	tally := r.results.Tally(n)
	if err == nil {
		return tally, nil
	}
	text := tallyText(tally) + "; the tasks keep running, and the same command waits for them again"
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return tally, waitTimeoutError{fmt.Errorf("waited for %v: %s", r.WaitTimeout, text)}
	case ctx.Err() == nil, causeOf(ctx, nil) != nil:
		return tally, fmt.Errorf("%w: %s", err, text)
	default:
		return tally, fmt.Errorf("%w: %s", errInterrupted, text)
	}
}

// batchName is the name of the batch, for a sentence.
func (r *batchRun) batchName() string {
	if r.batch.Name == "" {
		return ""
	}
	return " in batch " + r.batch.Name
}

// countsText says how far a batch has come into the queue.
func countsText(c send.Counts) string {
	were := "were"
	if c.Before == 1 {
		were = "was"
	}
	text := fmt.Sprintf("%d stored, %d %s there before", c.Stored, c.Before, were)
	if c.Unknown > 0 {
		text += fmt.Sprintf(", %d sent without an answer", c.Unknown)
	}
	if c.Unsent > 0 {
		text += fmt.Sprintf(", %d not sent", c.Unsent)
	}
	return text
}

// tallyText says how tasks ended: "18 of 20 have ended: 15 succeeded, 3 failed (timeout 2, agent_failed 1)".
func tallyText(t batch.Tally) string {
	text := fmt.Sprintf("%d of %d have ended: %d succeeded, %d failed", t.Ended, t.All, t.Succeeded, t.Failed)
	if t.Failed > 0 {
		text += " (" + codesText(t.Codes) + ")"
	}
	if cost := operator.CostText(t.Cost, t.FailedCost); cost != "" {
		text += "; they used " + cost
	}
	return text
}

// codesText lists codes, or reasons, with their numbers, the most frequent first.
func codesText[K ~string](codes map[K]int) string {
	var parts []string
	for _, code := range byCount(codes) {
		parts = append(parts, fmt.Sprintf("%s %d", oneLine(string(code), messageWidth), codes[code]))
	}
	return strings.Join(parts, ", ")
}
