// Command bench measures the worker: against the floor (bench/floor), against itself under other
// conditions, and what it takes of the machine.
//
// NATS, the API's stand-in, the worker and the floor are real programs, each in a process of its own, over
// loopback. A figure is a ratio of two things that were run in turn, A B A B; the median of the rounds counts.
//
//	go run ./bench                   all of it
//	go run ./bench throughput        one of it; -list names them
//	go run ./bench -markdown         the tables of docs/benchmarks.md, written anew from docs/benchmarks.json
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	if text := os.Getenv(childVariable); text != "" {
		err = runChild(ctx, text)
	} else {
		err = run(ctx, os.Args[1:])
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// options are what the user can choose.
type options struct {
	rounds   int
	tasks    int
	atOnce   int
	json     string
	markdown bool
	list     bool
	keep     bool
	set      []string
	names    []string
}

func readOptions(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	flags.IntVar(&o.rounds, "rounds", 5, "rounds, of which the median counts")
	flags.IntVar(&o.tasks, "tasks", 0, "tasks of a run (default: each benchmark's own)")
	flags.IntVar(&o.atOnce, "held", 0, "tasks to hold at once (default: 1,000, 10,000 and as many as a worker may)")
	flags.StringVar(&o.json, "json", "", "keep the figures in this file, in place of those it has of the same benchmark")
	flags.Func("set", "a further variable of the worker's environment, as in GOGC=400; may be repeated", func(text string) error {
		o.set = append(o.set, text)
		return nil
	})
	flags.BoolVar(&o.markdown, "markdown", false, "measure nothing: write docs/benchmarks.md anew from docs/benchmarks.json")
	flags.BoolVar(&o.list, "list", false, "list the benchmarks and end")
	flags.BoolVar(&o.keep, "keep", false, "keep the logs of the processes")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.names = flags.Args()
	for _, name := range o.names {
		if !slices.ContainsFunc(benchmarks(), func(b benchmark) bool { return b.name == name }) {
			return o, fmt.Errorf("there is no benchmark %q: -list names them", name)
		}
	}
	if o.rounds < 1 {
		return o, errors.New("-rounds must be at least 1")
	}
	return o, nil
}
