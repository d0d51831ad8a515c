package board_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/operator/board"
	"github.com/capstan-worker/capstan/internal/operator/inspect"
)

// heap returns the bytes that are in use.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what the first one has finalized
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// docs/dashboard.md has what was measured with 200,000 records, of which each may take 500 bytes with all that is around it.
func TestABoardOfManyTasksIsSmallAndFast(t *testing.T) {
	if natstest.RaceDetector {
		t.Skip("the race detector changes memory and time")
	}
	const (
		many      = 20_000
		perTask   = 300                   // bytes; with whole records it is about 670
		firstList = 30 * time.Millisecond // a tenth of what 200,000 may take
	)
	s := newSite(t)
	s.FillRecords(many)
	b := s.board()
	fastest := time.Hour
	for range 10 {
		began := time.Now()
		page := b.List(board.Listing{Listing: inspect.Listing{Limit: 50}})
		fastest = min(fastest, time.Since(began))
		if page.All != many || len(page.Tasks) != 50 {
			t.Fatalf("got %d of %d tasks, want 50 of %d", len(page.Tasks), page.All, many)
		}
	}
	if fastest > firstList {
		t.Errorf("a list takes %v, want at most %v", fastest, firstList)
	}
	with := heap()
	runtime.KeepAlive(b) // and no longer
	if got := (with - heap()) / many; got > perTask {
		t.Errorf("got %d bytes a task, want at most %d", got, perTask)
	} else {
		t.Logf("%d bytes a task, a list of %d in %v", got, many, fastest)
	}
}
