// Command chaos proves what Capstan promises by breaking things: no task is lost, none is run twice behind
// anybody's back, and each has one event.
//
// It starts the real programs, each in a process of its own: NATS, one node or three, workers, and the
// stand-in for the API. It puts a load of tasks on them and breaks what can break, by plan at each moment
// that matters, and at random. Then it counts. The verdict is the count: it prints a table, and ends with 1
// and the seed where something is not as it must be.
//
//	go run ./test/chaos -short          the fixed part that is run with every change
//	go run ./test/chaos -minutes 10     all of it, and storms for ten minutes
//	go run ./test/chaos -run '^kill-'   what has a name like that
//	go run ./test/chaos -older 274fd09  every second worker as of that commit
//
// Nothing is built into the workers for this. Links between the processes are where a task is stopped at an
// exact moment: see package link.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/capstan-worker/capstan/test/process"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	isChild, err := process.RunChild(ctx, map[string]func(context.Context, []byte) error{standInRole: serveStandIn})
	if isChild || err != nil {
		exit(err)
	}
	o, err := readOptions(os.Args[1:])
	if err == nil {
		err = run(ctx, o)
	}
	exit(err)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// options are what the user can choose.
type options struct {
	tasks    int
	workers  int
	minutes  float64
	seed     uint64
	parallel int
	short    bool
	cluster  bool
	race     bool
	sync     bool
	list     bool
	keep     bool
	clocks   bool
	older    string // a binary or a commit
	run      *regexp.Regexp
	unusual  []string // arguments that make a scenario's world another than the usual one
}

func readOptions(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("chaos", flag.ExitOnError)
	flags.IntVar(&o.tasks, "tasks", 0, "tasks of a scenario, and of a storm in a minute (default 120, and of a storm 600)")
	flags.IntVar(&o.workers, "workers", 3, "workers in a storm")
	flags.Float64Var(&o.minutes, "minutes", 2, "how long the storms blow, together; 0: not at all")
	flags.Uint64Var(&o.seed, "seed", 0, "what chance begins with (default: random; with -short, 1)")
	flags.IntVar(&o.parallel, "parallel", 8, "scenarios at a time; those that measure time are run alone")
	flags.BoolVar(&o.short, "short", false, "only the short run")
	flags.BoolVar(&o.cluster, "cluster", false, "three nodes of NATS in every scenario")
	flags.BoolVar(&o.race, "race", false, "workers with the race detector")
	flags.BoolVar(&o.sync, "sync", false, "NATS with sync_interval: always")
	flags.BoolVar(&o.clocks, "clocks", true, "in storms that are not short, the clock of every third worker is off by two hours")
	flags.StringVar(&o.older, "older", "", "every second worker is of an older version: the path of its binary, or a commit to build it from;\n"+
		"the copies that a subscriber without JetStream gets are then not judged, what only newer versions promise is not tried")
	flags.BoolVar(&o.keep, "keep", false, "keep the logs where nothing is wrong, too")
	flags.BoolVar(&o.list, "list", false, "list the scenarios and end")
	name := flags.String("run", "", "only scenarios whose name this regular expression matches")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.seed == 0 && o.short {
		o.seed = 1
	} else if o.seed == 0 {
		o.seed = rand.Uint64N(1_000_000)
	}
	o.unusual = unusual(flags)
	var err error
	if o.run, err = regexp.Compile(*name); err != nil {
		return o, fmt.Errorf("read -run: %w", err)
	}
	return o, nil
}

// unusual returns the arguments that make a scenario's world, where they are not the defaults.
func unusual(flags *flag.FlagSet) []string {
	var args []string
	for _, name := range []string{"short", "tasks", "workers", "cluster", "sync", "race", "clocks", "older"} {
		switch f := flags.Lookup(name); f.Value.String() {
		case f.DefValue:
		case "true":
			args = append(args, "-"+name)
		case "false":
			args = append(args, "-"+name+"=false")
		default:
			args = append(args, "-"+name, f.Value.String())
		}
	}
	return args
}

// command repeats a scenario as it was. A storm lasts as long as it did among others.
func (o options) command(s scenario) string {
	args := append([]string{"go run ./test/chaos"}, o.unusual...)
	if s.storm {
		args = append(args, "-minutes", strconv.FormatFloat(o.stormLasts().Minutes(), 'g', -1, 64))
	}
	return fmt.Sprintf("%s -seed %d -run '^%s$'", strings.Join(args, " "), o.seed, s.name)
}
