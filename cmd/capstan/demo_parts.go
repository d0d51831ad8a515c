//go:build !nodemo

package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
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
	maxPort    = 65535
	adminPort  = 8080                    // where it is free
	defaultURL = "nats://127.0.0.1:4222" // of NATS_URL
)

// freePort returns a port of 127.0.0.1 that nobody listens on: the preferred one if it can.
func freePort(ctx context.Context, preferred int) (int, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", preferred))
	if err != nil {
		listener, err = config.Listen(ctx, "tcp", "127.0.0.1:0")
	}
	if err != nil {
		return 0, fmt.Errorf("look for a free port: %w", err)
	}
	if err := listener.Close(); err != nil {
		return 0, fmt.Errorf("look for a free port: %w", err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return 0, fmt.Errorf("look for a free port: %w", err)
	}
	return strconv.Atoi(port)
}

// startNATS starts the demo's server.
func startNATS(ctx context.Context, dir string, preferred int) (*natsserver.Server, error) {
	port, err := freePort(ctx, preferred)
	if err != nil {
		return nil, err
	}
	return natsserver.Start(natsserver.Config{Dir: dir, Port: port})
}

// demoAPI is what stands behind the worker.
type demoAPI struct {
	real    bool   // Anchor Browser itself
	page    string // a page to read
	another string // one more
	missing string // one that cannot be read
	close   func()
}

// startAPI starts the stand-in and a site for it to read, and writes into the environment where the
// worker finds it, unless the environment names an API already.
func startAPI(ctx context.Context) (demoAPI, error) {
	for _, name := range []string{"ANCHORBROWSER_API_KEY", "ANCHORBROWSER_API_KEY_FILE", "ANCHORBROWSER_BASE_URL"} {
		if os.Getenv(name) != "" {
			return demoAPI{
				real: true, page: "https://example.com", another: "https://example.com",
				missing: "https://example.invalid", close: func() {},
			}, nil
		}
	}
	standIn := anchortest.New(anchortest.WithAgent(anchortest.PageReader), anchortest.WithPlan(pace))
	api, err := serve(ctx, standIn)
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
		close: func() { // what still reads a page ends with the process
			_ = api.Close()
			_ = site.Close()
		},
	}, setenv(map[string]string{"ANCHORBROWSER_API_KEY": standIn.Key(), "ANCHORBROWSER_BASE_URL": "http://" + api.Addr})
}

// pace lets each task run for 2 to 4 seconds, so that people can see it.
func pace(t anchortest.Task) anchortest.Plan {
	sum := fnv.New32a()
	_, _ = sum.Write(t.Body)
	return anchortest.Plan{Run: 2*time.Second + time.Duration(sum.Sum32()%2000)*time.Millisecond}
}

// serve serves at the Addr of the server it returns.
func serve(ctx context.Context, handler http.Handler) (*http.Server, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serve in the demo: %w", err)
	}
	server := &http.Server{Addr: listener.Addr().String(), Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends with Close
	return server, nil
}

// demoConfig reads the worker's settings from the environment, as a worker does, after it has written
// into it what is the demo's own: where NATS is, and what the user has not set.
func demoConfig(ctx context.Context, natsURL string) (app.Config, error) {
	for _, s := range app.Settings() {
		if strings.HasPrefix(s.Name, "NATS_") {
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

func setenv(variables map[string]string) error {
	for name, value := range variables {
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// startWorker runs a worker until ctx ends. The context it returns ends with the worker, and then its
// cause is the worker's error; stop ends both and waits.
func startWorker(ctx context.Context, cfg app.Config, log zerolog.Logger) (running context.Context, stop func()) {
	running, end := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := app.Run(running, cfg, version, log)
		if err == nil && running.Err() == nil {
			err = errors.New("nobody told it to")
		}
		end(err) // nil is context.Canceled
	}()
	return running, func() {
		end(nil)
		<-ended
	}
}
