//go:build !nodemo

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/natsserver"
)

const (
	maxPort = 65535

	// adminPort is the preferred port of the worker's admin server, the one in the default of ADMIN_ADDR.
	adminPort = 8080

	// defaultURL is the default of NATS_URL. At this address the commands need no settings.
	defaultURL = "nats://127.0.0.1:4222"
)

// freePort returns a free port of 127.0.0.1: the preferred one if possible. It closes the port again, so
// another program can take it before the server listens; the server then reports that.
func freePort(ctx context.Context, preferred int) (int, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", preferred))
	if err != nil {
		listener, err = config.Listen(ctx, "tcp", "127.0.0.1:0")
	}
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	if err := listener.Close(); err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	return strconv.Atoi(port)
}

// startNATS starts the demo's server, which keeps its streams in dir. The error has the server's reason.
func startNATS(ctx context.Context, dir string, preferred int) (*natsserver.Server, error) {
	port, err := freePort(ctx, preferred)
	if err != nil {
		return nil, err
	}
	server, err := natsserver.Start(natsserver.Config{Dir: dir, Port: port})
	if err != nil {
		return nil, fmt.Errorf("start NATS in %s: %w", dir, err)
	}
	return server, nil
}

// demoAPI is the API that the worker uses, and pages for its tasks. close stops what startAPI started.
type demoAPI struct {
	real    bool // Anchor Browser itself
	page    string
	another string
	// missing is the address of a page that does not exist.
	missing string
	close   func()
}

// startAPI starts the stand-in and a site for it to read, and sets the worker's environment variables for it. If the
// environment names an API already, it starts nothing.
func startAPI(ctx context.Context) (demoAPI, error) {
	// A base URL without a key is a mistake, which the worker's own check reports.
	for _, name := range []string{"ANCHORBROWSER_API_KEY", "ANCHORBROWSER_API_KEY_FILE", "ANCHORBROWSER_BASE_URL"} {
		if os.Getenv(name) != "" {
			return demoAPI{
				real: true, page: "https://example.com", another: "https://example.com",
				missing: "https://example.invalid", close: func() {},
			}, nil
		}
	}
	// People can follow tasks that run for 2 to 4 seconds.
	runTime := anchortest.RunTime{Mean: 3 * time.Second, Spread: time.Second}
	standIn := anchortest.New(anchortest.WithAgent(anchortest.PageReader), anchortest.WithRunTime(rand.Uint64(), runTime))
	api, err := serve(ctx, markStub(standIn))
	if err != nil {
		return demoAPI{}, err
	}
	site, err := serve(ctx, anchortest.SampleSite())
	if err != nil {
		_ = api.Close()
		return demoAPI{}, err
	}
	pages := "http://" + site.Addr
	return demoAPI{
		page: pages + "/", another: pages + "/knots", missing: pages + "/no-such-page",
		close: func() { // requests that are still running end with the process
			_ = api.Close()
			_ = site.Close()
		},
	}, setenv(map[string]string{"ANCHORBROWSER_API_KEY": standIn.Key(), "ANCHORBROWSER_BASE_URL": "http://" + api.Addr})
}

// serve starts a server on a free port. Its Addr is where it listens. Close stops it.
func serve(ctx context.Context, handler http.Handler) (*http.Server, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the demo: %w", err)
	}
	server := &http.Server{Addr: listener.Addr().String(), Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends with Close
	return server, nil
}

// demoConfig reads the worker's settings from the environment, as a worker does. First it sets the demo's own variables:
// the address of NATS, and defaults for settings that the user has not set.
func demoConfig(ctx context.Context, natsURL string) (app.Config, error) {
	for _, s := range app.Settings() {
		if strings.HasPrefix(s.Name, "NATS_") { // a login of the user's server would be refused here
			if err := os.Unsetenv(s.Name); err != nil {
				return app.Config{}, fmt.Errorf("unset %s: %w", s.Name, err)
			}
		}
	}
	port, err := freePort(ctx, adminPort)
	if err != nil {
		return app.Config{}, err
	}
	own := map[string]string{"NATS_URL": natsURL}
	for name, value := range map[string]string{
		"ADMIN_ADDR": fmt.Sprintf("127.0.0.1:%d", port), "LOG_FORMAT": "console",
		"POLL_INTERVAL": "500ms", "WORKER_NAME": "demo",
	} {
		if os.Getenv(name) == "" {
			own[name] = value
		}
	}
	if err := setenv(own); err != nil {
		return app.Config{}, err
	}
	return app.LoadConfig()
}

// setenv sets environment variables. The demo configures the worker as a user does, so that it runs the
// same code. Call it before the worker starts: it changes the environment of the whole process.
func setenv(variables map[string]string) error {
	for name, value := range variables {
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// startWorker starts a worker, which runs until ctx ends. The context running ends with the worker, and its cause is the
// worker's error. stop stops the worker and waits for it.
func startWorker(ctx context.Context, cfg app.Config, log zerolog.Logger) (running context.Context, stop func()) {
	running, end := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := app.Run(running, cfg, version, log)
		if err == nil && running.Err() == nil {
			err = errors.New("unexpectedly, without an error")
		}
		end(err) // nil becomes context.Canceled
	}()
	return running, func() {
		end(nil)
		<-ended
	}
}
