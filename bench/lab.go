package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/capstan-worker/capstan/bench/figure"
	"github.com/capstan-worker/capstan/test/process"
)

// lab is what all benchmarks share. Its methods that return no error end the benchmark with process.Check.
type lab struct {
	options
	worker, floor string // paths of programs
	dir           string
	keeper        *process.Keeper
	ports         process.Ports
	worlds        int
	report        figure.Report // of the present benchmark
}

// prepare builds the programs.
func prepare(ctx context.Context, o options) (*lab, error) {
	dir, err := os.MkdirTemp("", "capstan-bench-")
	if err != nil {
		return nil, fmt.Errorf("create a folder: %w", err)
	}
	l := &lab{options: o, dir: dir, worker: filepath.Join(dir, "worker"), floor: filepath.Join(dir, "floor")}
	const module = "github.com/capstan-worker/capstan/"
	err = errors.Join(process.Build(ctx, module+"cmd/worker", l.worker), process.Build(ctx, module+"bench/floor", l.floor))
	if err != nil {
		return nil, err
	}
	l.keeper, err = process.NewKeeper(ctx)
	return l, err
}

// tasksOr returns the number of tasks that the user chose, or else n.
func (l *lab) tasksOr(n int) int {
	if l.tasks > 0 {
		return l.tasks
	}
	return n
}

// add prints a value and adds it to the report: see figure.Report.Add.
func (l *lab) add(of string, value float64, row figure.Row) {
	fmt.Printf("%-14s  %s: %s %s\n", of, row.What, figure.Short(value), row.Unit)
	l.report.Add(of, value, row)
}

// compare measures worker and floor in turn.
func (l *lab) compare(measure func(name, program string)) {
	for range l.rounds {
		measure("worker", l.worker)
		measure("floor", l.floor)
	}
}
