package publisher_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestADeadLetterKeepsBodyAndHeadersAndIsNotControlledByThem(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	d := delivery(7)
	d.Header = map[string][]string{
		"Nats-Msg-Id": {"mine"}, "Nats-Expected-Last-Sequence": {"99"}, "Nats-TTL": {"1s"}, "tenant": {"acme"},
	}
	if err := h.DeadLetter(t.Context(), d, task.DeadLetter{
		Body: []byte("{broken"), Reason: "not JSON:\nline two", TaskID: "a", Code: task.InvalidRequest, Host: "example.com", Batch: "b",
	}); err != nil {
		t.Fatal(err)
	}
	got := messages(t, h.dead)[0]
	for name, want := range map[string]string{
		"Nats-Msg-Id": perRequest("TASKS", 7), "Capstan-Original-Nats-Msg-Id": "mine", "Capstan-Original-Nats-TTL": "1s",
		"Nats-Expected-Last-Sequence": "", "tenant": "acme", "Capstan-Reason": "not JSON: line two",
		"Capstan-Stream": "TASKS", "Capstan-Sequence": "7",
		"Capstan-Task-Id": "a", "Capstan-Code": "invalid_request", "Capstan-Host": "example.com", "Capstan-Batch": "b",
	} {
		if got.Header.Get(name) != want {
			t.Errorf("%s: got %q, want %q", name, got.Header.Get(name), want)
		}
	}
	if string(got.Data) != "{broken" {
		t.Errorf("got %q", got.Data)
	}
}

func TestADeadLetterAsLargeAsAMessageStillFits(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{MaxPayload: 4096})
	if err := h.DeadLetter(t.Context(), delivery(7), task.DeadLetter{Body: []byte(strings.Repeat("x", 4096)), Reason: strings.Repeat("y", 100)}); err != nil {
		t.Fatal(err)
	}
	bucket, object, _ := strings.Cut(messages(t, h.dead)[0].Header.Get("Capstan-Object"), "/")
	data, err := h.large.GetBytes(t.Context(), object)
	if err != nil || bucket != results.Bucket || len(data) != 4096 {
		t.Errorf("got %d bytes in %q, %v, want all of them in the object store", len(data), bucket, err)
	}
}

func TestADeadLetterWithLargeHeadersIsStored(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{MaxPayload: 4096})
	d := delivery(7)
	d.Header = map[string][]string{"tenant": {strings.Repeat("t", 4000)}}
	if err := h.DeadLetter(t.Context(), d, task.DeadLetter{Body: []byte("{"), Reason: "not JSON"}); err != nil {
		t.Fatal(err)
	}
	header := messages(t, h.dead)[0].Header
	_, object, _ := strings.Cut(header.Get("Capstan-Headers"), "/")
	headers, err := h.large.GetBytes(t.Context(), object)
	if err != nil || !strings.Contains(string(headers), "tttt") || header.Get("Capstan-Reason") != "not JSON" {
		t.Errorf("got %d bytes of headers, %v, and %v", len(headers), err, header)
	}
}

// A request cannot forge the headers that a worker writes.
func TestARequestsHeadersAreNotTakenForAWorkers(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	d := delivery(7)
	d.Data = []byte(`{"secret_values":`)
	d.Header = map[string][]string{
		"Capstan-Reason": {"forged"}, "capstan-code": {"poisoned"}, "Capstan-Object": {"b/o"}, "Capstan-Original-Nats-TTL": {"1s"},
	}
	if err := h.DeadLetter(t.Context(), d, task.DeadLetter{Reason: "not JSON"}); err != nil {
		t.Fatal(err)
	}
	got := messages(t, h.dead)[0]
	for name, want := range map[string]string{
		"Capstan-Reason": "not JSON", "capstan-code": "", "Capstan-Object": "", "Capstan-Original-Nats-TTL": "",
		"Capstan-Original-Capstan-Reason": "forged", "Capstan-Original-capstan-code": "poisoned", "Capstan-Original-Capstan-Object": "b/o",
		"Capstan-Original-Capstan-Original-Nats-TTL": "1s", "Capstan-Body": "withheld",
	} {
		if got.Header.Get(name) != want {
			t.Errorf("%s: got %q, want %q", name, got.Header.Get(name), want)
		}
	}
	if len(got.Data) > 0 {
		t.Errorf("got the body %q, want none", got.Data)
	}
}

func TestAnEmptyRequestIsNotTakenForOneWithoutABody(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	if err := h.DeadLetter(t.Context(), delivery(7), task.DeadLetter{Reason: "is empty"}); err != nil {
		t.Fatal(err)
	}
	if got := messages(t, h.dead)[0].Header.Get("Capstan-Body"); got != "" {
		t.Errorf("got Capstan-Body %q, want none: the request had no body", got)
	}
}

// Sequences start over when a stream is recreated: the dead letters of both requests are kept.
func TestDeadLettersOfARecreatedStreamAreKept(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	recreated := delivery(7)
	recreated.Stored = stored.Add(time.Minute)
	for _, d := range []task.Delivery{delivery(7), delivery(7), recreated} {
		if err := h.DeadLetter(t.Context(), d, task.DeadLetter{Body: []byte("{"), Reason: "not JSON"}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(messages(t, h.dead)); n != 2 {
		t.Errorf("got %d dead letters, want 2", n)
	}
}

func TestADeadLetterWithEverythingTooLargeIsStored(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{MaxPayload: 4096})
	d := delivery(7)
	d.Header = map[string][]string{"tenant": {strings.Repeat("t", 2000)}, "other": {strings.Repeat("o", 1500)}}
	if err := h.DeadLetter(t.Context(), d, task.DeadLetter{Body: []byte(strings.Repeat("x", 4096)), Reason: strings.Repeat("é\xFF", 4000)}); err != nil {
		t.Fatal(err)
	}
	got := messages(t, h.dead)[0].Header
	for _, name := range []string{"Capstan-Object", "Capstan-Headers"} {
		_, object, _ := strings.Cut(got.Get(name), "/")
		if _, err := h.large.GetBytes(t.Context(), object); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if reason := got.Get("Capstan-Reason"); !utf8.ValidString(reason) || !strings.HasSuffix(reason, "…") {
		t.Errorf("got the reason %q, want it shortened", reason)
	}
}
