package admin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/admin"
)

const (
	loopback   = "127.0.0.1:0"
	everywhere = "0.0.0.0:0"
)

// start runs a server until the test ends and returns its URL.
func start(t *testing.T, cfg admin.Config, g prometheus.Gatherer, checks ...admin.Check) string {
	t.Helper()
	s, err := admin.New(t.Context(), cfg, "v1.2.3", g, zerolog.Nop(), checks...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
	})
	_, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return "http://127.0.0.1:" + port
}

type answer struct {
	status int
	header http.Header
	body   string
}

// get asks with an Authorization header, or without one where it is empty.
func get(t *testing.T, url, authorization string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: string(body)}
}

func wantStatus(t *testing.T, url, authorization string, want int) {
	t.Helper()
	if got := get(t, url, authorization).status; got != want {
		t.Errorf("GET %s with %q: got %d, want %d", url, authorization, got, want)
	}
}

func says(ok bool, detail string) func() (bool, string) {
	return func() (bool, string) { return ok, detail }
}

func TestReadyWhenEveryCheckIs(t *testing.T) {
	url := start(t, admin.Config{Addr: loopback}, prometheus.NewRegistry(),
		admin.Check{Name: "nats", Ready: says(true, "connected")},
		admin.Check{Name: "streams", Ready: says(true, "bound")})
	got := get(t, url+"/readyz", "")
	if got.status != http.StatusOK {
		t.Errorf("status: got %d, want 200", got.status)
	}
	if want := "nats: connected\nstreams: bound\n"; got.body != want {
		t.Errorf("body: got %q, want %q", got.body, want)
	}
}

func TestOneMissingThingMakesTheWorkerNotReadyAndIsNamed(t *testing.T) {
	url := start(t, admin.Config{Addr: loopback}, prometheus.NewRegistry(),
		admin.Check{Name: "streams", Ready: says(false, "stream TASKS is missing")},
		admin.Check{Name: "nats", Ready: says(true, "connected")})
	got := get(t, url+"/readyz", "")
	if got.status != http.StatusServiceUnavailable {
		t.Errorf("status: got %d, want 503", got.status)
	}
	if want := "streams: stream TASKS is missing\nnats: connected\n"; got.body != want {
		t.Errorf("body: got %q, want %q", got.body, want)
	}
}

// A rollout has to go on while the plan is full or the key is refused.
func TestADetailIsShownAndHasNoEffectOnTheStatus(t *testing.T) {
	url := start(t, admin.Config{Addr: loopback}, prometheus.NewRegistry(),
		admin.Check{Name: "nats", Ready: says(true, "connected")},
		admin.Check{Name: "submissions", Info: func() string { return "paused: no_credits" }})
	got := get(t, url+"/readyz", "")
	if got.status != http.StatusOK {
		t.Errorf("status: got %d, want 200", got.status)
	}
	if want := "nats: connected\nsubmissions: paused: no_credits\n"; got.body != want {
		t.Errorf("body: got %q, want %q", got.body, want)
	}
}

func TestWorkerThatIsNotReadyLives(t *testing.T) {
	url := start(t, admin.Config{Addr: loopback}, prometheus.NewRegistry(),
		admin.Check{Name: "nats", Ready: says(false, "reconnecting")})
	wantStatus(t, url+"/livez", "", http.StatusOK)
}

func TestMetricsComeFromTheGivenGatherer(t *testing.T) {
	reg := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "capstan_test_total", Help: "Test."})
	reg.MustRegister(c)
	c.Add(3)
	body := get(t, start(t, admin.Config{Addr: loopback}, reg)+"/metrics", "").body
	if want := "capstan_test_total 3"; !strings.Contains(body, want) {
		t.Errorf("metrics: got %q, want it to hold %q", body, want)
	}
	if strings.Contains(body, "go_goroutines") {
		t.Errorf("metrics: got those of the default registry as well")
	}
}

