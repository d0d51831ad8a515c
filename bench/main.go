// Command bench measures the worker against a floor: a program that does only what every correct worker must do with
// a task (bench/floor).
//
// NATS, the stand-in for the API, the worker and the floor are real programs, each in a process of its own, connected
// over loopback. Worker and floor run in turn, A B A B. The ratio of each round is taken, and the median of the rounds
// counts.
//
//	go run ./bench                   all benchmarks: throughput, latency, polls, holding, canceled and night
//	go run ./bench throughput        one of them
//	go run ./bench -markdown         write docs/benchmarks.md from docs/benchmarks.json
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/capstan-worker/capstan/bench/figure"
	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/test/process"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	isChild, err := process.RunChild(ctx, map[string]process.Role{process.StandInRole: process.ServeStandIn(newStandIn)})
	if !isChild && err == nil {
		err = run(ctx, os.Args[1:])
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// apiKey is the key of the stand-in.
const apiKey = "bench"

// newStandIn returns the stand-in for the API. Tasks end at once, unless their prompts contain another plan.
func newStandIn(config []byte) (http.Handler, error) {
	var account plan
	if err := json.Unmarshal(config, &account); err != nil {
		return nil, err
	}
	const result = `{"heading":"Welcome aboard","paragraph":"The inn has looked over the harbor for long."}`
	planned := func(t anchortest.Task) anchortest.Plan {
		p, err := anchortest.MarkedPlan(t)
		if err != nil {
			return anchortest.Plan{Error: err.Error()}
		}
		p.Result = json.RawMessage(result)
		return p
	}
	options := []anchortest.Option{anchortest.WithKey(apiKey), anchortest.WithTaskName(anchortest.FirstWord), anchortest.WithPlan(planned)}
	if account.Browsers > 0 {
		options = append(options, anchortest.WithMaxRunning(account.Browsers))
	}
	if account.Starts > 0 {
		options = append(options, anchortest.WithStartRate(anchortest.StartRate{Quota: account.Starts, Window: account.Window, Silent: account.Silent}))
	}
	return anchortest.New(options...), nil
}

// options are the user's choices.
type options struct {
	rounds   int
	tasks    int
	json     string
	markdown bool
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
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.names = flags.Args()
	for _, name := range o.names {
		if !slices.ContainsFunc(benchmarks(), func(b benchmark) bool { return b.name == name }) {
			return o, fmt.Errorf("unknown benchmark %q: want throughput, latency, polls, holding, canceled or night", name)
		}
	}
	if o.rounds < 1 {
		return o, errors.New("-rounds must be at least 1")
	}
	return o, nil
}

// benchmark measures something and adds what it finds to the lab's report.
type benchmark struct {
	name  string
	about string
	run   func(ctx context.Context, l *lab)
}

// benchmarks returns all benchmarks, in the order in which they run.
func benchmarks() []benchmark {
	return []benchmark{
		{name: "throughput", run: throughput, about: "A queue of tasks that the API finishes at once, from the first tenth to the last event. " +
			"Worker and floor run in turn with the same settings: 256 tasks in progress and 64 POSTs at once, and then the worker's defaults, 1,000 and 16."},
		{name: "latency", run: latency, about: "An idle worker gets one task after the other. The API finishes each at once."},
		{name: "polls", run: polls, about: "The cost of noticing the end of a task, in status calls and in delay: the worker's, and what it would be for the same run times " +
			"with a fixed interval and the worker's mean delay. All times are a tenth of real ones: tasks of 2 s, polls 200 ms to 1.5 s apart."},
		{name: "holding", run: holding, about: "Tasks whose workflows keep running, all held by one worker, with about 100 polls a second for all of them together."},
		{name: "canceled", run: canceled, about: "A queue of tasks whose batch was canceled, ended by one worker with default settings, from the first tenth to the last event. " +
			"Each task gets its event, and its request becomes a dead letter. Nothing is submitted."},
		{name: "night", run: night, about: "A queue of 1,600 tasks on a plan of 40 browsers, run by three workers with default settings, from the first request to the last event. " +
			"All times are a tenth of real ones. The least possible time is that of a program that knows when a browser is free and starts the next task at once. Only the limit on all tasks is not scaled: it changes every ten seconds at most, so another user costs more here than in a night."},
	}
}

func run(ctx context.Context, args []string) error {
	o, err := readOptions(args)
	if err != nil {
		return err
	}
	if o.markdown {
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
	return os.RemoveAll(l.dir)
}

// measure runs a benchmark, prints its table, and saves its figures if the user wants that.
func (l *lab) measure(ctx context.Context, b benchmark, args []string) error {
	l.report = figure.Report{
		Name: b.name, About: b.about, Command: "go run ./bench " + strings.Join(args, " "), When: time.Now().UTC().Truncate(time.Second),
		Commit: commit(ctx), Machine: figure.ThisMachine(),
	}
	if err := process.Catch(func() { b.run(ctx, l) }); err != nil {
		return err
	}
	l.report.Rounds = len(l.report.Rows[0].Values)
	fmt.Println("\n" + l.report.Table())
	if l.json == "" {
		return nil
	}
	return figure.Save(l.json, l.report)
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
