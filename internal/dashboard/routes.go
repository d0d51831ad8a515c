package dashboard

import (
	"net/http"
	"net/url"
	"strings"
)

// handler returns the handler of all addresses.
func (s *Server) handler() http.Handler {
	pages := http.NewServeMux()
	for path, p := range map[string]page{
		"/{$}":            {"overview", s.loadOverview},
		"/tasks":          {"tasks", s.loadTasks},
		"/tasks/{id}":     {"task", s.loadTask},
		"/batches":        {"batches", s.loadBatches},
		"/batches/{name}": {"batch", s.loadBatch},
		"/dead-letters":   {"letters", s.loadLetters},
	} {
		pages.Handle("GET "+path, s.show(p))
		pages.Handle("GET /live"+path, s.live(p))
	}
	pages.HandleFunc("GET /tasks/{id}/{part}", s.serveWhole)
	for path, act := range map[string]act{
		"/cancel":      {s.askCancel, s.doCancel},
		"/cancel/undo": {s.askUndo, s.doUndo},
		"/redrive":     {s.askRedrive, s.doRedrive},
		"/pause":       {s.askPause, s.doPause},
		"/resume":      {s.askResume, s.doResume},
	} {
		pages.HandleFunc("GET "+path, act.ask)
		pages.HandleFunc("POST "+path, s.acting(act.do))
	}
	pages.HandleFunc("POST /redrive/preview", s.acting(s.previewRedrive))
	pages.HandleFunc("POST /logout", s.doLogOut)
	pages.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, problem{http.StatusNotFound, "There is no page at this address."})
	})

	all := http.NewServeMux()
	all.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	all.HandleFunc("GET /static/{file}", s.serveAsset)
	all.HandleFunc("GET /login", s.askLogIn)
	all.HandleFunc("POST /login", s.doLogIn)
	all.Handle("/", s.loggedIn(pages))

	return s.guarded(s.sameOrigin(http.MaxBytesHandler(all, maxFormBytes)))
}

// sameOrigin refuses requests by which another site acts in the name of a visitor.
func (s *Server) sameOrigin(next http.Handler) http.Handler {
	crossOrigin := http.NewCrossOriginProtection()
	crossOrigin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.log.Warn().Str("remote", r.RemoteAddr).Str("path", r.URL.Path).Msg("request of another site refused")
		s.fail(w, r, problem{http.StatusForbidden, "This request came from another site. Nothing was done."})
	}))
	return crossOrigin.Handler(next)
}

// contentPolicy lets pages use nothing but the dashboard's own files (Content Security Policy Level 3).
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// guarded adds the headers that keep a page from harm. Without a token it answers only to names of this machine:
// otherwise any site could point a name of its own to it and read the pages (DNS rebinding).
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if !strings.HasPrefix(r.URL.Path, "/static/") {
			h.Set("Cache-Control", "no-store")
		}
		if !s.canAct() && !isLoopback(r.Host) {
			http.Error(w, "This dashboard has no DASHBOARD_TOKEN, so it can only be opened as localhost or 127.0.0.1.", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// canAct reports whether visitors may act. Those who see a page have logged in then.
func (s *Server) canAct() bool { return s.cfg.Token != "" }

// loggedIn lets visitors pass who have logged in, if that is needed. Others get the login form, or a refusal.
func (s *Server) loggedIn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !s.canAct() || s.sessions.has(r):
			next.ServeHTTP(w, r)
		case r.Method == http.MethodGet && !strings.HasPrefix(r.URL.Path, "/live/"):
			redirect(w, "/login?next="+url.QueryEscape(r.URL.RequestURI()))
		default:
			s.fail(w, r, problem{http.StatusUnauthorized, "Log in first. Nothing was done."})
		}
	})
}
