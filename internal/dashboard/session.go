package dashboard

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/task"
)

const (
	cookieName = "capstan_dashboard"

	// sessionTime is how long a login lasts.
	sessionTime = 12 * time.Hour

	// mostSessions bounds the logins at once. Beyond it, the oldest ends.
	mostSessions = 1000

	// Attempts to log in: of one network, and of all. A token that is random cannot be guessed with these.
	attemptInterval    = 5 * time.Second
	attemptBurst       = 5
	allAttemptInterval = 100 * time.Millisecond
	allAttemptBurst    = 50
	mostNetworks       = 1000
)

// sessions are the visitors who have logged in.
type sessions struct {
	token task.Secret

	mu       sync.Mutex
	ends     map[string]time.Time     // by the value of the cookie; guarded by mu
	attempts map[string]*rate.Limiter // by network; guarded by mu
	all      *rate.Limiter
}

func newSessions(token task.Secret) *sessions {
	return &sessions{
		token: token, ends: map[string]time.Time{}, attempts: map[string]*rate.Limiter{},
		all: rate.NewLimiter(rate.Every(allAttemptInterval), allAttemptBurst),
	}
}

// mayTry counts an attempt to log in, and reports whether it may be made.
func (s *sessions) mayTry(remote string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	network := networkOf(remote)
	limit := s.attempts[network]
	if limit == nil {
		if len(s.attempts) >= mostNetworks { // the limit on all attempts holds nevertheless
			clear(s.attempts)
		}
		limit = rate.NewLimiter(rate.Every(attemptInterval), attemptBurst)
		s.attempts[network] = limit
	}
	return limit.Allow() && s.all.Allow()
}

// networkOf returns the address of a visitor, or its network where one visitor has many addresses.
func networkOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || ip.Unmap().Is4() {
		return host
	}
	network, _ := ip.Prefix(64) // an IPv6 address has that many bits
	return network.String()
}

// logIn returns the cookie of a new session, or nil if the token is wrong. The comparison takes the same time for all
// wrong ones.
func (s *sessions) logIn(token string, isTLS bool) *http.Cookie {
	got, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(s.token))
	if s.token == "" || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		return nil
	}
	value := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.makeRoom()
	s.ends[value] = time.Now().Add(sessionTime)
	return cookie(value, int(sessionTime.Seconds()), isTLS)
}

// makeRoom removes the sessions that have ended, and the oldest one if there are too many. The caller holds s.mu.
func (s *sessions) makeRoom() {
	oldest, first := "", time.Now().Add(sessionTime)
	for value, end := range s.ends {
		switch {
		case end.Before(time.Now()):
			delete(s.ends, value)
		case end.Before(first):
			oldest, first = value, end
		}
	}
	if len(s.ends) >= mostSessions {
		delete(s.ends, oldest)
	}
}

// has reports whether the visitor has logged in.
func (s *sessions) has(r *http.Request) bool {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	end, ok := s.ends[c.Value]
	return ok && time.Now().Before(end)
}

// logOut ends the session of a visitor, and returns the cookie that removes the visitor's.
func (s *sessions) logOut(r *http.Request) *http.Cookie {
	if c, err := r.Cookie(cookieName); err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.ends, c.Value)
	}
	return cookie("", -1, isTLS(r))
}

// cookie returns the cookie of a session. Scripts cannot read it, and other sites cannot send it.
func cookie(value string, maxAge int, isTLS bool) *http.Cookie {
	c := &http.Cookie{
		Name: cookieName, Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: true,
	}
	c.Secure = isTLS // without TLS browsers would not send it back
	return c
}

// isTLS reports whether the visitor's browser uses TLS, here or up to a proxy that says so.
func isTLS(r *http.Request) bool { return r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" }
