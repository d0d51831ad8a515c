package anchor_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"maps"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/task"
)

// If the id is lost, the workflow is lost.
func TestReadableWorkflowIDIsAccepted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body string
		id   string // empty: the outcome is unknown
	}{
		"documented":           {`{"data":{"status":"running","workflow_id":"w"}}`, "w"},
		"byte order mark":      {"\ufeff" + `{"data":{"status":"running","workflow_id":"w"}}`, "w"},
		"comment behind it":    {`{"data":{"workflow_id":"w"}} // served by edge-7`, "w"},
		"comment behind id":    {`{"data":{"workflow_id":"w" /* new */}}`, "w"},
		"page behind it":       {`{"data":{"workflow_id":"w"}}<!-- edge-7 -->`, "w"},
		"second value":         {`{"data":{"workflow_id":"w"}}{"data":{"workflow_id":"v"}}`, "w"},
		"white space":          {" \r\n" + `{"data":{"workflow_id":"w"}}` + "\n\x00", "w"},
		"cut off behind id":    {`{"data":{"status":"running","workflow_id":"w"`, "w"},
		"no UTF-8 elsewhere":   {"{\"data\":{\"note\":\"Z\xfcrich\",\"workflow_id\":\"w\"}}", "w"},
		"name twice":           {`{"data":{"note":1,"note":2,"workflow_id":"w"}}`, "w"},
		"id twice, one null":   {`{"data":{"workflow_id":"w","workflow_id":null}}`, "w"},
		"id twice, one broken": {`{"data":{"workflow_id":"w","workflow_id":7}}`, "w"},
		"more members":         {`{"meta":{"workflow_id":"v"},"data":{"deep":{"workflow_id":"u"},"workflow_id":"w"}}`, "w"},
		"more than is read":    {`{"data":{"workflow_id":"w","note":"` + strings.Repeat("x", 2<<20) + `"}}`, "w"},
		"cut off inside id":    {`{"data":{"status":"running","workflow_id":"w`, ""},
		"comment before it":    {`// edge-7` + "\n" + `{"data":{"workflow_id":"w"}}`, ""},
		"number":               {`{"data":{"workflow_id":7}}`, ""},
		"null":                 {`{"data":{"workflow_id":null}}`, ""},
		"empty":                {`{"data":{"workflow_id":""}}`, ""},
		"dots":                 {`{"data":{"workflow_id":".."}}`, ""},
		"too long":             {`{"data":{"workflow_id":"` + strings.Repeat("w", 2<<10) + `"}}`, ""},
		"elsewhere":            {`{"workflow_id":"w"}`, ""},
		"list":                 {`[{"data":{"workflow_id":"w"}}]`, ""},
		"data is a list":       {`{"data":[{"workflow_id":"w"}]}`, ""},
		"two byte order marks": {"\ufeff\ufeff" + `{"data":{"workflow_id":"w"}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, c.body) })
			id, err := newClient(t, config(server.URL)).Submit(t.Context(), "", []byte(body))
			want{id: c.id, kind: submitKindOf(c.id)}.check(t, id, err)
		})
	}
}

func submitKindOf(id string) task.SubmitErrorKind {
	if id == "" {
		return task.Unknown
	}
	return 0
}

// serveBody serves a body, with or without Content-Length.
func serveBody(t *testing.T, header http.Header, body []byte, announced bool) (url string) {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, _ *http.Request) {
		maps.Copy(w.Header(), header)
		if announced {
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		} else {
			_ = http.NewResponseController(w).Flush()
		}
		_, _ = w.Write(body) // ignore a client that stopped reading
	}).URL
}

// completed returns a status answer with that many bytes.
func completed(size int) []byte {
	const begin, end = `{"data":{"status":"COMPLETED","result":"`, `"}}`
	return []byte(begin + strings.Repeat("a", size-len(begin)-len(end)) + end)
}

func TestStatusReadsNoMoreThanItsLimit(t *testing.T) {
	t.Parallel()
	const most = 64 << 10
	for name, c := range map[string]struct {
		size      int
		announced bool
		tooLarge  bool
		want      int64 // Size
	}{
		"just fits":         {most, true, false, 0},
		"just fits, no end": {most, false, false, 0},
		"one more":          {most + 1, true, true, most + 1},
		"one more, no end":  {most + 1, false, true, -1},
		"8 MiB":             {8 << 20, true, true, 8 << 20},
		"8 MiB, no end":     {8 << 20, false, true, -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := newClient(t, config(serveBody(t, nil, completed(c.size), c.announced)))
			workflow, err := client.Status(t.Context(), "w", most)
			if !c.tooLarge {
				if err != nil || workflow.Status != "COMPLETED" || len(workflow.Result) != c.size-41 {
					t.Errorf("got %q, a result of %d bytes and error %v", workflow.Status, len(workflow.Result), err)
				}
				return
			}
			want := task.StatusError{HTTPStatus: 200, TooLarge: true, Size: c.want, Message: "the answer is too large"}
			if e := statusError(t, err); *e != want {
				t.Errorf("got %+v, want %+v", *e, want)
			}
			if workflow, err = client.Status(t.Context(), "w", anchor.MaxAnswer); err != nil || len(workflow.Result) != c.size-41 {
				t.Errorf("with the largest bound: got a result of %d bytes and error %v", len(workflow.Result), err)
			}
		})
	}
}

func TestMaxAnswerBoundsTheLimit(t *testing.T) {
	t.Parallel()
	client := newClient(t, config(serveBody(t, nil, completed(anchor.MaxAnswer+1), true)))
	_, err := client.Status(t.Context(), "w", 1<<40)
	if e := statusError(t, err); !e.TooLarge || e.Size != anchor.MaxAnswer+1 {
		t.Errorf("got %+v, want it too large", e)
	}
	_, err = client.Status(t.Context(), "w", -1)
	if e := statusError(t, err); !e.TooLarge {
		t.Errorf("got %+v, want it too large", e)
	}
}

// allocated returns the number of bytes that run allocates.
func allocated(run func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	run()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Not parallel: the allocations of other tests would count.
func TestLargeAnswerIsInMemoryOnce(t *testing.T) {
	const size = 16 << 20
	for name, c := range map[string]struct {
		announced bool
		most      uint64
	}{
		"announced":     {true, size + 1<<20},
		"not announced": {false, 5 * size}, // its parts, and the whole; twice of both with the race detector
	} {
		client := newClient(t, config(serveBody(t, nil, completed(size), c.announced)))
		var workflow task.Workflow
		got := allocated(func() {
			var err error
			if workflow, err = client.Status(t.Context(), "w", anchor.MaxAnswer); err != nil {
				t.Fatalf("status: %v", err)
			}
		})
		if got > c.most || len(workflow.Result) < size-100 {
			t.Errorf("%s: got %d bytes allocated for a result of %d, want at most %d", name, got, len(workflow.Result), c.most)
		}
	}
}

// Not parallel: it measures the heap of the process.
func TestSmallPartDoesNotKeepALargeAnswerInMemory(t *testing.T) {
	const size = 8 << 20
	for name, c := range map[string]struct {
		answer        []byte
		result, words int // bytes
	}{
		"small result": {[]byte(`{"data":{"status":"COMPLETED","result":"x"},"trace":"` + strings.Repeat("t", size) + `"}`), 3, 0},
		"long error":   {bytes.Replace(completed(size), []byte("result"), []byte("error"), 1), 0, 2 << 10},
		"long status":  {[]byte(`{"data":{"status":"` + strings.Repeat("S", size) + `"}}`), 0, 0},
	} {
		client := newClient(t, config(serveBody(t, nil, c.answer, true)))
		before := reachable()
		workflow, err := client.Status(t.Context(), "w", anchor.MaxAnswer)
		kept := reachable() - before
		if err != nil || len(workflow.Result) != c.result || len(workflow.Error) != c.words || kept > size/4 {
			t.Errorf("%s: got a result of %d bytes, an error of %d, %d bytes kept and error %v",
				name, len(workflow.Result), len(workflow.Error), kept, err)
		}
		runtime.KeepAlive(workflow)
	}
}

// reachable returns the bytes in use on the heap after a garbage collection.
func reachable() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC() // frees what sync.Pool kept
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// The client trusts the Content-Length and does not wait for the body.
func TestAnswerAnnouncedAsTooLargeIsNotRead(t *testing.T) {
	t.Parallel()
	client := newClient(t, config(respond(t, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n{")))
	_, err := client.Status(t.Context(), "w", anchor.MaxAnswer)
	want := task.StatusError{HTTPStatus: 200, TooLarge: true, Size: 1_000_000_000, Message: "the answer is too large"}
	if e := statusError(t, err); *e != want {
		t.Errorf("got %+v, want %+v", *e, want)
	}
}

func zip(t *testing.T, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(text); err != nil {
		t.Fatalf("zip: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatalf("zip: %v", err)
	}
	return b.Bytes()
}

// The client does not ask for compressed answers, but some servers send them.
func TestCompressedAnswersAreBounded(t *testing.T) {
	gzipped := http.Header{"Content-Encoding": {"gzip"}}
	client := newClient(t, config(serveBody(t, gzipped, zip(t, []byte(accepted)), true)))
	if id, err := client.Submit(t.Context(), "", []byte(body)); err != nil || id != "w" {
		t.Errorf("got id %q and error %v, want w", id, err)
	}
	client = newClient(t, config(serveBody(t, gzipped, zip(t, completed(1000)), true)))
	if workflow, err := client.Status(t.Context(), "w", 1000); err != nil || workflow.Status != "COMPLETED" {
		t.Errorf("got %+v and error %v, want it completed", workflow, err)
	}
	bomb := zip(t, completed(8<<20))
	if len(bomb) > 64<<10 {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	client = newClient(t, config(serveBody(t, gzipped, bomb, true)))
	var err error
	got := allocated(func() { _, err = client.Status(t.Context(), "w", 64<<10) })
	if e := statusError(t, err); !e.TooLarge || e.Size != -1 || got > 2<<20 {
		t.Errorf("got %+v and %d bytes allocated, want it too large and little of it read", e, got)
	}
	got = allocated(func() { _, err = client.Submit(t.Context(), "", []byte(body)) })
	if e := submitError(t, err); e.Kind != task.Unknown || got > 8<<20 {
		t.Errorf("got %+v and %d bytes allocated", e, got)
	}
	for _, header := range []http.Header{{"Content-Encoding": {"br"}}, {"Content-Encoding": {"gzip"}}} {
		client = newClient(t, config(serveBody(t, header, []byte("no such thing"), true)))
		if _, err = client.Status(t.Context(), "w", 64<<10); statusError(t, err).TooLarge {
			t.Errorf("%v: got %v, want that it cannot be read", header, err)
		}
	}
}
