// Command chaos tests what Capstan promises by breaking things: no task is lost, none is run twice without consent, and
// each has exactly one event.
//
// It starts the real programs, each in a process of its own: NATS with one node or three, workers, and the stand-in for
// the API. It gives them tasks and breaks everything that can break: at each moment that matters, and at random. Then
// it counts. It prints a table, and exits with 1 and the seed if a promise was broken.
//
//	go run ./test/chaos -short          the fixed part that runs with every change
//	go run ./test/chaos -minutes 10     all scenarios, and storms for ten minutes
//	go run ./test/chaos -run '^kill-'   the scenarios with such a name
//	go run ./test/chaos -older 274fd09  every second worker is built from that commit
//	go run ./test/chaos -sessions       all of it with SESSIONS=on
//
// The workers contain no code for this. The links between the processes stop a task at an exact moment: see package
// link.
package main

import (
	"context"
	"errors"
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
	isChild, err := process.RunChild(ctx, map[string]process.Role{process.StandInRole: process.ServeStandIn(newStandIn)})
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

// options are the user's choices.
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
	sessions bool
	older    string // a binary or a commit
	run      *regexp.Regexp
	unusual  []string // the arguments that change the worlds
}

func readOptions(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("chaos", flag.ExitOnError)
	flags.IntVar(&o.tasks, "tasks", 0, "`number` of tasks in a scenario, and in a minute of a storm (default 120, in a storm 600)")
	flags.IntVar(&o.workers, "workers", 3, "`number` of workers in a storm")
	flags.Float64Var(&o.minutes, "minutes", 2, "length of all storms together; 0: no storms")
	flags.Uint64Var(&o.seed, "seed", 0, "seed of the random choices (default: random; with -short, 1)")
	flags.IntVar(&o.parallel, "parallel", 8, "`number` of scenarios at a time; those that measure time run alone")
	flags.BoolVar(&o.short, "short", false, "run only the short scenarios")
	flags.BoolVar(&o.cluster, "cluster", false, "three nodes of NATS in every scenario")
	flags.BoolVar(&o.race, "race", false, "workers with the race detector")
	flags.BoolVar(&o.sync, "sync", false, "NATS with sync_interval: always")
	flags.BoolVar(&o.clocks, "clocks", true, "in storms, the clock of every third worker is wrong by two hours (not with -short or -older)")
	flags.BoolVar(&o.sessions, "sessions", false, "workers with SESSIONS=on in every scenario (not with -older)")
	flags.StringVar(&o.older, "older", "", "every second worker is an older version: the `path` of its binary, or a commit to build it from;\n"+
		"scenarios that only newer versions pass do not run, and copies for a subscriber without JetStream are not judged")
	flags.BoolVar(&o.keep, "keep", false, "keep the logs even if nothing failed")
	flags.BoolVar(&o.list, "list", false, "list the scenarios and exit")
	name := flags.String("run", "", "run only the scenarios whose name this `regexp` matches")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.seed == 0 && o.short {
		o.seed = 1
	} else if o.seed == 0 {
		o.seed = rand.Uint64N(1_000_000)
	}
	if o.sessions && o.older != "" {
		return o, errors.New("-sessions must not stand beside -older: older workers create no sessions")
	}
	o.unusual = unusual(flags)
	var err error
	if o.run, err = regexp.Compile(*name); err != nil {
		return o, fmt.Errorf("read -run: %w", err)
	}
	return o, nil
}

// unusual returns the arguments that change the worlds, if they are not the defaults.
func unusual(flags *flag.FlagSet) []string {
	var args []string
	for _, name := range []string{"short", "tasks", "workers", "cluster", "sync", "race", "clocks", "sessions", "older"} {
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

// command returns the command that repeats a scenario. A storm lasts as long as it did among others.
func (o options) command(s scenario) string {
	args := append([]string{"go run ./test/chaos"}, o.unusual...)
	if s.storm {
		args = append(args, "-minutes", strconv.FormatFloat(o.stormLasts().Minutes(), 'g', -1, 64))
	}
	return fmt.Sprintf("%s -seed %d -run '^%s$'", strings.Join(args, " "), o.seed, s.name)
}
