package inspect_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/operator/inspect"
)

func TestAPauseThatWorkersIgnoreIsNotShown(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.Put("task_control", "pause", `{"reason":"maintenance"}`)
	if s := d.look(inspect.NewView(d.Queue, "")); len(s.Pauses) != 1 {
		t.Fatalf("got %+v, want the pause", s.Pauses)
	}
	d.Config.Tracker.TTL = time.Nanosecond // the pause is older than that
	if s := d.look(inspect.NewView(d.Queue, "")); len(s.Pauses) != 0 {
		t.Errorf("too old: got %+v, want none", s.Pauses)
	}
}

func TestAPauseInTheBucketOfAnotherApplicationIsNotShown(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	if err := d.JS.DeleteKeyValue(t.Context(), "task_control"); err != nil {
		t.Fatal(err)
	}
	natstest.Stream(t, d.JS, jetstream.StreamConfig{Name: "KV_task_control", Subjects: []string{"$KV.task_control.>"}, MaxMsgsPerSubject: 1})
	d.Put("task_control", "pause", "theirs")
	s := d.look(inspect.NewView(d.Queue, ""))
	if len(s.Pauses) != 0 || len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "bucket task_control belongs to another application") {
		t.Errorf("got pauses %+v and notes %q, want none and whose bucket it is", s.Pauses, s.Notes)
	}
}

// An operator's pause does not hide what else stops a worker, and no other pause passes for it.
func TestWhatAWorkerSaysBesidesAnOperatorsPauseIsShown(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.Put("task_control", "pause", `{"reason":"maintenance","by":"ada"}`)
	d.AnswerAsWorker(fleet.Status{Worker: "w1", Submissions: "paused by ada: maintenance"})
	d.AnswerAsWorker(fleet.Status{Worker: "w2", Submissions: "paused by ada: maintenance; paused until 02:00: no credits"})
	d.AnswerAsWorker(fleet.Status{Worker: "w3", Submissions: "paused by ada: maintenance of the shop"})
	d.AnswerAsWorker(fleet.Status{Worker: "w4", Submissions: "ok"})
	d.AnswerAsWorker(fleet.Status{Worker: "w5"})
	var got []string
	for _, p := range d.look(inspect.NewView(d.Queue, "")).Pauses {
		got = append(got, p.By+": "+p.Reason)
	}
	want := "operator: maintenance\nw3: paused by ada: maintenance of the shop\nw2: paused until 02:00: no credits"
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}
