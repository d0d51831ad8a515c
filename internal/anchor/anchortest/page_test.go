package anchortest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

func read(t *testing.T, task anchortest.Task) (string, error) {
	t.Helper()
	result, err := anchortest.PageReader(t.Context(), task)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(result)
	if err != nil {
		t.Fatalf("marshal: %v", err)
	}
	return string(text), nil
}

func TestPageReaderReturnsWhatTheTaskAsksFor(t *testing.T) {
	t.Parallel()
	site := httptest.NewServer(anchortest.SampleSite())
	t.Cleanup(site.Close)
	for name, c := range map[string]struct{ prompt, schema, want string }{
		"heading": {"Read the main heading", "", `{"heading":"The harbour today"}`},
		"two":     {"Title and links, please", "", `{"links":[{"text":"Back to the inn","url":"` + site.URL + `/"}],"title":"The harbour today"}`},
		"all": {"Read it", "", `{"heading":"The harbour today","links":[{"text":"Back to the inn","url":"` + site.URL + `/"}],` +
			`"paragraph":"Two trawlers are in, one schooner is expected, and the wind is from the west.","title":"The harbour today"}`},
		"schema": {
			"Read the paragraph", `{"properties":{"main_heading":{"type":"string"},"links":{"items":{"type":"string"}},"price":true}}`,
			`{"links":["` + site.URL + `/"],"main_heading":"The harbour today"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := read(t, anchortest.Task{Prompt: c.prompt, URL: site.URL + "/harbour", OutputSchema: json.RawMessage(c.schema)})
			if err != nil || got != c.want {
				t.Errorf("got %s %v, want %s", got, err, c.want)
			}
		})
	}
}

func TestPageThatCannotBeOpenedFailsTheWorkflow(t *testing.T) {
	t.Parallel()
	site := httptest.NewServer(anchortest.SampleSite())
	t.Cleanup(site.Close)
	s := start(t, anchortest.WithAgent(anchortest.PageReader))
	for url, want := range map[string]string{
		site.URL + "/nowhere": "404 Not Found",
		"http://127.0.0.1:1":  "connection refused",
		"ftp://example.com":   "unsupported protocol",
	} {
		_, id := submit(t, s, `{"prompt":"read","async":true,"url":"`+url+`"}`)
		if got := pollUntil(t, s, id, "FAILED"); !strings.Contains(got, "open "+url) || !strings.Contains(got, want) {
			t.Errorf("got %s, want %q and the address", got, want)
		}
	}
}

func TestPlanTakesPrecedenceOverTheAgent(t *testing.T) {
	t.Parallel()
	s := start(t, anchortest.WithAgent(func(context.Context, anchortest.Task) (any, error) { return "agent", nil }))
	_, id := submit(t, s, body("x"))
	pollUntil(t, s, id, `"result":"agent"`)
	_, id = submit(t, s, body(`x plan:{"result":"plan"}`))
	pollUntil(t, s, id, `"result":"plan"`)
}

func TestCloseEndsAgents(t *testing.T) {
	t.Parallel()
	began := make(chan struct{})
	s := start(t, anchortest.WithAgent(func(ctx context.Context, _ anchortest.Task) (any, error) {
		close(began)
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	submit(t, s, body("x"))
	<-began
	s.Close()
	if got := s.Totals().Running; got != 0 {
		t.Errorf("got %d running, want none", got)
	}
}

func TestSampleSiteHasNoDeadLinks(t *testing.T) {
	t.Parallel()
	site := httptest.NewServer(anchortest.SampleSite())
	t.Cleanup(site.Close)
	for _, path := range []string{"/", "/knots", "/harbour"} {
		got, err := read(t, anchortest.Task{Prompt: "links", URL: site.URL + path})
		if err != nil {
			t.Fatalf("read %s: %v", path, err)
		}
		var page struct{ Links []struct{ URL string } }
		if err := json.Unmarshal([]byte(got), &page); err != nil || len(page.Links) == 0 {
			t.Fatalf("%s: got %s %v, want links", path, got, err)
		}
		for _, link := range page.Links {
			if _, err := read(t, anchortest.Task{URL: link.URL}); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}

func TestServerIsAHandler(t *testing.T) {
	t.Parallel()
	recorder := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, webTask, strings.NewReader(body("x")))
	req.Header.Set("Anchor-Api-Key", "stand-in-key")
	anchortest.New().ServeHTTP(recorder, req)
	if recorder.Code != 200 {
		t.Errorf("got %d, want 200", recorder.Code)
	}
}
