package anchor_test

import (
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// startsClient returns a client and the reports of its submissions.
func startsClient(t *testing.T, cfg anchor.Config) (c *anchor.Client, reports chan task.Starts) {
	t.Helper()
	reports = make(chan task.Starts, 10)
	c, err := anchor.New(cfg, "", prometheus.NewRegistry(), anchor.WithStarts(func(s task.Starts) { reports <- s }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, reports
}

func TestEachAnswerToASubmissionTellsHowManyRemain(t *testing.T) {
	t.Parallel()
	told := func(remaining int, reset time.Duration, quota int, window time.Duration) *task.Starts {
		return &task.Starts{Remaining: remaining, Reset: reset, Quota: quota, Window: window}
	}
	const s = time.Second
	for name, c := range map[string]struct {
		limits, policies []string
		want             *task.Starts // nil: nothing is reported
	}{
		"none":                   {nil, nil, nil},
		"both":                   {[]string{`"5-in-1min"; r=4; t=58`}, []string{`"5-in-1min"; q=5; w=60`}, told(4, 58*s, 5, 60*s)},
		"token as a name":        {[]string{`a;r=0;t=58`}, []string{`a;q=5;w=60`}, told(0, 58*s, 5, 60*s)},
		"no policy":              {[]string{`"a"; r=4; t=58`}, nil, told(4, 58*s, 0, 0)},
		"another policy":         {[]string{`"a"; r=4; t=58`}, []string{`"b"; q=5; w=60`}, told(4, 58*s, 0, 0)},
		"policy only":            {nil, []string{`"a"; q=5; w=60`}, nil},
		"broken policy":          {[]string{`"a"; r=4; t=58`}, []string{`"a"; q=`}, told(4, 58*s, 0, 0)},
		"policy without a time":  {[]string{`"a"; r=4; t=58`}, []string{`"a"; q=5`}, told(4, 58*s, 0, 0)},
		"policy of zero":         {[]string{`"a"; r=4; t=58`}, []string{`"a"; q=0; w=60`}, told(4, 58*s, 0, 0)},
		"the least of several":   {[]string{`"m"; r=4; t=58, "s"; r=1; t=1`, `"h"; r=9; t=900`}, []string{`"m"; q=5; w=60, "s"; q=2; w=1`}, told(1, s, 2, s)},
		"the last of equal ones": {[]string{`"a"; r=0; t=5, "b"; r=0; t=7, "c"; r=0; t=6`}, nil, told(0, 7*s, 0, 0)},
		"one of several broken":  {[]string{`"a"; r=-1; t=5, "b"; r=3; t=7`}, nil, told(3, 7*s, 0, 0)},
		"a daily quota":          {[]string{`"d"; r=0; t=40000, "m"; r=3; t=7`}, []string{`"d"; q=100; w=86400, "m"; q=5; w=60`}, told(3, 7*s, 5, 60*s)},
		"negative":               {[]string{`"a"; r=-1; t=58`}, nil, nil},
		"negative reset":         {[]string{`"a"; r=1; t=-58`}, nil, nil},
		"no reset":               {[]string{`"a"; r=1`}, nil, nil},
		"no remaining":           {[]string{`"a"; t=1`}, nil, nil},
		"text":                   {[]string{`"a"; r="4"; t=58`}, nil, nil},
		"fraction":               {[]string{`"a"; r=4.0; t=58`}, nil, nil},
		"far future":             {[]string{`"a"; r=0; t=999999999999999`}, nil, nil},
		"more than the quota":    {[]string{`"a"; r=6; t=58`}, []string{`"a"; q=5; w=60`}, nil},
		"beyond the window":      {[]string{`"a"; r=0; t=600`}, []string{`"a"; q=5; w=60`}, nil},
		"too many":               {[]string{`"a"; r=99999999999; t=58`}, nil, nil},
		"a list in a list":       {[]string{`("a" "b"); r=0; t=7`}, nil, nil},
		"bytes as a name":        {[]string{`:YQ==:; r=0; t=7`}, []string{`:YQ==:; q=5; w=60`}, nil},
		"nonsense":               {[]string{`;;,"`}, []string{`;;,"`}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, status := range []int{200, 429, 422} {
				server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
					w.Header()["Ratelimit"], w.Header()["Ratelimit-Policy"] = c.limits, c.policies
					w.WriteHeader(status)
				})
				client, reports := startsClient(t, config(server.URL))
				_, _ = client.Submit(t.Context(), "", []byte(body))
				close(reports)
				got, reported := <-reports
				if sent := got.Sent; reported && (time.Since(sent) < 0 || time.Since(sent) > time.Minute) {
					t.Errorf("%d: got a submission sent at %v, want it just now", status, sent)
				}
				got.Sent = time.Time{}
				if reported != (c.want != nil) || reported && got != *c.want {
					t.Errorf("%d: got %+v, %v, want %+v", status, got, reported, c.want)
				}
			}
		})
	}
}

func TestRefusedSubmissionsTellWhetherItIsTheRate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		header http.Header
		want   bool
	}{
		"nothing":     {nil, false},
		"Retry-After": {http.Header{"Retry-After": {"0"}}, true},
		"exhausted":   {http.Header{"Ratelimit": {`"a"; r=0`}}, true},
		"some remain": {http.Header{"Ratelimit": {`"a"; r=3; t=58`}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for status, want := range map[int]bool{429: c.want, 503: false} {
				server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
					maps.Copy(w.Header(), c.header)
					w.WriteHeader(status)
				})
				_, err := newClient(t, config(server.URL)).Submit(t.Context(), "", []byte(body))
				if got := submitError(t, err).StartRate; got != want {
					t.Errorf("%d: got %v, want %v", status, got, want)
				}
			}
		})
	}
}

// The client reads what the stand-in says, refused or not.
func TestTheStandInsHeadersAreRead(t *testing.T) {
	t.Parallel()
	api := anchortest.New(anchortest.WithStartRate(anchortest.StartRate{Quota: 1, Window: time.Minute}))
	if err := api.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.Close)
	cfg := config(api.URL())
	cfg.APIKey = anchor.Secret(api.Key())
	client, reports := startsClient(t, cfg)
	for i := range 2 {
		_, err := client.Submit(t.Context(), "", []byte(body))
		if refused := err != nil; refused != (i == 1) {
			t.Errorf("submission %d: got error %v", i, err)
		}
		if got := <-reports; got.Remaining != 0 || got.Quota != 1 || got.Window != time.Minute || got.Reset != time.Minute {
			t.Errorf("submission %d: got %+v, want none to remain of 1 in 1m", i, got)
		}
	}
}
