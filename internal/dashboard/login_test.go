package dashboard_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/dashboard"
)

func TestWithATokenNothingIsShownBeforeTheLogin(t *testing.T) {
	t.Parallel()
	s := newSite(t, token)
	fill(s)
	for _, path := range []string{"/", "/tasks", "/tasks/runs", "/tasks/runs/record", "/batches", "/dead-letters", "/pause"} {
		got := s.get(path)
		if got.code != http.StatusSeeOther || got.header.Get("Location") != "/login?next="+url.QueryEscape(path) || strings.Contains(got.body, "runs has") {
			t.Errorf("%s: got %d to %s, want the login", path, got.code, got.header.Get("Location"))
		}
	}
	for _, path := range []string{"/live/", "/live/tasks"} {
		if got := s.get(path); got.code != http.StatusUnauthorized {
			t.Errorf("%s: got %d, want %d", path, got.code, http.StatusUnauthorized)
		}
	}
	for _, path := range []string{"/pause", "/cancel", "/redrive", "/redrive/preview", "/resume"} {
		if got := s.post(path, "task", "runs"); got.code != http.StatusUnauthorized || s.value("pause") != "" {
			t.Errorf("POST %s: got %d, want %d", path, got.code, http.StatusUnauthorized)
		}
	}
	if got := s.get("/livez"); got.code != http.StatusOK {
		t.Errorf("/livez: got %d, want %d: probes do not log in", got.code, http.StatusOK)
	}
}

func TestALoginLeadsWhereTheVisitorWanted(t *testing.T) {
	t.Parallel()
	s := newSite(t, token)
	got := s.post("/login", "token", token, "next", "/tasks?state=failed")
	if got.code != http.StatusSeeOther || got.header.Get("Location") != "/tasks?state=failed" {
		t.Errorf("got %d to %s, want the page", got.code, got.header.Get("Location"))
	}
	cookie := got.header.Get("Set-Cookie")
	for _, want := range []string{"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("got the cookie %s, want %s", cookie, want)
		}
	}
	if strings.Contains(cookie, "Secure") || strings.Contains(cookie, token) {
		t.Errorf("got the cookie %s, want one that works without TLS and is not the token", cookie)
	}
	if got := s.get("/tasks"); got.code != http.StatusOK {
		t.Errorf("after the login: got %d, want %d", got.code, http.StatusOK)
	}
	if got := s.post("/logout"); got.code != http.StatusSeeOther {
		t.Errorf("logout: got %d, want %d", got.code, http.StatusSeeOther)
	}
	if got := s.get("/tasks", "Cookie", strings.Split(cookie, ";")[0]); got.code != http.StatusSeeOther {
		t.Errorf("after the logout: got %d, want the login, also with the old cookie", got.code)
	}
}

func TestTheCookieIsSecureBehindTLS(t *testing.T) {
	t.Parallel()
	s := newSite(t, token)
	got := s.do(http.MethodPost, "/login", url.Values{"token": {token}}, "X-Forwarded-Proto", "https")
	if cookie := got.header.Get("Set-Cookie"); !strings.Contains(cookie, "Secure") {
		t.Errorf("got the cookie %s, want Secure", cookie)
	}
}

func TestAttemptsToLogInAreLimited(t *testing.T) {
	t.Parallel()
	s := newSite(t, token)
	for i := range 5 {
		if got := s.post("/login", "token", "wrong"); got.code != http.StatusUnauthorized || !strings.Contains(got.body, "This is not the token") {
			t.Fatalf("attempt %d: got %d, %s, want %d", i, got.code, got.body, http.StatusUnauthorized)
		}
	}
	if got := s.post("/login", "token", token); got.code != http.StatusTooManyRequests || got.header.Get("Set-Cookie") != "" {
		t.Errorf("the right token after five wrong ones: got %d, want %d", got.code, http.StatusTooManyRequests)
	}
	s.logged("login refused", `"remote":"127.0.0.1:`)
	if strings.Contains(s.log.String(), "wrong") {
		t.Errorf("got %s, want a log without what was tried", s.log)
	}
}

func TestRequestsOfOtherSitesAreRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, token)
	s.logIn()
	for name, headers := range map[string][]string{
		"by the browser's word": {"Sec-Fetch-Site", "cross-site"},
		"by the origin":         {"Origin", "https://evil.example"},
	} {
		got := s.do(http.MethodPost, "/pause", url.Values{}, headers...)
		if got.code != http.StatusForbidden || !strings.Contains(got.body, "This request came from another site. Nothing was done.") {
			t.Errorf("%s: got %d, %s, want %d", name, got.code, got.body, http.StatusForbidden)
		}
	}
	if s.value("pause") != "" {
		t.Error("got a pause, want none")
	}
}

// A site can point a name of its own to 127.0.0.1, and its pages could then read those of the dashboard.
func TestWithoutATokenOnlyThisMachineIsAnswered(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	for host, want := range map[string]int{
		"evil.example": http.StatusMisdirectedRequest, "evil.example:8090": http.StatusMisdirectedRequest, "10.0.0.1": http.StatusMisdirectedRequest,
		"localhost": http.StatusOK, "localhost:8090": http.StatusOK, "127.0.0.1": http.StatusOK, "[::1]:8090": http.StatusOK,
	} {
		if got := s.get("/", "Host", host); got.code != want {
			t.Errorf("%s: got %d, want %d", host, got.code, want)
		}
	}
}

func TestALoginLeadsToNoOtherSite(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/tasks?state=failed": "/tasks?state=failed", "": "/", "https://evil.example/": "/", "//evil.example/": "/", `/\evil.example`: "/",
		"javascript:alert(1)": "/", "tasks": "/", "/a\r\nSet-Cookie: x": "/",
	} {
		if got := dashboard.LocalPath(path); got != want {
			t.Errorf("%q: got %q, want %q", path, got, want)
		}
	}
}
