package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/task"
)

// newClient returns a client of a server that has the streams of requests and results, and no worker.
func newClient(t *testing.T, server *natstest.Server) *client {
	t.Helper()
	t.Setenv("NATS_URL", server.URL())
	t.Setenv(contextVariable, "")
	c, err := connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.nc.Close)
	natstest.Stream(t, c.js, jetstream.StreamConfig{Name: "TASKS", Subjects: []string{"tasks.request"}})
	natstest.Stream(t, c.js, jetstream.StreamConfig{Name: "TASK_RESULTS", Subjects: []string{"tasks.result"}})
	return c
}

// store publishes an event as a worker does.
func (c *client) store(t *testing.T, id string, replay bool, ev task.Event) {
	t.Helper()
	data, err := json.Marshal(ev)
	if err != nil {
		t.Fatal(err)
	}
	msg := &nats.Msg{Subject: "tasks.result", Header: nats.Header{}, Data: data}
	msg.Header.Set(nats.MsgIdHdr, id)
	if replay {
		msg.Header.Set(publisher.ReplayHeader, "true")
	}
	if _, err := c.js.PublishMsg(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
}

func TestWaitTakesOnlyTheAnswerToItsOwnRequest(t *testing.T) {
	c := newClient(t, natstest.Start(t))
	done := task.Event{TaskID: "a", Status: task.Succeeded}
	c.store(t, "a", false, task.Event{TaskID: "a", Status: task.Failed}) // before the request

	events, err := c.follow(t.Context(), fromNow())
	if err != nil {
		t.Fatal(err)
	}
	c.store(t, "b", false, task.Event{TaskID: "b", Status: task.Succeeded})
	for _, other := range []string{"a/6/1764150000000", "a/71/1764150000000", "a/7"} {
		c.store(t, other, true, task.Event{TaskID: "a", Status: task.Failed, Worker: "of another copy"})
	}
	c.store(t, "a.7", false, task.Event{TaskID: "a.7", Status: task.Failed, Worker: "of another task"})
	c.store(t, "a/7/1764150000000", true, done)
	c.store(t, "a.8", true, done) // a worker of an older version

	for _, seq := range []uint64{7, 8} {
		got, err := published{taskID: "a", seq: seq}.await(t.Context(), events)
		if err != nil {
			t.Fatal(err)
		}
		if got.Status != task.Succeeded {
			t.Errorf("request %d: got %+v, want %+v", seq, got, done)
		}
	}
}

// The event that answers a request has its sequence, or is that of the task which it repeats.
func TestWhichEventsAnswerARequest(t *testing.T) {
	t.Parallel()
	mine := published{taskID: "a", stream: "TASKS", seq: 7, digest: "d1"}
	for name, test := range map[string]struct {
		id, source, seq, digest string
		task                    string // "a" if empty
		want                    bool
	}{
		"its own":                                 {id: "a", source: "TASKS", seq: "7", digest: "d1", want: true},
		"its replay":                              {id: "a/7/1764150000000", source: "TASKS", seq: "7", digest: "d1", want: true},
		"its refusal, whose id another has":       {id: "a/7/1764150000000", source: "TASKS", seq: "7", want: true},
		"the task that it repeats":                {id: "a", source: "TASKS", seq: "3", digest: "d1", want: true},
		"the task that it repeats, of before":     {id: "a", source: "OLD", seq: "7000", digest: "d1", want: true},
		"the refusal of another request":          {id: "a", source: "TASKS", seq: "6"},
		"other content under the same id":         {id: "a", source: "TASKS", seq: "6", digest: "d2"},
		"the same sequence in another stream":     {id: "b", source: "OTHER", seq: "7", digest: "d1", task: "b"},
		"another task with the same content":      {id: "b", source: "TASKS", seq: "8", digest: "d1", task: "b"},
		"an older version's own":                  {id: "a", digest: "d1", want: true},
		"an older version's of other content":     {id: "a", digest: "d2"},
		"an older version's refusal":              {id: "a/7/1764150000000", want: true},
		"an older version's refusal, own id":      {id: "a", want: true},
		"an older version's refusal of another":   {id: "a/71/1764150000000"},
		"an older version's of a task named like": {id: "a.7", task: "a.7"},
	} {
		header := nats.Header{nats.MsgIdHdr: {test.id}}
		if test.source != "" {
			header.Set(publisher.SourceHeader, publisher.SourcePrefix+test.source)
			header.Set(publisher.SequenceHeader, test.seq)
		}
		if test.digest != "" {
			header.Set(publisher.DigestHeader, test.digest)
		}
		ev, ok := operator.ReadEvent(header, fmt.Appendf(nil, `{"task_id":%q,"status":"failed"}`, cmp.Or(test.task, "a")))
		if got := mine.isAnswered(ev); !ok || got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

func TestWaitSurvivesARestartOfNATS(t *testing.T) {
	server := natstest.Start(t)
	c := newClient(t, server)
	events, err := c.follow(t.Context(), fromNow())
	if err != nil {
		t.Fatal(err)
	}
	server.Stop()
	server.Restart()
	other := *c
	other.nc, other.js = server.Connect()
	other.store(t, "a", false, task.Event{TaskID: "a", Status: task.Succeeded})

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := (published{taskID: "a", seq: 1}).await(ctx, events); err != nil {
		t.Error(err)
	}
}

// A server that refuses a login twice ends the connection for good.
func TestWaitEndsWithTheConnection(t *testing.T) {
	c := newClient(t, natstest.Start(t))
	ctx, stop := c.whileConnected(t.Context())
	defer stop()
	events, err := c.follow(ctx, fromNow())
	if err != nil {
		t.Fatal(err)
	}
	c.nc.Close()
	_, err = published{taskID: "a", seq: 1}.await(ctx, events)
	for _, want := range []string{"the connection to NATS at nats://", "was closed", "capstan get a"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
	_, published := c.publish(ctx, []byte(`{"prompt":"a","url":"https://example.com"}`))
	again, stopAgain := c.whileConnected(t.Context()) // it is closed already
	defer stopAgain()
	_, followed := c.follow(again, fromNow())
	for _, err := range []error{published, followed} {
		if err == nil || !strings.Contains(err.Error(), "the connection to NATS at nats://") {
			t.Errorf("got %v, want it to say that the connection was closed", err)
		}
	}
}

func TestWaitEndsWithItsTimeout(t *testing.T) {
	newClient(t, natstest.Start(t))
	term, out := testTerminal(nil)
	s, err := parse(t, "p", "--url=https://example.com", "--wait", "--wait-timeout=50ms")
	if err != nil {
		t.Fatal(err)
	}
	err = s.Run(t.Context(), term)
	if err == nil || !strings.Contains(err.Error(), "capstan get TASKS-1") {
		t.Errorf("got %v, want it to say how to go on", err)
	}
	if got := out.String(); got != "" {
		t.Errorf("output: got %q, want none", got)
	}
}

func TestEventsSinceTheStartAreFollowed(t *testing.T) {
	c := newClient(t, natstest.Start(t))
	before := time.Now()
	c.store(t, "a", false, task.Event{TaskID: "a", Status: task.Succeeded})
	c.store(t, "b", false, task.Event{TaskID: "b", Status: task.Failed})
	for name, from := range map[string]startAt{"start": fromStart(), "moment": since(before.Add(-time.Minute))} {
		events, err := c.follow(t.Context(), from)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"a", "b"} {
			if got := (<-events).TaskID; got != want {
				t.Errorf("from %s: got %q, want %q", name, got, want)
			}
		}
	}
}

func TestLargeResultIsFetched(t *testing.T) {
	c := newClient(t, natstest.Start(t))
	objects, err := c.js.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: "task_results"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := objects.PutBytes(t.Context(), "a.1", []byte(`{"large":true}`)); err != nil {
		t.Fatal(err)
	}
	ev := task.Event{TaskID: "a", Status: task.Succeeded, ResultRef: &task.ResultRef{Bucket: "task_results", Name: "a.1"}}
	if err := c.fetchResult(t.Context(), &ev); err != nil {
		t.Fatal(err)
	}
	if got, want := string(ev.Result), `{"large":true}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestInvalidRequestIsNotPublished(t *testing.T) {
	c := newClient(t, natstest.Start(t))
	term, _ := testTerminal(strings.NewReader(`{"prompt":"p","urll":"https://example.com"}`))
	err := (&submitCmd{}).Run(t.Context(), term)
	if err == nil || !strings.Contains(err.Error(), "did you mean \"url\"?") {
		t.Errorf("got %v, want it to name the nearest field", err)
	}
	stream, err := c.js.Stream(t.Context(), "TASKS")
	if err != nil {
		t.Fatal(err)
	}
	if got := stream.CachedInfo().State.Msgs; got != 0 {
		t.Errorf("requests stored: got %d, want 0", got)
	}
}

func TestSameRequestTwiceIsStoredTwice(t *testing.T) {
	c := newClient(t, natstest.Start(t))
	for want := range uint64(2) {
		p, err := c.publish(t.Context(), []byte(`{"prompt":"p","url":"https://example.com","task_id":"a"}`))
		if err != nil {
			t.Fatal(err)
		}
		if p.taskID != "a" || p.seq != want+1 {
			t.Errorf("got %+v, want task a stored as %d", p, want+1)
		}
	}
}

func TestTaskWithoutIDIsNamedByItsPlace(t *testing.T) {
	c := newClient(t, natstest.Start(t))
	p, err := c.publish(t.Context(), []byte(`{"prompt":"p","url":"https://example.com"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := p.taskID, "TASKS-1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMissingStreamsAreExplained(t *testing.T) {
	server := natstest.Start(t)
	t.Setenv("NATS_URL", server.URL())
	term, _ := testTerminal(nil)
	submit, err := parse(t, "p", "--url=https://example.com")
	if err != nil {
		t.Fatal(err)
	}
	for name, run := range map[string]func(context.Context, *terminal) error{
		"submit": submit.Run, "watch": (&watchCmd{}).Run, "get": (&getCmd{Task: "a"}).Run,
	} {
		if err := run(t.Context(), term); err == nil || !strings.Contains(err.Error(), "start a worker first") {
			t.Errorf("%s: got %v, want it to say what to do", name, err)
		}
	}
}

func TestAFullStreamIsToldAsARefusal(t *testing.T) {
	c := newClient(t, natstest.Start(t))
	stream, err := c.js.Stream(t.Context(), c.cfg.Request.Stream)
	if err != nil {
		t.Fatal(err)
	}
	full := stream.CachedInfo().Config
	full.MaxBytes, full.Discard = 10, jetstream.DiscardNew
	if _, err := c.js.UpdateStream(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	_, err = c.publish(t.Context(), []byte(`{"prompt":"p","url":"https://example.com"}`))
	if err == nil || !strings.Contains(err.Error(), "nothing is stored") || !strings.Contains(err.Error(), "maximum bytes exceeded") {
		t.Errorf("got %v, want a refusal with its reason", err)
	}
}