func TestTokenGuardsAllButProbesAndMetrics(t *testing.T) {
	for _, addr := range []string{loopback, everywhere} {
		url := start(t, admin.Config{Addr: addr, Token: "s3cret"}, prometheus.NewRegistry())
		for _, path := range []string{"/livez", "/readyz", "/metrics"} {
			wantStatus(t, url+path, "", http.StatusOK)
		}
		for _, path := range []string{"/", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/heap"} {
			wantStatus(t, url+path, "", http.StatusUnauthorized)
			wantStatus(t, url+path, "Bearer s3cret", http.StatusOK)
		}
		wantStatus(t, url+"/nothing", "", http.StatusUnauthorized)
		wantStatus(t, url+"/nothing", "Bearer s3cret", http.StatusNotFound)
	}
}

func TestOnlyTheTokenItselfOpens(t *testing.T) {
	url := start(t, admin.Config{Addr: loopback, Token: "s3cret"}, prometheus.NewRegistry())
	for _, wrong := range []string{
		"Bearer", "Bearer ", "Bearer s3cre", "Bearer s3cret2", "Bearer S3CRET", "s3cret", "Basic s3cret",
	} {
		wantStatus(t, url+"/", wrong, http.StatusUnauthorized)
	}
	wantStatus(t, url+"/", "bearer s3cret", http.StatusOK)
	if got, want := get(t, url+"/", "").header.Get("WWW-Authenticate"), `Bearer realm="capstan"`; got != want {
		t.Errorf("WWW-Authenticate: got %q, want %q", got, want)
	}
}

func TestProfilesWithoutTokenAreForThisMachineOnly(t *testing.T) {
	tests := []struct {
		addr string
		want int
	}{
		{loopback, http.StatusOK},
		{everywhere, http.StatusNotFound},
		{":0", http.StatusNotFound},
	}
	for _, tt := range tests {
		url := start(t, admin.Config{Addr: tt.addr}, prometheus.NewRegistry())
		wantStatus(t, url+"/debug/pprof/", "", tt.want)
		index := get(t, url+"/", "")
		if index.status != http.StatusOK {
			t.Errorf("index on %s: got %d, want 200", tt.addr, index.status)
		}
		if got, want := strings.Contains(index.body, "pprof"), tt.want == http.StatusOK; got != want {
			t.Errorf("index on %s names pprof: got %v, want %v", tt.addr, got, want)
		}
	}
}

func TestIndexNamesTheVersion(t *testing.T) {
	body := get(t, start(t, admin.Config{Addr: loopback}, prometheus.NewRegistry())+"/", "").body
	if want := "capstan worker v1.2.3\n"; !strings.HasPrefix(body, want) {
		t.Errorf("index: got %q, want it to begin with %q", body, want)
	}
}

func TestTakenAddressIsAnError(t *testing.T) {
	s, err := admin.New(t.Context(), admin.Config{Addr: loopback}, "", prometheus.NewRegistry(), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	_, err = admin.New(t.Context(), admin.Config{Addr: s.Addr()}, "", prometheus.NewRegistry(), zerolog.Nop())
	if err == nil || !strings.Contains(err.Error(), "ADMIN_ADDR") {
		t.Errorf("second server on %s: got %v, want an error that names ADMIN_ADDR", s.Addr(), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil { // closes the listener
		t.Errorf("Run: got %v, want nil", err)
	}
}

// A profile that is being read may not hold up the end of a worker for as long as it lasts.
func TestStopWaitsForNobodyForLong(t *testing.T) {
	asked := make(chan struct{})
	release := make(chan struct{})
	slow := admin.Check{Name: "slow", Ready: func() (bool, string) {
		close(asked)
		<-release
		return true, ""
	}}
	defer close(release)
	s, err := admin.New(t.Context(), admin.Config{Addr: loopback}, "", prometheus.NewRegistry(), zerolog.Nop(), slow)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	go func() {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Addr()+"/readyz", http.NoBody)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}()
	<-asked
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("Run: got no end, want one within seconds")
	}
}

func TestTokenIsNeverPrinted(t *testing.T) {
	cfg := admin.Config{Token: "s3cret"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, value := range []any{cfg, cfg.Token, &cfg} {
			got := fmt.Sprintf(verb, value)
			if strings.Contains(got, "s3cret") || strings.Contains(got, fmt.Sprintf("%x", "s3cret")) {
				t.Errorf("%s: got %s, want no token in it", verb, got)
			}
		}
	}
	text, err := json.Marshal(cfg)
	if err != nil || strings.Contains(string(text), "s3cret") {
		t.Errorf("as JSON: got %s, %v, want no token in it", text, err)
	}
}
