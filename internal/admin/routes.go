package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/http/pprof"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// routes keeps the probes and the metrics open, for machines ask for them, and puts the token before all
// the rest.
func routes(token Token, version string, g prometheus.Gatherer, checks []Check, profiles bool) http.Handler {
	guarded := http.NewServeMux()
	guarded.HandleFunc("GET /{$}", index(version, profiles))
	if profiles {
		addProfiles(guarded)
	}
	open := http.NewServeMux()
	open.HandleFunc("GET /livez", livez)
	open.HandleFunc("GET /readyz", readyz(checks))
	open.Handle("GET /metrics", promhttp.HandlerFor(g, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	open.Handle("/", requireToken(token, guarded))
	return open
}

func livez(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "ok\n") }

// readyz answers with a line for each check, and with status 503 if one of them is not ready.
func readyz(checks []Check) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		status := http.StatusOK
		var lines strings.Builder
		for _, c := range checks {
			ok, detail := c.run()
			if !ok {
				status = http.StatusServiceUnavailable
			}
			fmt.Fprintf(&lines, "%s: %s\n", c.Name, detail)
		}
		writeText(w, status, lines.String())
	}
}

// run returns what Ready returns, or true with the detail of Info.
func (c Check) run() (ok bool, detail string) {
	if c.Ready == nil {
		return true, c.Info()
	}
	return c.Ready()
}

func index(version string, profiles bool) http.HandlerFunc {
	text := "capstan worker " + version + "\n\n" +
		"/livez         the process answers\n" +
		"/readyz        whether it is ready, what is missing, and what is paused\n" +
		"/metrics       for Prometheus\n"
	if profiles {
		text += "/debug/pprof/  for go tool pprof\n"
	}
	return func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, text) }
}

func addProfiles(mux *http.ServeMux) {
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
}

// requireToken lets through who shows the token as a bearer (RFC 6750); without a token, everybody. The
// sums are compared, so that the time it takes tells nothing of the token, not even its length.
func requireToken(token Token, next http.Handler) http.Handler {
	if token == "" {
		return next
	}
	want := sha256.Sum256([]byte(token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, shown, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		got := sha256.Sum256([]byte(shown))
		if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="capstan"`)
			writeText(w, http.StatusUnauthorized, "show the ADMIN_TOKEN: Authorization: Bearer …\n")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// writeText ignores that the client may be gone: there is nobody left to tell.
func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
}
