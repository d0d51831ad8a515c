package anchortest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"
)

// Call is a call that was answered, for WithCallLog. Its texts may contain anything that a client sent.
type Call struct {
	Began    time.Time
	Took     time.Duration
	Method   string
	Path     string // without the query
	Status   int    // of the answer; 0: there was none
	Fault    string // the name of the fault that struck it; empty without one
	Task     string // the prompt of the task that was submitted or asked for
	Workflow string // the id of its workflow
	Session  string // the id of the session that was created or asked for, or that the task runs in
	Note     string // what happened

	done string // what the call has done, even if its answer is lost; empty for nothing
}

// WithCallLog calls log after each call but those under /_stand-in/, from many goroutines at once. Default: no log.
func WithCallLog(log func(Call)) Option { return func(s *Server) { s.callLog = log } }

// callKey is the key of the *Call in the context of a request.
type callKey struct{}

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.callLog == nil || strings.HasPrefix(r.URL.Path, "/_stand-in/") {
		s.serve(w, r)
		return
	}
	c := &Call{Began: time.Now(), Method: r.Method, Path: r.URL.Path}
	defer func() {
		c.Took = time.Since(c.Began)
		s.callLog(*c)
	}()
	s.serve(w, r.WithContext(context.WithValue(r.Context(), callKey{}, c)))
}

// serve calls the handler of a call. A path such as //v1 has none: net/http would redirect it.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if path.Clean("/"+r.URL.Path) != r.URL.Path {
		s.handleUnknown(w, r)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// callOf returns what the log will say of a request. Without a log it is thrown away.
func callOf(r *http.Request) *Call {
	if c, ok := r.Context().Value(callKey{}).(*Call); ok {
		return c
	}
	return &Call{}
}

// note replaces what the log will say of what happened.
func (c *Call) note(format string, args ...any) { c.Note = fmt.Sprintf(format, args...) }

// answered notes the answer that a client gets.
func (c *Call) answered(f Fault) {
	c.Status = f.status()
	if f.Name != "" {
		c.Fault = f.Name
	}
	switch {
	case c.Note == "" && c.Status >= http.StatusBadRequest:
		c.Note = messageOf(f.Body)
	case f.Hang:
		c.Status = 0
		c.note("no answer until the client gives up%s", c.nevertheless())
	case f.Reset:
		c.Status = 0
		c.note("connection reset%s", c.nevertheless())
	case f.Cut:
		c.note("answer cut in the middle%s", c.nevertheless())
	}
}

// messageOf returns the message of an error in the documented form, or "".
func messageOf(body string) string {
	var answer struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	_ = json.Unmarshal([]byte(body), &answer)
	return answer.Error.Message
}

// nevertheless says what a call has done although it failed.
func (c *Call) nevertheless() string {
	if c.done == "" {
		return ""
	}
	return ", but " + c.done
}

// browsersInUse says how many browsers of the plan are in use. The caller holds mu.
func (s *Server) browsersInUse() string {
	if s.maxRunning < 0 {
		return fmt.Sprintf("browsers in use: %d", s.sessions.open)
	}
	return fmt.Sprintf("browsers in use: %d of %d", s.sessions.open, s.maxRunning)
}

// wrongKey is the answer to a call without the key.
func wrongKey(r *http.Request) Fault {
	callOf(r).note("the key in the header anchor-api-key is not the one of this stand-in")
	if r.Header.Get("Anchor-Api-Key") == "" {
		callOf(r).note("the header anchor-api-key is missing")
	}
	return refusal(http.StatusUnauthorized, "Invalid API Key")
}
