package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/bench/figure"
	"github.com/capstan-worker/capstan/test/process"
)

// benchmark is one of this program's. Its run returns all rows, measured in o.rounds rounds.
type benchmark struct {
	name  string
	about string
	run   func(ctx context.Context, l *lab) ([]figure.Row, error)
}

// benchmarks returns all, in the order they are run.
func benchmarks() []benchmark {
	return []benchmark{
		{name: "throughput", run: throughput, about: "A queue of tasks that the API finishes at once, from the first tenth to the last event: " +
			"the worker and the floor, with the same settings, in turn. 256 tasks are under way at once and 64 POSTs, and then as many as by default, 1,000 and 16."},
		{name: "holding", run: holding, about: "Tasks whose workflows run on, all held at once by one worker, with about 100 polls a second of all together."},
		{name: "latency", run: latency, about: "A worker that has nothing to do gets one task after the other; the API finishes at once."},
		{name: "workers", run: workers, about: "Several workers on one queue, on the same cores; and how even they share tasks while all have room."},
		{name: "polls", run: polls, about: "What it costs to notice the end of a task, in calls and in delay: the worker and loops that replay the same run times. " +
			"Times are a tenth of real ones: tasks of 2 s, polls 200 ms to 1.5 s apart."},
		{name: "growth", run: growth, about: "The same tasks, with many requests waiting behind them, and with many records of tasks that have ended."},
		{name: "storage", run: storage, about: "What a task takes of NATS' disk: tasks with requests of 300 bytes and short results, from the queue to the record that is kept, and dead letters."},
		{name: "profile", run: profile, about: "CPU and heap profiles of the worker, at full speed and holding; they are written to " + profileFolder + "/."},
	}
}

// lab is what all benchmarks share.
type lab struct {
	options
	self, worker, floor string // paths of programs
	dir                 string
	keeper              *process.Keeper
	ports               process.Ports
	worlds              int
}

func run(ctx context.Context, args []string) error {
	o, err := readOptions(args)
	if err != nil {
		return err
	}
	switch {
	case o.list:
		for _, b := range benchmarks() {
			fmt.Printf("%-11s %s\n", b.name, b.about)
		}
		return nil
	case o.markdown:
		return writeDocument()
	}
	l, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer l.keeper.Close()
	for _, b := range benchmarks() {
		if !o.wants(b) {
			continue
		}
		if err := l.carryOut(ctx, b, args); err != nil {
			return fmt.Errorf("%s: %w; what the processes said is in %s", b.name, err, l.dir)
		}
	}
	if o.keep {
		fmt.Println("logs are in", l.dir)
		return nil
	}
	return os.RemoveAll(l.dir)
}

// wants reports whether a benchmark is to be run: all but the profile where none is named.
func (o options) wants(b benchmark) bool {
	if len(o.names) == 0 {
		return b.name != "profile"
	}
	return slices.Contains(o.names, b.name)
}

// prepare builds the programs.
func prepare(ctx context.Context, o options) (*lab, error) {
	dir, err := os.MkdirTemp("", "capstan-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	l := &lab{options: o, dir: dir, worker: filepath.Join(dir, "worker"), floor: filepath.Join(dir, "floor")}
	const module = "github.com/capstan-worker/capstan/"
	l.self, err = os.Executable()
	err = errors.Join(err, process.Build(ctx, module+"cmd/worker", l.worker), process.Build(ctx, module+"bench/floor", l.floor))
	if err != nil {
		return nil, err
	}
	l.keeper, err = process.NewKeeper(ctx, l.self, childVariable+`={"role":"keeper"}`)
	return l, err
}

// carryOut runs a benchmark, prints its table, and keeps it where that is wanted.
func (l *lab) carryOut(ctx context.Context, b benchmark, args []string) error {
	began := time.Now()
	rows, err := b.run(ctx, l)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return nil
	}
	r := figure.Report{
		Name: b.name, About: b.about, Command: "go run ./bench " + strings.Join(args, " "), When: began.UTC().Truncate(time.Second),
		Machine: figure.ThisMachine(commit(ctx)), Rounds: len(rows[0].Values), Rows: rows,
	}
	fmt.Println(r.Table())
	if l.json == "" {
		return nil
	}
	return figure.Save(l.json, r)
}

// commit names what is measured; a tree with changes is marked, but for the figures that are being written.
func commit(ctx context.Context) string {
	name, err := exec.CommandContext(ctx, "git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	changed, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "--", ".", ":!docs").Output()
	if err != nil || len(changed) > 0 {
		return strings.TrimSpace(string(name)) + " with changes"
	}
	return strings.TrimSpace(string(name))
}
