package capstan_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan"
	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestARequestIsStoredOnceThroughAnOutage(t *testing.T) {
	t.Parallel()
	q := newQueue(t, natsserver.Config{})
	q.nats.Stop()
	published := make(chan error, 1)
	go func() {
		_, err := q.Publish(context.WithoutCancel(t.Context()), capstan.Request{TaskID: "a", URL: "https://example.com", Prompt: "p"})
		published <- err
	}()
	q.nats.Restart()
	if err := <-published; err != nil {
		t.Fatal(err)
	}
	if n := q.requests().Msgs; n != 1 {
		t.Errorf("got %d requests, want one", n)
	}
}

// A request that repeats another one is stored as well: a worker answers it, and the stream would not.
func TestARequestThatRepeatsAnotherIsStored(t *testing.T) {
	t.Parallel()
	q := newQueue(t, natsserver.Config{})
	first, second := q.publish("a"), q.publish("a")
	if first.Seq != 1 || second.Seq != 2 || first.Digest != second.Digest {
		t.Errorf("got %+v and %+v, want two requests of one content", first, second)
	}
}

func TestATaskWithoutAnIDGetsOneThatWorkersAccept(t *testing.T) {
	t.Parallel()
	q := newQueue(t, natsserver.Config{})
	first, second := q.publish(""), q.publish("")
	if first.ID == second.ID {
		t.Errorf("got the id %s twice", first.ID)
	}
	q.parse(first)
}

func TestARequestThatIsTooLargeIsNotPublished(t *testing.T) {
	t.Parallel()
	q := newQueue(t, natsserver.Config{MaxPayload: 4096})
	_, err := q.Publish(t.Context(), capstan.Request{TaskID: "a", URL: "https://example.com", Prompt: strings.Repeat("p", 5000)})
	if err == nil || !strings.Contains(err.Error(), "task a was not published: the request has 50") || !strings.Contains(err.Error(), "accepts 4096") {
		t.Errorf("got %v, want that it is too large", err)
	}
}

func TestThePublisherHearsThatNoStreamTakesRequests(t *testing.T) {
	t.Parallel()
	q := newQueue(t, natsserver.Config{})
	_, err := capstan.New(q.js, capstan.Config{RequestSubject: "nowhere"}).Submit(t.Context(), capstan.Request{TaskID: "a", URL: "https://example.com", Prompt: "p"})
	if err == nil || !strings.Contains(err.Error(), "task a was not published: no stream listens on nowhere") {
		t.Errorf("got %v, want that no stream listens", err)
	}
}

// The digests must be equal, or a wait passes over the event of the task that a request repeats.
func TestTheDigestIsTheWorkers(t *testing.T) {
	t.Parallel()
	q := newQueue(t, natsserver.Config{})
	at := time.Date(2030, 1, 2, 3, 4, 5, 600, time.FixedZone("", 3600))
	for _, r := range []capstan.Request{
		{Prompt: "<a href=\"x\">&\u2028\u2029\x01\x7f\\/é💡\ufffd</a>"},
		{Prompt: "p", UseVision: new(false), Async: new(true), MaxSteps: 7, Timeout: capstan.Duration(90 * time.Minute), ExpiresAt: at},
		{Prompt: "p", OutputSchema: map[string]any{"type": "object", "x-\ue000": 1.5, "x-💡": json.Number("1.50"), "x-a": []any{nil, true, map[string]any{}}}},
		{Prompt: "p", Extra: map[string]any{"n": 12345678901234567, "m": 1e-9}, Retries: 2, RetryOn: []capstan.Code{capstan.Timeout}, RetryWith: []capstan.RetryWith{{Model: "m"}, {}}},
		{Prompt: "p", RetryOn: []capstan.Code{}, SecretRefs: map[string]string{"PIN": "shop/pin"}, OnUnknownSubmission: "resubmit", Batch: "night"},
		{Prompt: "p", SecretValues: map[string]string{"PIN": "4711"}, Metadata: map[string]any{"n": 1}},
	} {
		r.URL = "https://example.com/?a=1&b=2"
		published, err := q.Publish(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if want := q.parse(published).Digest; published.Digest != want {
			t.Errorf("%+v: got %s, want %s", r, published.Digest, want)
		}
	}
}

// parse reads a stored request as a worker does.
func (q *queue) parse(published capstan.Task) *task.Request {
	q.t.Helper()
	stream, err := q.js.Stream(q.t.Context(), "TASKS")
	if err != nil {
		q.t.Fatal(err)
	}
	stored, err := stream.GetMsg(q.t.Context(), published.Seq)
	if err != nil {
		q.t.Fatal(err)
	}
	r, err := task.ParseRequest(task.Delivery{Stream: "TASKS", Seq: stored.Sequence, Header: stored.Header, Data: stored.Data}, task.Defaults{Timeout: time.Hour})
	if err != nil {
		q.t.Fatalf("%s: %v", stored.Data, err)
	}
	if r.TaskID != published.ID {
		q.t.Errorf("got the task id %s, want %s", r.TaskID, published.ID)
	}
	return r
}

func TestARequestCanBeReadFromAFile(t *testing.T) {
	t.Parallel()
	const text = `{"task_id":"a","prompt":"p","url":"https://example.com","use_vision":false,"timeout":"1h30m0s","expires_at":"2030-01-02T03:04:05Z","retry_on":[]}`
	var r capstan.Request
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	if got, err := json.Marshal(r); err != nil || string(got) != text || time.Duration(r.Timeout) != 90*time.Minute {
		t.Errorf("got %s, %v\nwant %s", got, err, text)
	}
}
