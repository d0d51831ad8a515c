// Command bench measures the worker against a floor: a program that does only what every correct worker must do with
// a task (bench/floor).
//
// NATS, the stand-in for the API, the worker and the floor are real programs, each in a process of its own, connected
// over loopback. Worker and floor run in turn, A B A B. The ratio of each round is taken, and the median of the rounds
// counts.
//
//	go run ./bench                   all benchmarks; -list names them
//	go run ./bench throughput        one of them
//	go run ./bench -markdown         write docs/benchmarks.md from docs/benchmarks.json
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/capstan-worker/capstan/bench/figure"
	"github.com/capstan-worker/capstan/bench/standin"
	"github.com/capstan-worker/capstan/test/process"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	isChild, err := process.RunChild(ctx, map[string]func(context.Context, []byte) error{standin.Role: standin.Serve})
	if !isChild && err == nil {
		err = run(ctx, os.Args[1:])
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// options are the user's choices.
type options struct {
	rounds   int
	tasks    int
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
	flags.IntVar(&o.rounds, "rounds", 5, "`number` of rounds; their median counts")
	flags.IntVar(&o.tasks, "tasks", 0, "`number` of tasks in a run (default: depends on the benchmark)")
	flags.StringVar(&o.json, "json", "", "save the figures in this `file`, in place of older ones of the same benchmark")
	flags.Func("set", "set one more `NAME=VALUE` in the worker's environment, as in GOGC=400; may be repeated", func(text string) error {
		o.set = append(o.set, text)
		return nil
	})
	flags.BoolVar(&o.markdown, "markdown", false, "measure nothing; write docs/benchmarks.md from docs/benchmarks.json")
	flags.BoolVar(&o.list, "list", false, "list the benchmarks and exit")
	flags.BoolVar(&o.keep, "keep", false, "keep the logs of the processes")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.names = flags.Args()
	for _, name := range o.names {
		if !slices.ContainsFunc(benchmarks(), func(b benchmark) bool { return b.name == name }) {
			return o, fmt.Errorf("unknown benchmark %q; -list names them", name)
		}
	}
	if o.rounds < 1 {
		return o, errors.New("-rounds must be at least 1")
	}
	return o, nil
}

// benchmark measures something. Its run returns the rows of the table.
type benchmark struct {
	name  string
	about string
	run   func(ctx context.Context, l *lab) ([]figure.Row, error)
}

// benchmarks returns all benchmarks, in the order in which they run.
func benchmarks() []benchmark {
	return []benchmark{
		{name: "throughput", run: throughput, about: "A queue of tasks that the API finishes at once, from the first tenth to the last event. " +
			"Worker and floor run in turn with the same settings: 256 tasks in progress and 64 POSTs at once, and then the worker's defaults, 1,000 and 16."},
		{name: "latency", run: latency, about: "An idle worker gets one task after the other. The API finishes each at once."},
		{name: "polls", run: polls, about: "The cost of noticing the end of a task, in status calls and in delay: the worker, and then a loop with the same run times " +
			"and a fixed interval that gives it the worker's mean delay. All times are a tenth of real ones: tasks of 2 s, polls 200 ms to 1.5 s apart."},
		{name: "holding", run: holding, about: "Tasks whose workflows keep running, all held by one worker, with about 100 polls a second for all of them together."},
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
		reports, err := figure.Load("docs/benchmarks.json")
		if err != nil {
			return err
		}
		return figure.Document("docs/benchmarks.md", reports)
	}
	l, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer l.keeper.Close()
	for _, b := range benchmarks() {
		if len(o.names) > 0 && !slices.Contains(o.names, b.name) {
			continue
		}
		if err := l.measure(ctx, b, args); err != nil {
			return fmt.Errorf("%s: %w; the logs of the processes are in %s", b.name, err, l.dir)
		}
	}
	if o.keep {
		fmt.Println("logs are in", l.dir)
		return nil
	}
	return os.RemoveAll(l.dir)
}

// prepare builds the programs.
func prepare(ctx context.Context, o options) (*lab, error) {
	dir, err := os.MkdirTemp("", "capstan-bench-")
	if err != nil {
		return nil, fmt.Errorf("create a folder: %w", err)
	}
	l := &lab{options: o, dir: dir, worker: filepath.Join(dir, "worker"), floor: filepath.Join(dir, "floor")}
	const module = "github.com/capstan-worker/capstan/"
	l.self, err = os.Executable()
	err = errors.Join(err, process.Build(ctx, module+"cmd/worker", l.worker), process.Build(ctx, module+"bench/floor", l.floor))
	if err != nil {
		return nil, err
	}
	l.keeper, err = process.NewKeeper(ctx)
	return l, err
}

// measure runs a benchmark, prints its table, and saves its figures if the user wants that.
func (l *lab) measure(ctx context.Context, b benchmark, args []string) error {
	began := time.Now()
	rows, err := b.run(ctx, l)
	if err != nil {
		return err
	}
	r := figure.Report{
		Name: b.name, About: b.about, Command: "go run ./bench " + strings.Join(args, " "), When: began.UTC().Truncate(time.Second),
		Commit: commit(ctx), Machine: figure.ThisMachine(), Rounds: len(rows[0].Values), Rows: rows,
	}
	fmt.Println(r.Table())
	if l.json == "" {
		return nil
	}
	return figure.Save(l.json, r)
}

// commit names the commit that is measured, and says whether files outside docs differ from it.
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
