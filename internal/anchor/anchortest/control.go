package anchortest

import (
	"encoding/json"
	"net/http"
)

// showLog answers GET /_stand-in/log.
func (s *Server) showLog(w http.ResponseWriter, r *http.Request) {
	if query := r.URL.Query(); query.Has("task") {
		writeJSON(w, s.Log(query.Get("task")))
		return
	}
	writeJSON(w, struct {
		Totals Totals         `json:"totals"`
		Tasks  map[string]Log `json:"tasks"`
	}{s.Totals(), s.Logs()})
}

// release answers PUT /_stand-in/release.
func (s *Server) release(w http.ResponseWriter, r *http.Request) {
	if query := r.URL.Query(); query.Has("task") {
		s.Release(query.Get("task"))
	} else {
		s.ReleaseAll()
	}
	w.WriteHeader(http.StatusNoContent)
}

// beginOutage answers PUT /_stand-in/outage.
func (s *Server) beginOutage(w http.ResponseWriter, r *http.Request) {
	var f Fault
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&f); err != nil {
		write(w, refusal(http.StatusBadRequest, err.Error()))
		return
	}
	s.FailAll(f)
	w.WriteHeader(http.StatusNoContent)
}

// endOutage answers DELETE /_stand-in/outage.
func (s *Server) endOutage(w http.ResponseWriter, _ *http.Request) {
	s.Recover()
	w.WriteHeader(http.StatusNoContent)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a client that went away is its own business
}
