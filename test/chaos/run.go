package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/capstan-worker/capstan/test/process"

	"golang.org/x/sync/errgroup"
)

// Bounds of scenarios.
const (
	usualTasks = 120             // of a scenario
	stormTasks = 600             // of a storm, in a minute
	shortStorm = 8 * time.Second // with -short
	longest    = 6 * time.Minute // for a scenario, in addition to the length of a storm
)

// run runs the chosen scenarios and prints the result. It returns an error if one of them failed.
func run(ctx context.Context, o options) error {
	chosen := o.choose()
	if o.list {
		for _, s := range chosen {
			fmt.Printf("%-22s %s\n", s.name, s.about)
		}
		return nil
	}
	p, err := prepare(ctx, o, chosen)
	if err != nil {
		return err
	}
	defer p.keeper.Close()
	fmt.Printf("seed %d, logs in %s\n", o.seed, p.dir)
	rows := p.runAll(ctx, o, chosen)
	rows = slices.DeleteFunc(rows, func(r row) bool { return r.scenario == "" }) // interrupted before
	return errors.Join(ctx.Err(), report(p.dir, o.keep, rows))
}

// choose returns the scenarios to run.
func (o options) choose() []scenario {
	return slices.DeleteFunc(scenarios(), func(s scenario) bool {
		switch {
		case o.short && !s.short, s.storm && o.minutes == 0, !o.run.MatchString(s.name):
			return true
		case o.older != "":
			return s.newer
		default:
			return s.older
		}
	})
}

// runAll runs several scenarios at a time, and then one by one those that measure time.
func (p *program) runAll(ctx context.Context, o options, all []scenario) []row {
	rows := make([]row, len(all))
	var printing sync.Mutex
	runOne := func(i int) {
		rows[i] = p.runOne(ctx, o, all[i])
		printing.Lock()
		defer printing.Unlock()
		fmt.Printf("%-22s %3.0fs  %d tasks, %d breaks\n", rows[i].scenario, rows[i].took.Seconds(), rows[i].Tasks, rows[i].breaks)
	}
	var group errgroup.Group
	group.SetLimit(max(1, o.parallel))
	for i, s := range all {
		if !s.alone {
			group.Go(func() error { runOne(i); return nil })
		}
	}
	_ = group.Wait() // the rows have the errors
	for i, s := range all {
		if s.alone && ctx.Err() == nil {
			runOne(i)
		}
	}
	return rows
}

// runOne runs one scenario in a world of its own.
func (p *program) runOne(ctx context.Context, o options, s scenario) (r row) {
	began := time.Now()
	cfg := o.world(s)
	r = row{scenario: s.name, repeat: o.command(s)}
	ctx, cancel := context.WithTimeout(ctx, longest+cfg.lasts)
	defer cancel()
	w, err := newWorld(ctx, p, s.name, cfg)
	defer w.close()
	if err == nil {
		err = process.Catch(func() { s.run(ctx, w) })
	}
	if err == nil {
		r.Count, err = w.finish(ctx)
	}
	r.err = err
	if w.faults != nil {
		r.breaks = w.faults.count()
		r.handover = w.faults.handovers(w.journal)
	}
	r.measured = w.measured
	if w.unjudged {
		r.measured = append(r.measured, "times not judged")
	}
	r.Problems = append(r.Problems, w.notes...)
	r.took = time.Since(began)
	return r
}

// world returns the configuration of a scenario's world. Each scenario has a seed of its own.
func (o options) world(s scenario) worldConfig {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(s.name))
	cfg := worldConfig{
		size: max(1, s.nodes), sync: o.sync, seed: o.seed ^ hash.Sum64(), tasks: o.tasks, workers: o.workers, unwell: s.storm,
		sessions: o.sessions || s.sessions,
		clocks:   s.storm && o.clocks && !o.short && o.older == "",
	}
	if o.cluster {
		cfg.size = 3
	}
	if s.storm {
		cfg.lasts = o.stormLasts()
	}
	switch {
	case s.storm:
		perMinute := o.tasks
		if perMinute == 0 {
			perMinute = stormTasks
		}
		cfg.tasks = max(1, int(float64(perMinute)*cfg.lasts.Minutes()))
	case o.tasks == 0:
		cfg.tasks = usualTasks
	}
	return cfg
}

// stormLasts is how long each storm lasts, in whole milliseconds, so that -minutes can repeat it exactly.
func (o options) stormLasts() time.Duration {
	if o.short {
		return shortStorm
	}
	storms := 0
	for _, s := range o.choose() {
		if s.storm {
			storms++
		}
	}
	lasts := time.Duration(o.minutes * float64(time.Minute) / float64(max(1, storms)))
	return lasts.Round(time.Millisecond)
}

// report prints the table, and deletes the logs unless something failed or the user keeps them.
func report(dir string, keep bool, rows []row) error {
	fmt.Println()
	if err := printTable(os.Stdout, rows); err != nil {
		return err
	}
	failed := 0
	for _, r := range rows {
		printProblems(os.Stdout, r)
		if !r.ok() {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d scenarios failed; the logs of the processes are in %s", failed, len(rows), dir)
	}
	if keep {
		return nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove the folder: %w", err)
	}
	return nil
}
