//go:build !nodemo

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

// stubHelp is the stub's line in the list of commands.
const stubHelp = "Serve a stub of Anchor's API, to test your own code against."

// stubMark is the header of every answer of the stub, so that nobody takes it for Anchor.
const stubMark = "Capstan-Stub"

// stubCloseGrace is how long the stub waits for calls in progress when it is stopped.
const stubCloseGrace = 2 * time.Second

// stubCmd serves the stand-in for Anchor's API of the tests and the demo. The build tag nodemo leaves it out; see
// stub_absent.go.
type stubCmd struct {
	Addr      string `default:"127.0.0.1:8091" placeholder:"HOST:PORT" help:"Address to listen on; port 0 for any. Default: 127.0.0.1:8091."`
	Key       string `placeholder:"KEY" help:"API key that clients must send. Default: a new one, which is printed."`
	Browsers  int    `default:"25" placeholder:"N" help:"Browsers of the plan: more at once are answered with 429. 0: no limit. Default: 25."`
	PerMinute int    `default:"25" placeholder:"N" help:"Browsers that may be started in a minute. 0: no limit. Default: 25."`
	Duration  string `default:"20s±50%" placeholder:"TIME" help:"How long tasks run, such as 5s, 20s±50% or 20s+-5s. Default: 20s±50%."`
	Faults    string `placeholder:"NAME:SHARE,..." help:"What goes wrong at random, such as lost-answer:1%,429:2%,step-limit:3%. Default: nothing."`
	Script    string `placeholder:"FILE" help:"What happens to which task; see docs/stub.md."`
	ReadPages bool   `help:"Fetch the page of each task and answer with what is on it. Default: make results up, from output_schema."`
	Seed      uint64 `placeholder:"N" help:"Repeat the times and faults of the run with this seed. Default: a new one, which is printed."`
	Quiet     bool   `short:"q" help:"Do not print each call."`
}

// Help is printed below the flags.
func (*stubCmd) Help() string {
	return `The stub is not Anchor: it has no AI, no browser and no costs. It takes the calls of Anchor's API for
tasks and sessions, also those of the npm package anchorbrowser:

  ANCHORBROWSER_BASE_URL=http://127.0.0.1:8091 ANCHORBROWSER_API_KEY=KEY node yours.mjs

` + faultsHelp() + `

docs/stub.md describes the faults, the script, and what differs from Anchor.`
}

// Run serves until ctx ends.
func (s *stubCmd) Run(ctx context.Context, t *terminal) error {
	setup, err := s.setup()
	if err != nil {
		return usageError{err}
	}
	options := setup.options()
	if !s.Quiet {
		options = append(options, anchortest.WithCallLog(newCallPrinter(t)))
	}
	standIn := anchortest.New(options...)
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", s.Addr)
	if err != nil {
		return fmt.Errorf("listen on --addr %s: %w; choose another address, such as 127.0.0.1:0", s.Addr, err)
	}
	setup.introduce(t, listener.Addr())
	err = serveStub(ctx, listener, standIn, standIn.Close)
	if setup.script != nil {
		for _, where := range setup.script.Unused() {
			t.note("no task met the rule at %s", where)
		}
	}
	return err
}

// serveStub serves the stand-in on the listener until ctx ends, and /livez as a worker does. It returns nil then, because
// Ctrl-C is the way to end it. endCalls must end the calls in progress.
func serveStub(ctx context.Context, listener net.Listener, standIn http.Handler, endCalls func()) error {
	server := &http.Server{Handler: markStub(withLivez(standIn)), ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan struct{})
	unstop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		endCalls()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stubCloseGrace)
		defer cancel()
		if server.Shutdown(grace) != nil {
			_ = server.Close()
		}
	})
	err := server.Serve(listener)
	if !unstop() {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve the stub: %w", err)
}

// withLivez answers ok at /livez, as a worker does, and leaves all other calls to next. The API has no such path.
func withLivez(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Path == "/livez" {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = w.Write([]byte("ok\n"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// markStub says in a header of each answer that it is not Anchor's.
func markStub(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(stubMark, "this is not Anchor Browser")
		next.ServeHTTP(w, r)
	})
}
