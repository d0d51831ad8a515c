package batch_test

import (
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/operator/batch"
	"github.com/capstan-worker/capstan/internal/operator/operatortest"
	"github.com/capstan-worker/capstan/internal/operator/send"
)

// A publisher may read nothing. It can send a batch all the same.
func TestAPublisherCanSendABatch(t *testing.T) {
	t.Parallel()
	q, _ := operatortest.StartLimited(t, operatortest.PublishOnly("tasks.request"))
	b, err := batch.Read(batch.File{Name: "a.jsonl", Data: []byte(lines(3)), Batch: "night"}, q.Config)
	if err != nil {
		t.Fatal(err)
	}
	sub, err := batch.Prepare(t.Context(), q, b)
	if err == nil || !strings.Contains(err.Error(), "STREAM.INFO.KV_task_tracker") || sub == nil {
		t.Fatalf("got %v, %v, want the missing permission and a submission", sub, err)
	}
	if err := sub.Send(t.Context(), 3); err != nil || sub.Counts().Stored != 3 {
		t.Errorf("got %+v, %v, want 3 stored", sub.Counts(), err)
	}
}

func TestAMissingPermissionToSendIsNamed(t *testing.T) {
	t.Parallel()
	q, _ := operatortest.StartLimited(t, operatortest.PublishOnly("$JS.API.STREAM.INFO.*"), "KV_task_tracker")
	b, err := batch.Read(batch.File{Name: "a.jsonl", Data: []byte(lines(1)), Batch: "night"}, q.Config)
	if err != nil {
		t.Fatal(err)
	}
	sub, err := batch.Prepare(t.Context(), q, b)
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.Send(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "missing permission to publish to tasks.request") {
		t.Errorf("got %v, want the missing permission", err)
	}
	if got, want := sub.Counts(), (send.Counts{All: 1, Unknown: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
