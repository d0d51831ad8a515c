package task_test

import (
	"slices"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

func TestHeadersMatchInAnyCase(t *testing.T) {
	d := task.Delivery{Header: map[string][]string{
		"TraceParent": {"first", "second"},
		"empty":       {},
	}}
	for name, want := range map[string]string{
		"TraceParent": "first",
		"traceparent": "first",
		"TRACEPARENT": "first",
		"trace-paren": "",
		"empty":       "",
		"missing":     "",
	} {
		if got := d.HeaderValue(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestADeliveryWithoutCallbacksKeepsItsLeaseAndReportsNothing(t *testing.T) {
	var d task.Delivery
	d.ReportSize(7)
	ran := false
	d.WhileBusy(func() { ran = true })
	if d.LostLease() || !ran {
		t.Errorf("got lost lease %v, ran %v, want false, true", d.LostLease(), ran)
	}
}

func TestALeaseThatExpiredIsLost(t *testing.T) {
	expired := false
	d := task.Delivery{LeaseExpired: func() bool { return expired }}
	if d.LostLease() {
		t.Error("got a lost lease before it expired")
	}
	if expired = true; !d.LostLease() {
		t.Error("got no lost lease after it expired")
	}
}

func TestTheSizeOfARequestIsReported(t *testing.T) {
	var got []int
	d := task.Delivery{OnSize: func(bytes int) { got = append(got, bytes) }}
	d.ReportSize(100)
	d.ReportSize(7)
	if want := []int{100, 7}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A panic is recovered further out. The delivery must not look busy from then on.
func TestADeliveryIsBusyUntilItsWorkEndsOrPanics(t *testing.T) {
	for _, panics := range []bool{false, true} {
		var got []string
		d := task.Delivery{OnBusy: func(busy bool) {
			if busy {
				got = append(got, "busy")
			} else {
				got = append(got, "idle")
			}
		}}
		func() {
			defer func() { _ = recover() }()
			d.WhileBusy(func() {
				got = append(got, "work")
				if panics {
					panic("a bug")
				}
			})
		}()
		if want := []string{"busy", "work", "idle"}; !slices.Equal(got, want) {
			t.Errorf("panics %v: got %v, want %v", panics, got, want)
		}
	}
}

// A stream that is recreated counts its messages from 1 again.
func TestCountsAndRecordsBelongToOneMessage(t *testing.T) {
	stored := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	d := task.Delivery{Stream: "TASKS", Seq: 7, Stored: stored}
	for _, tc := range []struct {
		name   string
		seq    uint64
		stored time.Time
		want   bool
	}{
		{"the same message", 7, stored, true},
		{"read in another zone", 7, stored.In(time.FixedZone("", 3600)), true},
		{"another sequence", 8, stored, false},
		{"the same sequence of a recreated stream", 7, stored.Add(time.Second), false},
	} {
		count := task.DeliveryCount{Stream: "TASKS", Seq: tc.seq, Stored: tc.stored}
		if got := count.BelongsTo(d); got != tc.want {
			t.Errorf("count of %s: got %v, want %v", tc.name, got, tc.want)
		}
		rec := task.Record{RequestSeq: tc.seq, RequestedAt: tc.stored}
		if got := rec.BelongsTo(d); got != tc.want {
			t.Errorf("record of %s: got %v, want %v", tc.name, got, tc.want)
		}
	}
}
