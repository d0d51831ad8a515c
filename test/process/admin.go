package process

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
)

// listening returns the log messages with which a worker reports where its admin server listens: the present one,
// and that of older versions.
func listening() []string { return []string{"admin server listening", "listened for operators"} }

// AdminAddr returns the host and port of a worker's admin server, from its log.
func (p *Process) AdminAddr() (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.admin != "" {
		return p.admin, nil
	}
	log, err := os.ReadFile(p.LogFile)
	if err != nil {
		return "", err
	}
	for line := range bytes.Lines(log) {
		var entry struct{ Message, Addr string }
		if json.Unmarshal(line, &entry) == nil && slices.Contains(listening(), entry.Message) {
			p.admin = entry.Addr
			return p.admin, nil
		}
	}
	return "", errors.New("its log does not say where its admin server listens")
}

// Admin calls a worker's admin server and returns the answer.
func (p *Process) Admin(ctx context.Context, path string) ([]byte, error) {
	addr, err := p.AdminAddr()
	if err != nil {
		return nil, err
	}
	return Call(ctx, http.MethodGet, "http://"+addr+path, nil)
}

// Ready returns nil when a worker is ready, and an error that says why it is not.
func (p *Process) Ready(ctx context.Context) error {
	if err := p.Running(); err != nil {
		return err
	}
	_, err := p.Admin(ctx, "/readyz")
	return err
}

// Metric returns the value of a worker's metric that has no labels.
func (p *Process) Metric(ctx context.Context, name string) (float64, error) {
	text, err := p.Admin(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("%s has no metric %s", p.Name, name)
}
