package operator_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/operator/operatortest"
)

// Anybody who can write a key of the bucket can put anything there.
func TestALimitThatNoWorkerWroteIsNone(t *testing.T) {
	s := operatortest.Start(t)
	for value, want := range map[string]int{
		`{"in_flight":25,"plan":25,"reason":"x"}`: 25, `{"in_flight":-1}`: 0, `{"in_flight":"many"}`: 0, "no JSON": 0, "": 0,
	} {
		s.Put("task_control", "limits", value)
		if got, err := s.Limit(t.Context()); err != nil || got.InFlight != want {
			t.Errorf("%q: got %+v, %v, want %d", value, got, err, want)
		}
	}
}

func TestAMarkOfATaskCountsBeforeThatOfItsBatch(t *testing.T) {
	s := operatortest.Start(t)
	s.Put("task_control", "cancel.a", "wrong customer")
	s.Put("task_control", "cancel-batch.night", "too late")
	for _, c := range []struct{ id, batch, want string }{
		{"a", "night", "canceled: wrong customer"}, {"b", "night", "canceled: too late"}, {"b", "day", ""}, {"b", "", ""},
	} {
		got := ""
		mark, err := s.Cancellation(t.Context(), c.id, c.batch)
		if mark != nil {
			got = mark.String()
		}
		if err != nil || got != c.want {
			t.Errorf("%s of %q: got %q, %v, want %q", c.id, c.batch, got, err, c.want)
		}
	}
}

func TestTheMarksOfBatchesAreReadAgainAndAgain(t *testing.T) {
	s := operatortest.Start(t)
	kv, err := s.JS.KeyValue(t.Context(), "task_control")
	if err != nil {
		t.Fatal(err)
	}
	marks := s.BatchMarks()
	canceled := func() string {
		t.Helper()
		all, err := marks.Refresh(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, batch := range slices.Sorted(maps.Keys(all)) {
			names = append(names, batch+": "+all[batch].Reason)
		}
		return strings.Join(names, ", ")
	}
	if got := canceled(); got != "" {
		t.Errorf("got %s, want none", got)
	}
	s.Put("task_control", "cancel-batch.night", "bad prices")
	s.Put("task_control", "cancel-batch.day", "x")
	s.Put("task_control", "cancel.night", "a task")
	if got, want := canceled(), "day: x, night: bad prices"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := kv.Delete(t.Context(), "cancel-batch.day"); err != nil {
		t.Fatal(err)
	}
	if got, want := canceled(), "night: bad prices"; got != want {
		t.Errorf("after one was deleted: got %s, want %s", got, want)
	}
	s.Write(&nats.Msg{Subject: "$KV.task_control.cancel-batch.soon", Header: nats.Header{"Nats-TTL": {"1"}}, Data: []byte("x")})
	if got, want := canceled(), "night: bad prices, soon: x"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	natstest.Eventually(t, func() error {
		if got, want := canceled(), "night: bad prices"; got != want {
			return fmt.Errorf("after the TTL of a mark: got %s, want %s", got, want)
		}
		return nil
	})
	later := s.Queue
	later.Config.Tracker.TTL = time.Nanosecond
	if got, err := later.BatchMarks().Refresh(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("after it has expired: got %v, %v, want none", got, err)
	}
	s.Put("task_control", "cancel-batch.night", "again")
	if got, want := canceled(), "night: again"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	s.Recreate("KV_task_control")
	if got := canceled(); got != "" {
		t.Errorf("after the bucket was recreated: got %s, want none", got)
	}
}

// Workers can do without the bucket, so it steers nothing if it does not exist.
func TestWithoutTheControlBucketNothingIsSteered(t *testing.T) {
	s := operatortest.Start(t, "KV_task_control")
	limit, limitErr := s.Limit(t.Context())
	mark, markErr := s.Cancellation(t.Context(), "a", "night")
	batches, batchesErr := s.BatchMarks().Refresh(t.Context())
	if limitErr != nil || markErr != nil || batchesErr != nil || limit.InFlight != 0 || mark != nil || len(batches) != 0 {
		t.Errorf("got %+v, %v, %v and %v, %v, %v, want nothing", limit, mark, batches, limitErr, markErr, batchesErr)
	}
}
