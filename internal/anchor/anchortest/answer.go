package anchortest

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
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
	default:
		write(w, f)
	}
}

func write(w http.ResponseWriter, f Fault) {
	status := f.Status
	if status == 0 {
		status = http.StatusOK
	}
	body := f.body(status)
	header := w.Header()
	header.Set("Content-Type", "application/json")
	for name, value := range f.Header {
		header.Set(name, value)
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if !f.Cut {
		_, _ = w.Write([]byte(body)) // a client that went away is its own business
		return
	}
	_, _ = w.Write([]byte(body[:len(body)/2]))
	_ = http.NewResponseController(w).Flush()
	reset(w)
}

func (f Fault) body(status int) string {
	const begin, end = `{"data":{"status":"COMPLETED","result":"`, `"}}`
	switch {
	case f.Size > 0:
		return begin + strings.Repeat("a", max(0, f.Size-len(begin)-len(end))) + end
	case f.Body != "":
		return f.Body
	default:
		return refusal(status, http.StatusText(status)).Body
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
