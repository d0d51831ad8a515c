package anchortest

import (
	"encoding/json"
	"net/http"
)

// handleLog answers GET /_stand-in/log: with the log of the task in the query, which is empty for an
// unknown task, or with all logs and their totals.
func (s *Server) handleLog(w http.ResponseWriter, r *http.Request) {
	var log any = struct {
		Totals Totals         `json:"totals"`
		Tasks  map[string]Log `json:"tasks"`
	}{s.Totals(), s.Logs()}
	if query := r.URL.Query(); query.Has("task") {
		log = s.Log(query.Get("task"))
	}
	writeJSON(w, log)
}

// handleTotals answers GET /_stand-in/totals. With many tasks it is much faster than the log.
func (s *Server) handleTotals(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.Totals()) }

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // ignore a client that closed the connection
}

// handleRelease answers PUT /_stand-in/release: for the task in the query, or for all tasks.
func (s *Server) handleRelease(w http.ResponseWriter, r *http.Request) {
	if query := r.URL.Query(); query.Has("task") {
		s.Release(query.Get("task"))
	} else {
		s.ReleaseAll()
	}
	w.WriteHeader(http.StatusNoContent)
}

// handleOutage answers PUT and DELETE /_stand-in/outage. A new outage replaces the one before. A body that
// is not a Fault is answered with 400, and changes nothing. These calls need no key, and an outage does not
// strike them.
func (s *Server) handleOutage(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodDelete {
		s.Recover()
		w.WriteHeader(http.StatusNoContent)
		return
	}
	var f Fault
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&f); err != nil {
		write(w, refusal(http.StatusBadRequest, err.Error()))
		return
	}
	s.FailAll(f)
	w.WriteHeader(http.StatusNoContent)
}
