package anchortest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

// post submits without a network, so that the time can be fake. It returns the answer's status and headers.
func post(t *testing.T, s *anchortest.Server) (status int, header http.Header) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, webTask, strings.NewReader(body("x")))
	req.Header.Set("Anchor-Api-Key", s.Key())
	w := httptest.NewRecorder()
	s.ServeHTTP(w, req)
	return w.Code, w.Header()
}

func TestSubmissionsBeyondTheQuotaOfAWindowAreRefused(t *testing.T) {
	for name, silent := range map[string]bool{"with headers": false, "without headers": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := anchortest.New(anchortest.WithStartRate(anchortest.StartRate{Quota: 2, Window: 10 * time.Second, Silent: silent}))
				defer s.Close()
				for _, want := range []struct {
					status            int
					limit, retryAfter string
				}{
					{200, `"2-in-10s"; r=1; t=10`, ""},
					{200, `"2-in-10s"; r=0; t=8`, ""},
					{429, `"2-in-10s"; r=0; t=5`, "5"},
					{429, `"2-in-10s"; r=0; t=3`, "3"},
					{200, `"2-in-10s"; r=1; t=10`, ""},
				} {
					status, got := post(t, s)
					policy := `"2-in-10s"; q=2; w=10`
					if silent {
						want.limit, policy = "", ""
					}
					if status != want.status || got.Get("RateLimit") != want.limit || got.Get("Retry-After") != want.retryAfter ||
						got.Get("RateLimit-Policy") != policy {
						t.Errorf("got %d and %v, want %+v", status, got, want)
					}
					<-time.After(2500 * time.Millisecond)
				}
			})
		})
	}
}
