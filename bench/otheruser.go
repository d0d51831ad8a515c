package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/test/process"
)

// otherUser is another program that uses the account.
type otherUser struct {
	api     string // base URL
	began   time.Time
	spans   []span
	refused int
}

// span is the time for which the other user had a browser.
type span struct{ from, until time.Time }

// retryInterval is how often the other user tries to get another browser.
const retryInterval = 50 * time.Millisecond

// use takes this many browsers from one time to another, each as soon as one is free.
func (o *otherUser) use(ctx context.Context, browsers int, from, until time.Time) error {
	if browsers == 0 {
		return nil
	}
	if err := process.Pass(ctx, time.Until(from)); err != nil {
		return err
	}
	for len(o.spans) < browsers && time.Now().Before(until) {
		accepted, err := o.submit(ctx, otherTask(len(o.spans)))
		if err != nil {
			return err
		}
		if accepted {
			o.spans = append(o.spans, span{from: time.Now()})
			continue
		}
		o.refused++
		if err := process.Pass(ctx, retryInterval); err != nil {
			return err
		}
	}
	if err := process.Pass(ctx, time.Until(until)); err != nil {
		return err
	}
	for i := range o.spans {
		if _, err := process.Call(ctx, http.MethodPut, o.api+"/_stand-in/release?task="+otherTask(i), nil); err != nil {
			return err
		}
		o.spans[i].until = time.Now()
	}
	return nil
}

func otherTask(number int) string { return fmt.Sprintf("other-%d", number) }

// submit starts a task that runs until it is released, and reports whether the API accepted it.
func (o *otherUser) submit(ctx context.Context, name string) (accepted bool, err error) {
	prompt, err := anchortest.Prompt(name, anchortest.Plan{Block: true})
	if err != nil {
		return false, err
	}
	body, err := json.Marshal(map[string]any{"async": true, "prompt": prompt, "url": "https://example.com/"})
	if err != nil {
		return false, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.api+"/v1/tools/perform-web-task", bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Anchor-Api-Key", apiKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, err
	}
	return resp.StatusCode == http.StatusOK, resp.Body.Close()
}

// since sets when the queue began, for has.
func (o *otherUser) since(began time.Time) *otherUser {
	o.began = began
	return o
}

// has returns how many browsers the other user had at a time, counted from when the queue began.
func (o *otherUser) has(at time.Duration) (n int) {
	for _, s := range o.spans {
		if now := o.began.Add(at); !now.Before(s.from) && now.Before(s.until) {
			n++
		}
	}
	return n
}
