package pipeline_test

import (
	"testing"
	"time"
)

// A bucket that was recreated counts its revisions from 1 again, so the lost record gets another one. The worker must go on
// from that, whatever revision it had before.
func TestALostRecordIsWrittenAgainOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	deliver := w.request(body(""))
	for range 50 { // other tasks have written to the bucket before
		w.put("other", nil)
	}
	slow := newStall("status")
	verdict := w.start(slow, deliver(1))
	<-time.After(1100 * time.Millisecond) // until the worker is no longer certain of its record
	w.loseRecords()
	close(slow.resume)
	select {
	case err := <-verdict:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("got no verdict within 20 s")
	}
	w.wantOneEvent(success, 1)
}
