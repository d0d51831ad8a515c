// Command capstan is the user's tool: it runs a demo, submits tasks, watches their events, shows the status of a
// task and checks a worker's settings. capstan --help prints how. Called by the name worker it is the worker, unless
// its first argument is capstan.
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/app"
)

// version is set by the linker.
var version = "dev"

const description = `Submit web tasks to Capstan's queue and see how they end.

NATS and the names of streams and buckets are set by the same variables of the environment as for the
worker (worker -help prints them).

Exit status: 0 when all went well, 1 when the task failed or something went wrong, 2 when the command
line, a request or a setting is wrong and nothing was sent.`

// The ends of the process.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// cli is the command line.
type cli struct {
	Demo   demoCmd   `cmd:"" help:"${demo}"`
	Submit submitCmd `cmd:"" help:"Publish a task request."`
	Watch  watchCmd  `cmd:"" help:"Print events as tasks end."`
	Get    getCmd    `cmd:"" help:"Show how a task is."`
	Check  checkCmd  `cmd:"" help:"Look whether a worker with these settings could do its work."`

	NATSURL string           `name:"nats-url" env:"NATS_URL" placeholder:"URL" help:"NATS servers, with commas between them. Default: nats://127.0.0.1:4222."`
	Version kong.VersionFlag `help:"Print the version."`
}

// AfterApply makes the flag the setting.
func (c *cli) AfterApply() error {
	if c.NATSURL == "" {
		return nil
	}
	return os.Setenv("NATS_URL", c.NATSURL)
}

// usageError is a mistake of the command line, a request or a setting: nothing was sent.
type usageError struct{ error }

// errTaskFailed ends the process as a failure. What there is to say has been printed.
var errTaskFailed = errors.New("the task failed")

func main() {
	args := os.Args[1:]
	if filepath.Base(os.Args[0]) == "worker" { // in the image one file is both commands, which halves its size
		if len(args) == 0 || args[0] != "capstan" {
			os.Exit(app.Main(args, version, os.Stdout, os.Stderr))
		}
		args = args[1:] // docker run IMAGE capstan check: the image's entry point is the worker
	}
	log.SetOutput(anchor.LogFilter(os.Stderr))
	// The first signal ends a command in order; with stop, a second one ends the process at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, args, newTerminal()))
}

// run returns the exit status.
func run(ctx context.Context, args []string, t *terminal) int {
	parser := newParser(t)
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if err != nil {
		t.complain(err)
		t.note("Try: capstan --help")
		return exitUsage
	}
	command.BindTo(ctx, (*context.Context)(nil))
	err = command.Run(t)
	switch _, wrongUsage := errors.AsType[usageError](err); {
	case err == nil:
		return exitOK
	case errors.Is(err, errTaskFailed):
		return exitFailed
	case wrongUsage:
		t.complain(err)
		return exitUsage
	default:
		t.complain(err)
		return exitFailed
	}
}

// newParser returns the parser of the command line.
func newParser(t *terminal) *kong.Kong {
	parser, err := kong.New(&cli{}, kong.Name("capstan"), kong.Description(description),
		kong.Vars{"version": version, "demo": demoHelp}, kong.Writers(t.out, t.err), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		panic(err) // the tags of cli are wrong
	}
	return parser
}
