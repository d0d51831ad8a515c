package dashboard

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"
)

const (
	// mostStreams bounds the pages that are open at once.
	mostStreams = 500

	// keepAlive is the time after which an open page gets a sign of life, so that nothing between takes it for dead.
	keepAlive = 15 * time.Second

	// sendTimeout bounds one write to an open page.
	sendTimeout = 10 * time.Second
)

// live keeps an open page up to date with server-sent events (HTML Living Standard, section 9.2): each one is the page's
// parts as they are now, and is sent if one of them has changed. A page that does not change any more gets the event
// "end".
func (s *Server) live(p page) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.streams <- struct{}{}:
			defer func() { <-s.streams }()
		default:
			http.Error(w, "Too many pages are open.", http.StatusServiceUnavailable)
			return
		}
		closed := s.reader.open()
		defer closed()
		w.Header().Set("Content-Type", "text/event-stream")
		out := stream{w: w, control: http.NewResponseController(w)}
		if out.control.SetReadDeadline(time.Time{}) != nil { // the server's own would end the page
			return
		}
		// Proxies must not collect what is sent. The first line shows the browser that the stream is open.
		w.Header().Set("X-Accel-Buffering", "no")
		if out.send("retry: 2000\n\n") != nil {
			return
		}
		s.follow(r.Context(), r, p, out)
	}
}

// follow sends what changes until the visitor leaves, the server stops, or the page does not change any more.
func (s *Server) follow(ctx context.Context, r *http.Request, p page, out stream) {
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	var sent []byte
	for {
		if s.canAct() && !s.sessions.has(r) { // logged out meanwhile
			return
		}
		current, changed := s.reader.now()
		v, html, err := s.render(ctx, p, r, current.number)
		if err != nil {
			html = nil // the page keeps what it shows, and says how old that is
		}
		status, statusErr := s.pages.render("reading", s.readingText(current))
		if statusErr != nil {
			return
		}
		if now := slices.Concat(status, html); !bytes.Equal(now, sent) {
			if out.event("message", now) != nil {
				return
			}
			sent = now
		}
		if err == nil && v.Live == "" {
			_ = out.event("end", nil) // the visitor has gone
			return
		}
		select {
		case <-changed:
		case <-alive.C:
			if out.send(": still here\n\n") != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// stream is the connection to an open page.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

// event sends an event. Each line of its data has a name of its own.
func (out stream) event(name string, data []byte) error {
	var text bytes.Buffer
	fmt.Fprintf(&text, "event: %s\n", name)
	for line := range bytes.Lines(data) {
		fmt.Fprintf(&text, "data: %s\n", bytes.TrimRight(line, "\r\n"))
	}
	if len(data) == 0 {
		text.WriteString("data:\n")
	}
	text.WriteByte('\n')
	return out.send(text.String())
}

// send writes a text at once.
func (out stream) send(text string) error {
	if err := out.control.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return err
	}
	if _, err := out.w.Write([]byte(text)); err != nil {
		return err
	}
	return out.control.Flush()
}
