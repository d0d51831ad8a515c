package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
)

// api calls the API with net/http, as a worker does: HTTP/1.1, and connections that are kept.
type api struct {
	base      string
	key       string
	transport *http.Transport
}

func newAPI(base, key string) *api {
	const conns = 512
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &api{base: base, key: key, transport: &http.Transport{
		MaxConnsPerHost: conns, MaxIdleConnsPerHost: conns, Protocols: protocols,
	}}
}

// submit posts a task and returns its workflow's id.
func (a *api) submit(ctx context.Context, body []byte) (string, error) {
	answer, err := a.call(ctx, http.MethodPost, "/v1/tools/perform-web-task", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	_, rest, ok := bytes.Cut(answer, []byte(`"workflow_id":"`))
	id, _, closed := bytes.Cut(rest, []byte(`"`))
	if !ok || !closed {
		return "", fmt.Errorf("the API says %s", answer)
	}
	return string(id), nil
}

// status returns the result of a workflow, or nil while it runs.
func (a *api) status(ctx context.Context, workflow string) ([]byte, error) {
	answer, err := a.call(ctx, http.MethodGet, "/v1/tools/perform-web-task/"+workflow+"/status", nil)
	if err != nil || !bytes.Contains(answer, []byte(`"COMPLETED"`)) {
		return nil, err
	}
	_, result, ok := bytes.Cut(answer, []byte(`"result":`))
	result, closed := bytes.CutSuffix(result, []byte("}}"))
	if !ok || !closed {
		return nil, fmt.Errorf("the API says %s", answer)
	}
	return result, nil
}

func (a *api) call(ctx context.Context, method, path string, body io.Reader) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Anchor-Api-Key", a.key)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "floor")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := a.transport.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("call the API: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the API answered %s: %w", resp.Status, err)
	}
	return answer, nil
}
