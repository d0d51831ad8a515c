package fleet_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

// respond answers a question for all workers with each of the bodies that next returns, until it returns "" or the test ends.
func respond(t *testing.T, server *natstest.Server, next func(i int) string) {
	t.Helper()
	respondOn(t, server, jet.StatusSubject, next)
}

// respondOn is respond on another subject.
func respondOn(t *testing.T, server *natstest.Server, subject string, next func(i int) string) {
	t.Helper()
	nc, _ := server.Connect()
	var answering sync.WaitGroup
	stop := make(chan struct{})
	_, err := nc.Subscribe(subject, func(m *nats.Msg) {
		answering.Go(func() {
			for i := 0; ; i++ {
				body := next(i)
				select {
				case <-stop:
					return
				default:
				}
				if body == "" || m.Respond([]byte(body)) != nil {
					return
				}
			}
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(stop); nc.Close(); answering.Wait() })
}

// Whoever may answer could answer for ever.
func TestAQuestionToTheFleetEnds(t *testing.T) {
	t.Parallel()
	pace := make(chan time.Time)
	done := make(chan struct{})
	go func() { // an answer every 50 ms never leaves a pause
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case pace <- <-tick.C:
			case <-done:
				return
			}
		}
	}()
	t.Cleanup(func() { close(done) })
	slow := func(int) string {
		select {
		case <-pace:
			return `{"worker":"w"}`
		case <-done:
			return ""
		}
	}
	fast := func(int) string { return `{"worker":"w"}` }
	for name, next := range map[string]func(int) string{"slow": slow, "fast": fast} {
		t.Run(name, func(t *testing.T) {
			server := natstest.Start(t)
			respond(t, server, next)
			asker, _ := server.Connect()
			began := time.Now()
			all, err := fleet.All(t.Context(), asker)
			if took := time.Since(began); err != nil || len(all) == 0 || len(all) > 5000 || took > 10*time.Second {
				t.Errorf("got %d answers, %v after %v, want at most 5000 after three seconds", len(all), err, took)
			}
		})
	}
}

func TestAnAnswerThatIsNoStatusIsIgnored(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	bodies := []string{"{broken", `{}`, `{"worker":"` + strings.Repeat("x", 9000) + `"}`, `{"worker":"w"}`, ""}
	respond(t, server, func(i int) string { return bodies[i] })
	asker, _ := server.Connect()
	if got := names(t, asker); len(got) != 1 || got[0] != "w" {
		t.Errorf("got %.100q, want w", got)
	}
}

// Else a worker on a busy machine would look like one that has died.
func TestAWorkerThatAnswersLateIsFound(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	respond(t, server, func(i int) string {
		if i > 0 {
			return ""
		}
		<-time.After(350 * time.Millisecond)
		return `{"worker":"w"}`
	})
	asker, _ := server.Connect()
	if got := names(t, asker); len(got) != 1 || got[0] != "w" {
		t.Errorf("got %q, want w", got)
	}
}

func TestAFleetWithoutWorkersIsKnownAtOnce(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	asker, _ := server.Connect()
	began := time.Now()
	got := names(t, asker)
	if took := time.Since(began); len(got) != 0 || took > time.Second {
		t.Errorf("got %q after %v, want none, and no wait for a first answer", got, took)
	}
}
