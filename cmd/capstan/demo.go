//go:build !nodemo

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/app"
)

// demoHelp is the demo's line in the list of commands.
const demoHelp = "See it work: NATS, a worker and a stand-in for Anchor's API in one process, nothing to install."

// demoCmd is the whole of Capstan in one process: a NATS server, Anchor's API or a stand-in for it, and
// the worker as it runs in production. Three tasks show what it does.
type demoCmd struct {
	Exit bool   `help:"End when the three tasks have ended. The exit status is 1 where one did not end as it should."`
	Data string `placeholder:"DIR" help:"Keep the streams in this folder. Default: a temporary one, removed at the end."`
	Port int    `default:"4222" placeholder:"PORT" help:"Port of NATS on 127.0.0.1, or 0 for any. A free one is taken where somebody else has it. Default: 4222."`
	Log  bool   `help:"Show the worker's log. Without it only its errors are shown."`
}

// Help is printed below the flags.
func (*demoCmd) Help() string {
	return `Without ANCHORBROWSER_API_KEY (or _FILE) a stand-in takes the place of Anchor's API. It is no AI
agent: it fetches the page a task names and looks up what the prompt mentions. With a key the
tasks run on Anchor Browser and use your credits.

The demo always has a NATS server of its own, whatever NATS_URL and the other settings NATS_*
say. All other settings of the worker count.`
}

// Run runs the command. Everything is started here, and stopped in the opposite order.
func (d *demoCmd) Run(ctx context.Context, t *terminal) error {
	if d.Port < 0 || d.Port > maxPort {
		return usageError{fmt.Errorf("--port is %d: give a port from 0 to %d", d.Port, maxPort)}
	}
	setNATS := os.Getenv("NATS_URL") != ""
	dir, removeDir, err := d.folder()
	if err != nil {
		return err
	}
	defer removeDir()
	server, err := startNATS(ctx, dir, d.Port)
	if err != nil {
		return err
	}
	defer server.Stop()
	api, err := startAPI(ctx)
	if err != nil {
		return err
	}
	defer api.close()
	cfg, err := demoConfig(ctx, server.URL())
	if err != nil {
		return usageError{err}
	}
	ctx, stopWorker := startWorker(ctx, cfg, d.logger(t.err, cfg))
	defer stopWorker()
	c, err := connect()
	if err != nil {
		return err
	}
	defer c.nc.Close()

	tasks := demoTasks(api)
	introduce(t, d, cfg, api, tasks)
	s, err := c.newShow(ctx, t, tasks, func(ctx context.Context) string { return whyWaiting(ctx, cfg) })
	if err != nil {
		return d.end(ctx, err)
	}
	err = s.untilTasksEnd(ctx)
	if d.Exit || ctx.Err() != nil {
		return d.end(ctx, err)
	}
	if err != nil {
		t.complain(err)
	}
	invite(t, cfg, api, tasks[0].id, setNATS)
	return d.end(ctx, s.untilStopped(ctx))
}

// end returns what ended the demo: the worker's error where it has one. To be told to stop is an error
// only for --exit.
func (d *demoCmd) end(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	switch {
	case cause == nil:
		return err
	case !errors.Is(cause, context.Canceled):
		return fmt.Errorf("the worker ended: %w", cause)
	case d.Exit:
		return errors.New("stopped before the tasks had ended")
	}
	return nil
}

// folder returns where the streams are kept and what to do with it in the end.
func (d *demoCmd) folder() (dir string, remove func(), err error) {
	if d.Data != "" {
		return d.Data, func() {}, nil
	}
	if dir, err = os.MkdirTemp("", "capstan-demo-"); err != nil {
		return "", nil, fmt.Errorf("make a folder for the streams: %w", err)
	}
	return dir, func() { _ = os.RemoveAll(dir) }, nil
}

func (d *demoCmd) logger(w io.Writer, cfg app.Config) zerolog.Logger {
	level := zerolog.LevelErrorValue
	if d.Log {
		level = cfg.Log.Level
	}
	return app.NewLogger(w, level, cfg.Log.Format)
}

// introduce says what runs where, and what will be seen.
func introduce(t *terminal, d *demoCmd, cfg app.Config, api demoAPI, tasks []demoTask) {
	kept := "streams in a temporary folder"
	if d.Data != "" {
		kept = "streams in " + d.Data
	}
	what := "a stand-in: no AI agent, but it fetches the page and reads it"
	if api.real {
		what = "Anchor Browser: this uses your credits"
	}
	t.printf("\n%s\n\n", t.paint(bold, "Capstan, with NATS and a worker in this process"))
	for _, part := range [][3]string{
		{"NATS", cfg.NATS.URL, kept},
		{"API", cfg.Anchor.BaseURL, what},
		{"worker", "http://" + cfg.Admin.Addr, "the same as in production: /readyz, /metrics"},
	} {
		t.printf("  %-6s  %-28s  %s\n", part[0], part[1], t.paint(dim, part[2]))
	}
	t.printf("\n%s\n\n", t.paint(bold, "Three tasks at once"))
	for _, each := range tasks {
		t.printf("  %-*s  %-28s  %s\n", idWidth, each.id, each.prompt, t.paint(dim, each.url))
	}
	t.printf("\n")
}

// invite says how to go on from another terminal.
func invite(t *terminal, cfg app.Config, api demoAPI, taskID string, setNATS bool) {
	capstan := os.Args[0]
	if strings.Contains(capstan, "go-build") { // where go run keeps what it runs
		capstan = "go run ./cmd/capstan"
	}
	if setNATS || cfg.NATS.URL != defaultURL {
		capstan = "NATS_URL=" + cfg.NATS.URL + " " + capstan
	}
	t.printf("\n%s\n\n", t.paint(bold, "Your turn, from another terminal"))
	t.printf("  %s submit --wait --url %s \"Extract the main heading\"\n", capstan, api.another)
	t.printf("  %s watch --all\n", capstan)
	t.printf("  %s get %s\n", capstan, taskID)
	t.printf("\n%s\n\n", t.paint(dim, "What happens is shown here. Ctrl-C ends the demo."))
}
