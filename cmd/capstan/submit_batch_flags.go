package main

import (
	"errors"
	"fmt"

	"github.com/capstan-worker/capstan/internal/operator/batch"
	"github.com/capstan-worker/capstan/internal/operator/request"
)

// batchFlags are the flags for many requests in one file.
type batchFlags struct {
	Batch      string       `placeholder:"NAME" help:"The batch of all tasks. Lines without a task_id get one from it and their line, such as night-000017." group:"Batch:"`
	Format     batch.Format `placeholder:"json|jsonl|csv" predictor:"format" help:"Format of the file. Default: recognized by its name and content." group:"Batch:"`
	Template   string       `placeholder:"FILE" help:"For CSV: the request as JSON, with {{column}} in its strings." group:"Batch:"`
	Report     string       `placeholder:"FILE" help:"With --wait: write each event to this file, one per line. An existing report is continued." group:"Batch:"`
	Canary     int          `placeholder:"N" help:"Send the first N tasks, wait for them, and send the rest only if enough succeeded." group:"Batch:"`
	MinSuccess *float64     `placeholder:"SHARE" help:"Share of the canary that must succeed. Default: 0.8." group:"Batch:"`
}

// check returns an error for flags that cannot be used.
func (f *batchFlags) check() error {
	switch {
	case f.Format != "" && f.Format != batch.JSON && f.Format != batch.JSONLines && f.Format != batch.CSV:
		return fmt.Errorf("--format must be json, jsonl or csv (got %q)", f.Format)
	case f.Canary < 0:
		return fmt.Errorf("--canary must be a number above 0 (got %d)", f.Canary)
	case f.MinSuccess != nil && !(*f.MinSuccess >= 0 && *f.MinSuccess <= 1): // also NaN
		return fmt.Errorf("--min-success must be from 0 to 1, such as 0.8 (got %v)", *f.MinSuccess)
	case f.MinSuccess != nil && f.Canary == 0:
		return errors.New("--min-success has no effect without --canary: add --canary N")
	}
	if f.Batch != "" {
		if err := request.CheckBatch(f.Batch); err != nil {
			return fmt.Errorf("--batch: %w", err)
		}
	}
	return nil
}

// minSuccess is the share of the canary that must succeed.
func (f *batchFlags) minSuccess() float64 {
	if f.MinSuccess == nil {
		return defaultMinSuccess
	}
	return *f.MinSuccess
}

// defaultMinSuccess is the share of the canary that must succeed, unless --min-success says otherwise.
const defaultMinSuccess = 0.8

// inBatch returns a request from flags with its batch.
func (f *batchFlags) inBatch(text []byte) (input, error) {
	if f.Template != "" || f.Format != "" || f.Report != "" || f.Canary != 0 || f.MinSuccess != nil {
		return input{}, errors.New("--template, --format, --report, --canary and --min-success are for a file: use -f FILE")
	}
	if f.Batch == "" {
		return input{data: text}, nil
	}
	if err := f.check(); err != nil {
		return input{}, err
	}
	o, err := request.Parse(text)
	if err != nil {
		return input{}, err
	}
	return input{data: o.With("batch", request.Quote(f.Batch)).JSON()}, nil
}
