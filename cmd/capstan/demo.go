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
const demoHelp = "Try it: NATS, a worker and a fake API in one process, nothing to install."

// demoCmd runs all of Capstan in one process: a NATS server, a stand-in for Anchor's API unless there is a
// key for the real one, and the same worker as in production. It submits three tasks. The build tag nodemo
// leaves it out; see demo_absent.go.
type demoCmd struct {
	Exit bool   `help:"Exit when the three tasks have finished."`
	Data string `placeholder:"DIR" help:"Keep the streams in this folder. Default: a temporary folder."`
	Port int    `default:"4222" placeholder:"PORT" help:"Port of NATS on 127.0.0.1; 0 for any. If it is taken, any free port is used. Default: 4222."`
	Log  bool   `help:"Show the worker's log. Default: only its errors."`
}

// Help is printed below the flags.
func (*demoCmd) Help() string {
	return `The demo submits three tasks, shows what happens to them, and keeps running for your own tasks. It exits 1 if
a task did not end as expected.

If ANCHORBROWSER_API_KEY is not set, a fake API takes the tasks: no AI, it just fetches the page and
extracts text. If it is set, the tasks run on Anchor Browser and use your credits.

The demo always starts its own NATS server and ignores NATS_*, --nats-url and --context. All other worker
settings apply.`
}

// Run runs the command. It starts each part, and stops them in the opposite order: the worker hands over
// its tasks while NATS still runs. The parts take their settings from the environment of this process,
// which Run changes.
func (d *demoCmd) Run(ctx context.Context, t *terminal) error {
	if d.Port < 0 || d.Port > maxPort {
		return usageError{fmt.Errorf("--port must be from 0 to %d (got %d)", maxPort, d.Port)}
	}
	setNATS := os.Getenv("NATS_URL") != "" // before the demo sets it
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
	// From here on the environment describes the demo, for the worker and for connect.
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
	page, stopDashboard, err := startDashboard(ctx, c, d.logger(t.err, cfg))
	if err != nil {
		return err
	}
	defer stopDashboard()

	tasks := demoTasks(api)
	introduce(t, d, cfg, api, page, tasks)
	s, err := c.newShow(ctx, t, tasks, func(ctx context.Context) string { return whyWaiting(ctx, cfg) })
	if err == nil {
		err = d.run(ctx, t, s, func() { invite(t, cfg, api, tasks[0].id, setNATS) })
	}
	return d.result(ctx, err)
}

// run shows the tasks until they end, and without --exit calls invite and goes on until ctx ends. It returns errTaskFailed
// if it has printed what went wrong.
func (d *demoCmd) run(ctx context.Context, t *terminal, s *show, invite func()) error {
	err := s.untilTasksEnd(ctx)
	if d.Exit || ctx.Err() != nil {
		return err
	}
	if err != nil {
		t.complain(err)
		err = errTaskFailed
	}
	invite()
	s.untilStopped(ctx)
	return err
}

// result returns the error of the worker if it failed, and else err. ctx is that of the worker. An
// interrupt is an error only with --exit: a script then must not take it for success, while a person who
// presses Ctrl-C just ends the demo.
func (d *demoCmd) result(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	switch {
	case cause == nil:
		return err
	case !errors.Is(cause, context.Canceled):
		return fmt.Errorf("the worker stopped: %w", cause)
	case errors.Is(err, errTaskFailed):
		return err
	case d.Exit:
		return errors.New("interrupted before the tasks finished")
	}
	return nil
}

// folder creates the folder of the streams. remove removes it if it is temporary, and does nothing if the
// user named it with --data.
func (d *demoCmd) folder() (dir string, remove func(), err error) {
	if d.Data != "" {
		if err := os.MkdirAll(d.Data, 0o750); err != nil {
			return "", nil, fmt.Errorf("create the folder of --data: %w", err)
		}
		return d.Data, func() {}, nil
	}
	if dir, err = os.MkdirTemp("", "capstan-demo-"); err != nil {
		return "", nil, fmt.Errorf("create a folder for the streams: %w", err)
	}
	return dir, func() { _ = os.RemoveAll(dir) }, nil
}

// logger is for the worker: with --log as its settings say, else for errors only, so that the log does not
// bury the story of the three tasks.
func (d *demoCmd) logger(w io.Writer, cfg app.Config) zerolog.Logger {
	level := zerolog.LevelErrorValue
	if d.Log {
		level = cfg.Log.Level
	}
	return app.NewLogger(w, level, cfg.Log.Format)
}

// introduce prints which parts run where, and the three tasks. With the real API it says that the tasks use
// credits, before the first one is submitted.
func introduce(t *terminal, d *demoCmd, cfg app.Config, api demoAPI, page string, tasks []demoTask) {
	kept := "the queue; its streams are in a temporary folder"
	if d.Data != "" {
		kept = "the queue; its streams are in " + d.Data
	}
	about := "a fake API: no AI, it just fetches the page and extracts text"
	if api.real {
		about = "Anchor Browser: this uses your credits"
	}
	t.printf("\n%s\n\n", bold("Capstan is running, with everything in this process"))
	for _, part := range [][3]string{
		{"NATS", cfg.NATS.URL, kept},
		{"API", cfg.Anchor.BaseURL, about},
		{"worker", "http://" + cfg.Admin.Addr, "the same as in production, with /readyz and /metrics"},
		{"page", page, aboutPage()},
	} {
		t.printf("  %-6s  %-28s  %s\n", part[0], part[1], faint(part[2]))
	}
	title := "Submitting three tasks; the last one should fail, because its page does not exist"
	if api.real {
		title = "Submitting three tasks"
	}
	t.printf("\n%s\n\n", bold(title))
	for _, each := range tasks {
		t.printf("  %s  %-28s  %s\n", taskCell(each.id), each.prompt, faint(each.url))
	}
	t.printf("\n")
}

// invite prints commands to try in another terminal, as they must be typed there: with NATS_URL if the
// default or the variable of the user's shell would lead to another server, and with go run if that started
// the demo.
func invite(t *terminal, cfg app.Config, api demoAPI, taskID string, setNATS bool) {
	capstan := os.Args[0]
	if strings.Contains(capstan, "go-build") { // started by go run
		capstan = "go run ./cmd/capstan"
	}
	if setNATS || cfg.NATS.URL != defaultURL {
		capstan = "NATS_URL=" + cfg.NATS.URL + " " + capstan
	}
	t.printf("\n%s\n\n", bold("Try it from another terminal"))
	t.printf("  %s submit --wait --url %s \"Extract the main heading\"\n", capstan, api.another)
	t.printf("  %s watch --all\n", capstan)
	t.printf("  %s get %s\n", capstan, taskID)
	t.printf("\n%s\n\n", faint("Events appear below. Ctrl-C ends the demo."))
}
