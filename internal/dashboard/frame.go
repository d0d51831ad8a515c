package dashboard

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/capstan-worker/capstan/internal/operator"
)

// frame is what surrounds a page.
type frame struct {
	Title   string
	Page    string // whose link in the navigation is marked
	Live    string
	Reading readingText
	Notice  string // what the visitor has just done
	CanAct  bool
	Zone    string
	Assets  map[string]string // addresses by file
}

// show answers with a page of the queue.
func (s *Server) show(p page) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		current := s.reader.fresh(r.Context())
		v, html, err := s.render(r.Context(), p, r, current.number)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		s.write(w, r, http.StatusOK, frame{Title: v.Title, Page: p.name, Live: v.Live}, html)
	}
}

// answer answers with a page that is for this visitor only.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, code int, name, title string, data any) {
	html, err := s.pages.render(name, data)
	if err != nil {
		s.log.Error().Err(err).Msg("page not rendered")
		http.Error(w, "The page could not be rendered; the log says why.", http.StatusInternalServerError)
		return
	}
	s.write(w, r, code, frame{Title: title, Page: name}, html)
}

// write answers with a page in its frame.
func (s *Server) write(w http.ResponseWriter, r *http.Request, code int, f frame, body []byte) {
	current, _ := s.reader.now()
	f.Reading, f.Notice, f.CanAct, f.Assets = s.readingText(current), s.notices.text(r.URL.Query().Get("notice")), s.canAct(), s.pages.urls
	f.Zone = zone(time.Now())
	top, err := s.pages.render("top", f)
	bottom, bottomErr := s.pages.render("bottom", f)
	if err := errors.Join(err, bottomErr); err != nil {
		s.log.Error().Err(err).Msg("page not rendered")
		http.Error(w, "The page could not be rendered; the log says why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = (&net.Buffers{top, body, bottom}).WriteTo(w) // an error means that the visitor has gone
}

// message is a page with nothing but a sentence.
type message struct{ Title, Text string }

// fail answers with a page that says what is wrong.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	said, isProblem := errors.AsType[problem](err)
	if !isProblem {
		said = problem{http.StatusServiceUnavailable, err.Error()}
		if _, isMissing := errors.AsType[*operator.MissingError](err); !isMissing {
			s.log.Warn().Err(err).Str("path", r.URL.Path).Msg("page not shown")
		}
	}
	text, _ := cut(said.text, mostText)
	title := http.StatusText(said.status)
	s.answer(w, r, said.status, "message", title, message{title, text})
}

// readingText is what pages say of the reader.
type readingText struct {
	Text  string // "" if the figures are current
	IsBad bool
	AsOf  time.Time
}

// readingText says how current the figures are.
func (s *Server) readingText(current reading) readingText {
	read, complete := s.board.Progress()
	t := readingText{AsOf: complete}
	figures := "There are no figures yet"
	if !complete.IsZero() {
		figures = "The figures are from " + clock(complete)
	}
	switch {
	case current.away:
		t.Text, t.IsBad = "NATS is unreachable. "+figures+". This page goes on by itself when NATS is back.", true
	case current.problem != "":
		t.Text, t.IsBad = "The queue could not be read: "+line(current.problem)+". "+figures+".", true
	case complete.IsZero():
		t.Text = fmt.Sprintf("Still reading the queue: %s so far. All figures grow until that is done.", counted(read, "record"))
	}
	return t
}
