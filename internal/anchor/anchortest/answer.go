package anchortest

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// refusal is an error of the documented shape.
func refusal(status int, message string) Fault {
	body, _ := json.Marshal(map[string]any{"error": map[string]any{"code": status, "message": message}})
	return Fault{Status: status, Body: string(body)}
}

// exhausted is the header of a limit of so many submissions a minute.
func exhausted(perMinute, seconds int) map[string]string {
	name := fmt.Sprintf(`"%d-in-1min"`, perMinute)
	return map[string]string{
		"Retry-After":      strconv.Itoa(seconds),
		"RateLimit":        fmt.Sprintf("%s; r=0; t=%d", name, seconds),
		"RateLimit-Policy": fmt.Sprintf("%s; q=%d; w=60", name, perMinute),
	}
}

// data is a successful answer of the documented shape.
func data(v any) Fault {
	body, err := json.Marshal(map[string]any{"data": v})
	if err != nil {
		return refusal(http.StatusInternalServerError, err.Error())
	}
	return Fault{Status: http.StatusOK, Body: string(body)}
}

// answer does what the fault says instead of the documented answer. After and Before are the caller's.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, f Fault) {
	switch {
	case f.Hang:
		select {
		case <-r.Context().Done():
		case <-s.done():
		}
		reset(w)
	case f.Reset:
		reset(w)
	case f.Status == http.StatusSwitchingProtocols:
		s.switchProtocols(w)
	case f.Behind != "":
		writeTooMuch(w, f)
	default:
		write(w, f)
	}
}

// reset closes the connection without a goodbye: the client sees "connection reset by peer".
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // the documented way to break off an answer
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// switchProtocols answers with 101 and keeps the connection open until the client closes it or the server does.
func (s *Server) switchProtocols(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // the documented way to break off an answer
	}
	defer func() { _ = conn.Close() }()
	_, _ = conn.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: none\r\n\r\n"))
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, conn) // ends when either side closes
	}()
	select {
	case <-gone:
	case <-s.done():
		_ = conn.Close()
		<-gone
	}
}

// wait returns after d, or when the server is closed.
func (s *Server) wait(d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.done():
	}
}
