package board_test

import (
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/operator/board"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestABoardMissesWorkersOnlyAfterTheyHadTheTimeToAnswer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := board.New(s.Queue)
	s.refresh(b)
	s.refresh(b)
	if b.NoWorker() {
		t.Error("after two looks: got that there is no worker, want time for one to start")
	}
	b.Patience = 0
	s.refresh(b)
	if !b.NoWorker() {
		t.Error("got a worker, want none")
	}
	s.WriteRecord(task.Record{TaskID: "a", State: task.Running})
	s.refresh(b)
	if b.NoWorker() {
		t.Error("after a record of now: got that there is no worker, want the one that has written it")
	}
	s.WriteRecord(task.Record{TaskID: "a", State: task.Running, UpdatedAt: time.Now().Add(-time.Hour)})
	s.refresh(b)
	if !b.NoWorker() {
		t.Error("long after the last record: got a worker, want none")
	}
	s.AnswerAsWorker(fleet.Status{Worker: "w1"})
	s.refresh(b)
	if b.NoWorker() {
		t.Error("got that there is no worker, want the one that answers")
	}
}
