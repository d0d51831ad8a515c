package anchortest

import (
	"fmt"
	"net/http"
)

// routes returns the handler of each call.
func (s *Server) routes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"POST /v1/tools/perform-web-task":                  s.handleSubmit,
		"GET /v1/tools/perform-web-task/{workflow}/status": s.handleStatus,
		"GET /v1/billing":                                  s.handleBilling,
		"POST /v1/sessions":                                s.handleCreateSession,
		"GET /v1/sessions":                                 s.handleListSessions,
		"GET /v1/sessions/all/status":                      s.handleSessionStates,
		"DELETE /v1/sessions/all":                          s.handleEndAllSessions,
		"GET /v1/sessions/{session}":                       s.handleGetSession,
		"DELETE /v1/sessions/{session}":                    s.handleEndSession,
		"GET /_stand-in/log":                               s.handleLog,
		"GET /_stand-in/sessions":                          s.handleSessionLog,
		"GET /_stand-in/totals":                            s.handleTotals,
		"PUT /_stand-in/release":                           s.handleRelease,
		"PUT /_stand-in/outage":                            s.handleOutage,
		"DELETE /_stand-in/outage":                         s.handleOutage,
		"/":                                                s.handleUnknown,
	}
}

// handleUnknown answers any other call. The answer is not of the API's own form: the real API may well have the call.
func (s *Server) handleUnknown(w http.ResponseWriter, r *http.Request) {
	callOf(r).note("the stand-in has no such call")
	s.answer(w, r, Text(http.StatusNotFound, fmt.Sprintf("404 page not found: the stand-in for Anchor's API has no %s %q\n", r.Method, r.URL.Path)))
}
