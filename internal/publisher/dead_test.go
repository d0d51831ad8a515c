package publisher_test

import (
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/natsserver"
)

func TestADeadLetterKeepsBytesAndHeadersAndCannotBeSteered(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	m := message(7)
	m.Header = map[string][]string{
		"Nats-Msg-Id": {"mine"}, "Nats-Expected-Last-Sequence": {"99"}, "Nats-TTL": {"1s"}, "tenant": {"acme"},
	}
	if err := h.Bury(t.Context(), m, []byte("{broken"), "not JSON:\nline two"); err != nil {
		t.Fatal(err)
	}
	got := messages(t, h.dead)[0]
	for name, want := range map[string]string{
		"Nats-Msg-Id": perRequest("TASKS", 7), "Capstan-Original-Nats-Msg-Id": "mine", "Capstan-Original-Nats-TTL": "1s",
		"Nats-Expected-Last-Sequence": "", "tenant": "acme", "Capstan-Reason": "not JSON: line two",
		"Capstan-Stream": "TASKS", "Capstan-Sequence": "7",
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
	if err := h.Bury(t.Context(), message(7), []byte(strings.Repeat("x", 4096)), strings.Repeat("y", 100)); err != nil {
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
	m := message(7)
	m.Header = map[string][]string{"tenant": {strings.Repeat("t", 4000)}}
	if err := h.Bury(t.Context(), m, []byte("{"), "not JSON"); err != nil {
		t.Fatal(err)
	}
	header := messages(t, h.dead)[0].Header
	_, object, _ := strings.Cut(header.Get("Capstan-Headers"), "/")
	headers, err := h.large.GetBytes(t.Context(), object)
	if err != nil || !strings.Contains(string(headers), "tttt") || header.Get("Capstan-Reason") != "not JSON" {
		t.Errorf("got %d bytes of headers, %v, and %v", len(headers), err, header)
	}
}
