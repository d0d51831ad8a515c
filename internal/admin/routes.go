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

// routes serves the probes and the metrics, which machines read, without a token. Everything else requires it.
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

// livez answers ok as long as the process answers at all: a worker that is not ready is alive, and to
// restart it would not bring back what it waits for.
func livez(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "ok\n") }

// readyz answers with a line for each check, and with status 503 if one of them is not ready. All checks
// run each time, so an operator sees every problem at once.
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

// run returns the result of Ready or, without Ready, true and the result of Info.
func (c Check) run() (ok bool, detail string) {
	if c.Ready == nil {
		return true, c.Info()
	}
	return c.Ready()
}

// index lists the paths, for a person who opens the address in a browser. Profiles are listed only if they
// are served.
func index(version string, profiles bool) http.HandlerFunc {
	text := "capstan worker " + version + "\n\n" +
		"/livez         ok while the process answers\n" +
		"/readyz        whether the worker is ready, what is missing, and what is paused\n" +
		"/metrics       metrics for Prometheus\n"
	if profiles {
		text += "/debug/pprof/  profiles for go tool pprof\n"
	}
	return func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, text) }
}

// addProfiles adds the handlers of net/http/pprof, which would register themselves only in the default mux.
func addProfiles(mux *http.ServeMux) {
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
}

// requireToken accepts requests with the token as a bearer (RFC 6750). An empty token accepts every request. It compares
// hashes in constant time, so that the time of an answer does not depend on the token, not even on its length.
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
			writeText(w, http.StatusUnauthorized, "send the ADMIN_TOKEN in a header: Authorization: Bearer …\n")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// writeText answers with a text that no browser may cache or take for HTML. It ignores errors of writing:
// the client has gone.
func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff") // details contain texts from NATS and from the API
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
}
