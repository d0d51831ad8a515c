package app_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// says waits until /readyz says something.
func (p *worker) says(text string) {
	p.t.Helper()
	natstest.Eventually(p.t, func() error {
		if got := p.get("/readyz"); !strings.Contains(got, text) {
			return fmt.Errorf("got readiness\n%s\nwant %q in it", got, text)
		}
		return nil
	})
}

func TestReadinessSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.startReady("w1")
	p.says("streams: bound")
	w.nats.Stop()
	p.says("nats: RECONNECTING")
	w.nats.Restart()
	p.says("nats: CONNECTED")
}

// A key without credits: the worker holds its task, says why, and goes on by itself.
func TestAWorkerWithoutCreditsSaysSoAndRecovers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.startReady("w1")
	w.api.FailAll(anchortest.Answer(402))
	w.submit("a", done)
	p.says("no_credits")
	if got := p.get("/metrics"); strings.Contains(got, `capstan_pauses_total{reason="no_credits"} 0`) {
		t.Error("the metrics do not tell of the pause")
	}
	w.api.Recover()
	if ev := w.waitEvents(1)[0]; ev.Status != task.Succeeded {
		t.Errorf("got %+v", ev.Event)
	}
	p.says("submissions: open")
}
