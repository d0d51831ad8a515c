package link_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/test/chaos/link"
)

// world is a NATS server, a client beside the link and one through it.
type world struct {
	*link.Link
	direct, through *nats.Conn
}

func newWorld(t *testing.T, watch func(link.Frame)) world {
	t.Helper()
	server := natstest.Start(t)
	l, err := link.NATS(t.Context(), strings.TrimPrefix(server.URL(), "nats://"), watch)
	if err != nil {
		t.Fatal(err)
	}
	direct, _ := server.Connect()
	through, err := nats.Connect("nats://"+l.Addr(), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { through.Close(); l.Close() })
	return world{Link: l, direct: direct, through: through}
}

// subscribe returns a subscription that is in force on the server.
func (w world) subscribe(t *testing.T, subject string) *nats.Subscription {
	t.Helper()
	sub, err := w.direct.SubscribeSync(subject)
	if err == nil {
		err = w.direct.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

func (w world) publish(t *testing.T, subject, data string) {
	t.Helper()
	if err := w.through.Publish(subject, []byte(data)); err != nil {
		t.Fatal(err)
	}
	if err := w.through.FlushTimeout(5 * time.Second); err != nil {
		t.Fatal(err)
	}
}

func to(subject string) link.Match {
	return func(f link.Frame) (string, bool) { return string(f.Payload), f.Subject == subject }
}

func TestAMessageHeldBeforeNeverArrives(t *testing.T) {
	w := newWorld(t, nil)
	sub := w.subscribe(t, ">")
	held := w.Before(to("held"))
	for _, data := range []string{"1", "2", "2"} {
		w.publish(t, "held", data)
	}
	w.publish(t, "passes", "3")
	if msg, err := sub.NextMsg(5 * time.Second); err != nil || msg.Subject != "passes" {
		t.Errorf("got %v, %v, want the message that was not held", msg, err)
	}
	if n := held.Held(); n != 2 {
		t.Errorf("got %d held, want 2", n)
	}
	w.Heal()
	w.publish(t, "held", "4")
	if msg, err := sub.NextMsg(5 * time.Second); err != nil || string(msg.Data) != "4" {
		t.Errorf("got %v, %v, want the message after the hold", msg, err)
	}
}

func TestAnAnswerHeldAfterLeavesTheDeedDone(t *testing.T) {
	w := newWorld(t, nil)
	var served sync.WaitGroup
	served.Add(1)
	sub, err := w.direct.Subscribe("ask", func(m *nats.Msg) { _ = m.Respond([]byte("done")); served.Done() })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := w.direct.Flush(); err != nil {
		t.Fatal(err)
	}
	held := w.After(to("ask"))
	if _, err := w.through.Request("ask", []byte("please"), 200*time.Millisecond); !errors.Is(err, nats.ErrTimeout) {
		t.Errorf("got %v, want %v", err, nats.ErrTimeout)
	}
	served.Wait()
	if n := held.Held(); n != 1 {
		t.Errorf("got %d held, want 1", n)
	}
}

func TestAStalledLinkLosesNothing(t *testing.T) {
	w := newWorld(t, nil)
	sub := w.subscribe(t, "a")
	w.Stall()
	if err := w.through.Publish("a", nil); err != nil {
		t.Fatal(err)
	}
	if err := w.through.FlushTimeout(100 * time.Millisecond); err == nil {
		t.Error("a stalled link passed something on")
	}
	w.Heal()
	if _, err := sub.NextMsg(5 * time.Second); err != nil {
		t.Errorf("got %v, want the message", err)
	}
}

func TestALinkThatIsDownComesBack(t *testing.T) {
	w := newWorld(t, nil)
	w.Down()
	natstest.Eventually(t, func() error {
		if w.through.IsConnected() {
			return errors.New("the client is connected")
		}
		return nil
	})
	w.Heal()
	natstest.Eventually(t, func() error { return w.through.FlushTimeout(time.Second) })
}

func TestASlowLinkDelays(t *testing.T) {
	w := newWorld(t, nil)
	w.Slow(50 * time.Millisecond)
	began := time.Now()
	w.publish(t, "a", "") // a frame there, and a PONG back
	if took := time.Since(began); took < 100*time.Millisecond {
		t.Errorf("got %v, want 100ms or more", took)
	}
}

func TestACutHalfwayLetsHalfThrough(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write(make([]byte, 4000)) }))
	t.Cleanup(api.Close)
	l, err := link.TCP(t.Context(), strings.TrimPrefix(api.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	l.CutHalfway()
	if _, err := fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); len(got) > 0 {
		t.Errorf("got %d bytes of an answer, %v, to half a request", len(got), err)
	}
}

func TestPassedFramesAreSeen(t *testing.T) {
	seen := make(chan link.Frame, 100)
	w := newWorld(t, func(f link.Frame) { seen <- f })
	w.publish(t, "a", "hello")
	for {
		select {
		case f := <-seen:
			if f.FromClient && f.Subject == "a" && string(f.Payload) == "hello" {
				return
			}
		case <-time.After(5 * time.Second):
			t.Fatal("the frame was not seen")
		}
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
