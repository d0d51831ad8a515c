package app_test

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

// get returns what a worker answers its operators.
func (p *worker) get(path string) string {
	p.t.Helper()
	_, body := p.ask(path)
	return body
}

// ask returns the answer with its status.
func (p *worker) ask(path string) (status int, body string) {
	p.t.Helper()
	var addr []string
	natstest.Eventually(p.t, func() error {
		addr = regexp.MustCompile(`"addr":"([^"]+)"`).FindStringSubmatch(p.log.String())
		if addr == nil {
			return fmt.Errorf("the worker has not said where it listens")
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

// says waits until /readyz says something.
func (p *worker) says(text string) {
	p.t.Helper()
	natstest.Eventually(p.t, func() error {
		if got := p.get("/readyz"); !strings.Contains(got, text) {
			return fmt.Errorf("got readiness\n%s\nwant %q in it", got, text)
		}
		return nil
	})
}

// readyAndSays waits until /readyz says something, and with it that the worker is ready.
func (p *worker) readyAndSays(text string) {
	p.t.Helper()
	natstest.Eventually(p.t, func() error {
		status, got := p.ask("/readyz")
		if status != http.StatusOK || !strings.Contains(got, text) {
			return fmt.Errorf("got readiness %d\n%s\nwant 200 and %q in it", status, got, text)
		}
		return nil
	})
}

// lacks waits until /readyz says something, and with it that the worker is not ready.
func (p *worker) lacks(text string) {
	p.t.Helper()
	natstest.Eventually(p.t, func() error {
		status, got := p.ask("/readyz")
		if status != http.StatusServiceUnavailable || !strings.Contains(got, text) {
			return fmt.Errorf("got readiness %d\n%s\nwant 503 and %q in it", status, got, text)
		}
		return nil
	})
}

// metric returns a sample from a worker's /metrics, by its name and labels as they stand there.
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
