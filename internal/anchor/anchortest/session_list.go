package anchortest

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// handleSessionStates answers GET /v1/sessions/all/status: with the sessions that are open, unless the rules say something
// else.
func (s *Server) handleSessionStates(w http.ResponseWriter, r *http.Request) {
	s.answerSessionCall(w, r, s.faultOfList(r), func() Fault {
		chosen, at, err := s.chooseSessions(r.URL.Query())
		if err != nil {
			return refusal(http.StatusBadRequest, err.Error())
		}
		items := []map[string]any{}
		for _, ss := range chosen {
			if ss.openAt(at) || s.rules.ListEnded {
				items = append(items, ss.state(at))
			}
		}
		callOf(r).note("%d sessions", len(items))
		return success(map[string]any{"count": len(items), "items": items})
	})
}

// handleListSessions answers GET /v1/sessions: with a page of all sessions.
func (s *Server) handleListSessions(w http.ResponseWriter, r *http.Request) {
	s.answerSessionCall(w, r, s.faultOfList(r), func() Fault {
		query := r.URL.Query()
		chosen, at, err := s.chooseSessions(query)
		page, pageErr := readSessionPage(query)
		if err := errors.Join(err, pageErr); err != nil {
			return refusal(http.StatusBadRequest, err.Error())
		}
		page.sort(chosen, s.rules.FirstStep)
		shown := []map[string]any{}
		for _, ss := range page.of(chosen) {
			shown = append(shown, ss.history(s.rules, at))
		}
		callOf(r).note("%d of %d sessions", len(shown), len(chosen))
		return success(map[string]any{
			"sessions": shown, "total": len(chosen), "page": page.number, "total_pages": (len(chosen) + page.limit - 1) / page.limit,
		})
	})
}

// faultOfList returns the fault that strikes a list, and counts the call.
func (s *Server) faultOfList(r *http.Request) Fault {
	asked := r.URL.Query().Get("tags")
	plan, err := s.planSession(strings.Split(asked, ","))
	if err != nil { // the tag is not one that a list can ask for
		plan = SessionPlan{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessionFault(listCall, asked, plan)
}

// chooseSessions returns the sessions that fit the filters of a query, in the order in which they were created, and the time
// of which the list is. The caller holds mu.
func (s *Server) chooseSessions(query url.Values) (chosen []*session, at time.Time, err error) {
	at = time.Now().Add(-s.rules.ListLag)
	filters, err := sessionFilters(query, at)
	if err != nil {
		return nil, at, err
	}
	for _, ss := range s.sessions.inOrder {
		if !ss.created.After(at) && !slices.ContainsFunc(filters, func(fits func(*session) bool) bool { return !fits(ss) }) {
			chosen = append(chosen, ss)
		}
	}
	return chosen, at, nil
}

// sessionPage is which part of a list of sessions is asked for.
type sessionPage struct {
	number, limit int
	by            string
	ascending     bool
}

// readSessionPage reads the parameters of a page. The values that are allowed are those of the document.
func readSessionPage(query url.Values) (sessionPage, error) {
	p := sessionPage{number: 1, limit: 10, by: cmp.Or(query.Get("sort_by"), "created_at"), ascending: query.Get("sort_order") == "asc"}
	var problems []error
	for name, into := range map[string]*int{"page": &p.number, "limit": &p.limit} {
		if value := query.Get(name); value != "" {
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 || name == "limit" && !slices.Contains([]int{10, 20, 50}, n) {
				problems = append(problems, fmt.Errorf("%s must be %s", name, map[string]string{"page": "1 or more", "limit": "10, 20 or 50"}[name]))
			}
			*into = n
		}
	}
	if !slices.Contains([]string{"created_at", "session_id", "used_credits", "api_key_name"}, p.by) {
		problems = append(problems, errors.New("sort_by must be created_at, session_id, used_credits or api_key_name"))
	}
	if order := query.Get("sort_order"); order != "" && order != "asc" && order != "desc" {
		problems = append(problems, errors.New("sort_order must be asc or desc"))
	}
	return p, errors.Join(problems...)
}

// sort sorts the sessions as the page wants them. Those that are equal stay in the order in which they were created.
func (p sessionPage) sort(list []*session, firstStep time.Duration) {
	slices.SortStableFunc(list, func(a, b *session) int {
		order := a.created.Compare(b.created)
		switch p.by {
		case "session_id":
			order = strings.Compare(a.id, b.id)
		case "used_credits":
			order = cmp.Compare(a.credits(firstStep), b.credits(firstStep))
		case "api_key_name":
			order = 0 // there is one key
		}
		if !p.ascending {
			order = -order
		}
		return order
	})
}

// of returns the part of the list that is on the page, which is empty beyond the last page.
func (p sessionPage) of(list []*session) []*session {
	begin := len(list)
	if p.number <= len(list) { // so that the product cannot overflow
		begin = min((p.number-1)*p.limit, len(list))
	}
	return list[begin:min(begin+p.limit, len(list))]
}
