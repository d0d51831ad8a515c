package dashboard

import (
	"net/http"
	"net/url"
	"strings"
)

// loginForm is what the login page shows.
type loginForm struct {
	Next    string // where the visitor wanted to go
	Problem string
}

// askLogIn shows the login form.
func (s *Server) askLogIn(w http.ResponseWriter, r *http.Request) {
	if !s.canAct() {
		s.fail(w, r, problem{http.StatusNotFound, "Nobody needs to log in: this dashboard was started without DASHBOARD_TOKEN."})
		return
	}
	next := localPath(r.URL.Query().Get("next"))
	if s.sessions.has(r) {
		redirect(w, next)
		return
	}
	s.answer(w, r, http.StatusOK, "login", "Log in", loginForm{Next: next})
}

// doLogIn checks the token of the form.
func (s *Server) doLogIn(w http.ResponseWriter, r *http.Request) {
	form := loginForm{Next: localPath(r.PostFormValue("next"))}
	code := http.StatusUnauthorized
	switch {
	case !s.canAct():
		s.askLogIn(w, r)
		return
	case !s.sessions.mayTry(r.RemoteAddr):
		form.Problem, code = "Too many attempts. Wait a minute.", http.StatusTooManyRequests
	default:
		if c := s.sessions.logIn(r.PostFormValue("token"), isTLS(r)); c != nil {
			s.log.Info().Str("remote", r.RemoteAddr).Msg("visitor logged in")
			http.SetCookie(w, c)
			redirect(w, form.Next)
			return
		}
		form.Problem = "This is not the token of this dashboard (DASHBOARD_TOKEN)."
	}
	s.log.Warn().Str("remote", r.RemoteAddr).Int("status", code).Msg("login refused")
	s.answer(w, r, code, "login", "Log in", form)
}

// doLogOut ends the session.
func (s *Server) doLogOut(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, s.sessions.logOut(r))
	redirect(w, "/login")
}

// redirect sends the visitor to another page of the dashboard, and never to another site.
func redirect(w http.ResponseWriter, path string) {
	w.Header().Set("Location", localPath(path))
	w.WriteHeader(http.StatusSeeOther)
}

// localPath returns an address of the dashboard itself: the path that is asked for if it is one, and else the first page.
func localPath(path string) string {
	u, err := url.Parse(path)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n\t") {
		return "/"
	}
	return u.RequestURI()
}
