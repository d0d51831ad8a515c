// Command capstan is the tool for users: it runs a demo, submits tasks, watches their events, shows the status of a task,
// checks the settings of a worker, and runs one. capstan help prints how. Called under the name worker it is the worker,
// unless its first argument is capstan.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"

	"github.com/alecthomas/kong"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/app"
)

// version is set by the linker: -ldflags "-X main.version=v0.1.0". Otherwise main takes it from the build information.
var version = "dev"

// cli is the command line. Kong, the library that parses it, derives the names of commands and flags from
// the names and tags of the fields, and calls the method Run of the command that was chosen.
type cli struct {
	Demo    demoCmd    `cmd:"" help:"${demo}"`
	Submit  submitCmd  `cmd:"" help:"Publish a task request."`
	Watch   watchCmd   `cmd:"" help:"Print result events as tasks finish."`
	Get     getCmd     `cmd:"" help:"Show one task: its state, its record and its result."`
	List    listCmd    `cmd:"" help:"List tasks."`
	Status  statusCmd  `cmd:"" help:"Show how far the queue or a batch is, and when it will be done."`
	Why     whyCmd     `cmd:"" help:"Say what a task waits for, or why it failed."`
	Cancel  cancelCmd  `cmd:"" help:"Cancel tasks or a batch."`
	Pause   pauseCmd   `cmd:"" help:"Stop submitting tasks for a while."`
	Resume  resumeCmd  `cmd:"" help:"End a pause."`
	Redrive redriveCmd `cmd:"" help:"Run failed tasks again."`
	Check   checkCmd   `cmd:"" help:"Check that a worker can run with these settings."`
	Worker  workerCmd  `cmd:"" passthrough:"" help:"Run a worker, as the program worker does."`
	Probe   probeCmd   `cmd:"" help:"Find out whether tasks can run in browser sessions of their own."`
	Stub    stubCmd    `cmd:"" help:"${stub}"`
	Schema  schemaCmd  `cmd:"" help:"Print the JSON Schemas of requests, events and other values."`

	Dashboard dashboardCmd `cmd:"" help:"Serve a web page that shows the queue and steers it."`

	Help       helpCmd       `cmd:"" help:"Show this help, or that of a command."`
	Completion completionCmd `cmd:"" help:"Print the script that completes commands and flags in a shell."`
	Version    versionCmd    `cmd:"" help:"Print the version."`

	Server      serverFlags      `embed:""`
	VersionFlag kong.VersionFlag `name:"version" help:"Print the version."`
}

// AfterApply applies the flags that all commands have. Kong calls it after parsing and before Run.
func (c *cli) AfterApply(command *kong.Context) error { return c.Server.apply(command) }

func main() {
	info, _ := debug.ReadBuildInfo() // nil if there is none
	version = app.Version(version, info)
	args := os.Args[1:]
	if filepath.Base(os.Args[0]) == "worker" { // in the image one file is both commands, which halves the image's size
		if len(args) == 0 || args[0] != "capstan" {
			os.Exit(app.Main(withoutOwnName(args), version, os.Stdout, os.Stderr))
		}
		args = args[1:] // docker run IMAGE capstan check: the entry point of the image is the worker
	}
	// net/http logs unexpected bytes of an answer there, and they may contain secrets.
	log.SetOutput(anchor.LogFilter(os.Stderr))
	os.Exit(run(untilSignal(), args, newTerminal()))
}

// withoutOwnName returns the arguments without a first one that repeats the worker's name: docker run IMAGE worker.
func withoutOwnName(args []string) []string {
	if len(args) > 0 && args[0] == "worker" {
		return args[1:]
	}
	return args
}

// run runs the command line args and returns the exit status. Without arguments it prints the help. The
// command should return soon after ctx has ended. Errors go to t.err, with a hint if the arguments could
// not be parsed.
func run(ctx context.Context, args []string, t *terminal) int {
	out := &results{Writer: t.out}
	t.out = out
	parser := newParser(t)
	if completeWord(parser) {
		return exitOK
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(withTwoDashes(args))
	if err != nil {
		t.complain(explainParsing(err))
		t.note("Try: capstan help%s", commandOf(err))
		return exitUsage
	}
	// Kong passes arguments to Run by their type. It must be told that ctx is to be passed as a
	// context.Context, and the nil pointer carries that type.
	command.BindTo(ctx, (*context.Context)(nil))
	if err = command.Run(t); err == nil && out.failed != nil {
		err = fmt.Errorf("write the output: %w", out.failed)
	}
	if !isSilent(ctx, err) {
		t.complain(err)
	}
	return exitStatus(ctx, err)
}

// newParser returns the parser of the command line. Help and version go to t.out. It panics if the tags of
// cli are wrong, which is a programmer's mistake that every test of a command finds.
func newParser(t *terminal) *kong.Kong {
	if givenColumns() == 0 {
		_ = os.Unsetenv("COLUMNS") // Kong would take a 0 or a negative number for the width
	}
	parser, err := kong.New(&cli{}, kong.Name("capstan"), kong.Description(description), kong.Vars{"version": version, "demo": demoHelp, "stub": stubHelp},
		kong.Writers(t.out, t.err), kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: widestHelp}))
	if err != nil {
		panic(err)
	}
	parser.Model.HelpFlag.Help = "Show this help."
	return parser
}

// withTwoDashes returns the arguments with -help and -version, as other programs and the worker call them, in Kong's form.
func withTwoDashes(args []string) []string {
	args = slices.Clone(args)
	for i, arg := range args {
		if arg == "--" {
			break
		}
		if arg == "-help" || arg == "-version" {
			args[i] = "-" + arg
		}
	}
	return args
}
