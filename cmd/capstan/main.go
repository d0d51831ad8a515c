// Command capstan is the tool for users: it runs a demo, submits tasks, watches their events, shows the status of a task,
// and checks the settings of a worker. capstan --help prints how. Called under the name worker it is the worker, unless
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

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version = "dev"

const description = `Submit web tasks and follow their results.

Configured by the worker's environment variables (see worker -help).

Exit status: 0 success, 1 task failed or error, 2 invalid usage; nothing was sent.

Examples:

  capstan demo
  capstan submit --wait --url https://example.com "Extract the main heading"
  capstan watch --since 1h`

// The exit statuses.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// cli is the command line.
type cli struct {
	Demo   demoCmd   `cmd:"" help:"${demo}"`
	Submit submitCmd `cmd:"" help:"Publish a task request."`
	Watch  watchCmd  `cmd:"" help:"Print result events as tasks finish."`
	Get    getCmd    `cmd:"" help:"Show a task's status."`
	Check  checkCmd  `cmd:"" help:"Check that a worker can run with these settings."`

	NATSURL string           `name:"nats-url" env:"NATS_URL" placeholder:"URL" help:"NATS servers, separated by commas. Default: nats://127.0.0.1:4222."`
	Version kong.VersionFlag `help:"Print the version."`
}

// AfterApply sets the environment variable to the value of the flag.
func (c *cli) AfterApply() error {
	if c.NATSURL == "" {
		return nil
	}
	return os.Setenv("NATS_URL", c.NATSURL)
}

// usageError is a mistake in the command line, a request or a setting. Nothing was sent.
type usageError struct{ error }

// errTaskFailed makes the exit status 1. The event has been printed already.
var errTaskFailed = errors.New("the task failed")

func main() {
	args := os.Args[1:]
	if filepath.Base(os.Args[0]) == "worker" { // in the image one file is both commands, which halves the image's size
		if len(args) == 0 || args[0] != "capstan" {
			os.Exit(app.Main(args, version, os.Stdout, os.Stderr))
		}
		args = args[1:] // docker run IMAGE capstan check: the entry point of the image is the worker
	}
	log.SetOutput(anchor.LogFilter(os.Stderr))
	// The first signal lets the command finish cleanly. After stop, a second one kills the process.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, args, newTerminal()))
}

// run runs the command line args and returns the exit status. Without arguments it prints the help.
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

// newParser returns the parser of the command line. It panics if the tags of cli are wrong.
func newParser(t *terminal) *kong.Kong {
	parser, err := kong.New(&cli{}, kong.Name("capstan"), kong.Description(description),
		kong.Vars{"version": version, "demo": demoHelp}, kong.Writers(t.out, t.err), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		panic(err)
	}
	return parser
}
