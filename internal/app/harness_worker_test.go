package app_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

// worker is the process of a worker.
type worker struct {
	t      *testing.T
	cmd    *exec.Cmd
	log    *buffer
	exited chan error
}

// start starts a worker and returns at once.
func (w *world) start(name string, extra ...string) *worker {
	w.t.Helper()
	p := &worker{t: w.t, log: &buffer{}, exited: make(chan error, 1)}
	p.cmd = exec.CommandContext(context.WithoutCancel(w.t.Context()), os.Args[0])
	p.cmd.Env = w.env(name, extra...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() { p.exited <- p.cmd.Wait() }()
	w.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		if w.t.Failed() {
			w.t.Logf("log of %s:\n%s", name, p.log.tail())
		}
	})
	return p
}

// startReady starts a worker and waits until it is ready.
func (w *world) startReady(name string, extra ...string) *worker {
	w.t.Helper()
	p := w.start(name, extra...)
	natstest.Eventually(w.t, func() error { return p.logged("worker is ready") })
	return p
}

func (p *worker) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// kill is kill -9.
func (p *worker) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	if err := <-p.exited; err == nil {
		p.t.Error("a killed worker exited with 0")
	}
}

// drain stops a worker as a deploy does. It fails the test unless the worker exits with 0.
func (p *worker) drain() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	p.waitExit()
}

// waitExit waits until a worker exits, and fails the test unless it exits with 0.
func (p *worker) waitExit() {
	p.t.Helper()
	if err := <-p.exited; err != nil {
		p.t.Errorf("worker exited with %v, want 0", err)
	}
}

func (p *worker) logged(text string) error {
	if !strings.Contains(p.log.String(), text) {
		return fmt.Errorf("the worker has not logged %q", text)
	}
	return nil
}

// get returns the answer of a worker's admin server.
func (p *worker) get(path string) string {
	p.t.Helper()
	_, body := p.ask(path)
	return body
}

// ask returns the answer and its status.
func (p *worker) ask(path string) (status int, body string) {
	p.t.Helper()
	var addr []string
	natstest.Eventually(p.t, func() error {
		addr = regexp.MustCompile(`"addr":"([^"]+)"`).FindStringSubmatch(p.log.String())
		if addr == nil {
			return fmt.Errorf("the worker has not logged where it listens")
		}
		return nil
	})
	ctx := p.t.Context()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr[1]+path, http.NoBody)
	if err != nil {
		p.t.Fatal(err)
	}
	client := &http.Client{Timeout: 10 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// ready waits until /readyz reports that the worker is ready, and contains the text.
func (p *worker) ready(text string) {
	p.t.Helper()
	p.awaitReadyz(http.StatusOK, text)
}

// notReady waits until /readyz reports that the worker is not ready, and contains the text.
func (p *worker) notReady(text string) {
	p.t.Helper()
	p.awaitReadyz(http.StatusServiceUnavailable, text)
}

func (p *worker) awaitReadyz(want int, text string) {
	p.t.Helper()
	natstest.Eventually(p.t, func() error {
		status, got := p.ask("/readyz")
		if status != want || !strings.Contains(got, text) {
			return fmt.Errorf("got readiness %d\n%s\nwant %d and %q in it", status, got, want, text)
		}
		return nil
	})
}

// metric returns a sample of a worker's /metrics. The name includes the labels, exactly as printed there.
func (p *worker) metric(name string) float64 {
	p.t.Helper()
	match := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(p.get("/metrics"))
	if match == nil {
		p.t.Fatalf("no metric %s", name)
	}
	value, err := strconv.ParseFloat(match[1], 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return value
}

// buffer collects what a process writes, while a test reads it.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *buffer) tail() string {
	s := b.String()
	return s[max(0, len(s)-4000):]
}
