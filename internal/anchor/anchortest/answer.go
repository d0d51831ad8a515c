package anchortest

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"time"
)

// data is what the API says of a workflow.
type data struct {
	Error    string          `json:"error,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Status   string          `json:"status"`
	Workflow string          `json:"workflow_id,omitempty"`
}

// success is an answer of the documented form {"data":…}. If the value cannot be encoded, such as a planned
// result that is not JSON, it is an error with status 500.
func success(v any) Fault {
	body, err := json.Marshal(struct {
		Data any `json:"data"`
	}{v})
	if err != nil {
		return refusal(http.StatusInternalServerError, err.Error())
	}
	return Fault{Status: http.StatusOK, Body: string(body)}
}

// refusal is an error of the documented form {"error":{"code","message"}}.
func refusal(status int, message string) Fault {
	body, _ := json.Marshal(map[string]any{"error": map[string]any{"code": status, "message": message}})
	return Fault{Status: status, Body: string(body)}
}

// answer sends the answer that f describes. The delays Before and After are up to the caller.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, f Fault) {
	callOf(r).answered(f)
	switch {
	case f.Hang:
		select {
		case <-r.Context().Done():
		case <-s.closing():
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

// takeConn takes the connection from net/http. If that fails, it aborts the handler in the documented way.
// net/http then no longer writes to it or closes it, so the caller must close it.
func takeConn(w http.ResponseWriter) net.Conn {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return conn
}

// reset closes the connection so that the client sees "connection reset by peer". A client that waits for
// an answer then sees an error at once, and cannot tell how far its request came.
func reset(w http.ResponseWriter) {
	conn := takeConn(w)
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // sends RST instead of FIN
	}
	_ = conn.Close()
}

// switchProtocols answers with 101 and keeps the connection open until the client or the server closes it.
func (s *Server) switchProtocols(w http.ResponseWriter) {
	conn := takeConn(w)
	defer func() { _ = conn.Close() }()
	_, _ = conn.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: none\r\n\r\n"))
	clientClosed := make(chan struct{})
	go func() {
		defer close(clientClosed)
		_, _ = io.Copy(io.Discard, conn) // ends when either side closes
	}()
	select {
	case <-clientClosed:
	case <-s.closing():
		_ = conn.Close()
		<-clientClosed
	}
}

// sleep returns after d, or when the server closes. It does not notice that the client has gone: a POST is
// accepted after its delay nevertheless.
func (s *Server) sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.closing():
	}
}
