package anchor_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"testing"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

func TestPlanIsRead(t *testing.T) {
	t.Parallel()
	plan, err := newClientOf(t, startAPI(t, anchortest.Plan{})).Plan(t.Context())
	if want := (anchor.Plan{Tier: "stand_in", Credits: 42.5, Browsers: -1}); err != nil || plan != want {
		t.Errorf("got %+v and error %v, want %+v", plan, err, want)
	}
}

func TestBrowsersOfAPlanAreBounded(t *testing.T) {
	t.Parallel()
	const invalid = -2
	for said, want := range map[string]int{
		"25": 25, "2.5e1": 25, "0": 0, "-1": -1, "-7": -1, "-1e300": -1, "1000000": 1_000_000, "1000001": 1_000_000,
		"1e19": 1_000_000, "1e300": 1_000_000, "1e999": invalid, "NaN": invalid, `"25"`: invalid, "true": invalid,
	} {
		t.Run(said, func(t *testing.T) {
			t.Parallel()
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				_, _ = fmt.Fprintf(w, `{"data":{"tier":"free","max_concurrent_browsers":%s}}`, said)
			})
			plan, err := newClient(t, config(server.URL)).Plan(t.Context())
			if (err != nil) != (want == invalid) || err == nil && plan.Browsers != want {
				t.Errorf("got %d browsers and error %v, want %d", plan.Browsers, err, want)
			}
		})
	}
}

// The kind of error tells an operator what to check: the key, the base URL, or the API.
func TestPlanErrorSaysKeyOrBaseURLOrOutage(t *testing.T) {
	t.Parallel()
	const (
		key     = "RefusedError"
		baseURL = "NotTheAPIError"
		outage  = "another error"
	)
	for name, c := range map[string]struct {
		status int
		header http.Header
		body   string
		kind   string
		words  string
	}{
		"401":              {401, nil, `{"error":{"code":401,"message":"Invalid API Key"}}`, key, "401: Invalid API Key"},
		"402":              {402, nil, `{"message":"no credits"}`, key, "402: no credits"},
		"403 page":         {403, nil, "<html>", key, "403: Forbidden"},
		"404":              {404, nil, `{"error":{"code":404,"message":"no plan"}}`, outage, "ask for the plan: 404: no plan"},
		"404 page":         {404, nil, "<html>", baseURL, "404: the answer is not in the API's format"},
		"404 text":         {404, nil, "default backend - 404", baseURL, "404: the answer is not in the API's format"},
		"404 of a router":  {404, nil, `{"message":"Cannot GET /v1/billing","error":"Not Found","statusCode":404}`, baseURL, "404: the answer is not in the API's format"},
		"405 page":         {405, nil, "<html>", baseURL, "405: the answer is not in the API's format"},
		"200 page":         {200, nil, "<!doctype html><title>Shop</title>", baseURL, "200: the answer is not in the API's format"},
		"301":              {301, http.Header{"Location": {"https://api.example/v1/billing?key=s3cret"}}, "", baseURL, "301: a redirect to https://api.example, and redirects are not followed"},
		"302 on the spot":  {302, http.Header{"Location": {"/login"}}, "", baseURL, "302: the answer is not in the API's format"},
		"307 to nonsense":  {307, http.Header{"Location": {"http://[bad"}}, "", baseURL, "307: the answer is not in the API's format"},
		"407":              {407, nil, "<html>", outage, "ask for the plan: 407: Proxy Authentication Required"},
		"429":              {429, nil, "<html>", outage, "ask for the plan: 429: Too Many Requests"},
		"500":              {500, nil, `{"message":"oh"}`, outage, "ask for the plan: 500: oh"},
		"502 page":         {502, nil, "<html>", outage, "ask for the plan: 502: Bad Gateway"},
		"522":              {522, nil, "", outage, "ask for the plan: 522: the API did not answer the gateway's connection"},
		"no data":          {200, nil, `{}`, outage, "ask for the plan: the answer has no data"},
		"garbage":          {200, nil, "\x00\xff{not JSON", outage, "ask for the plan: the answer does not have the documented format"},
		"other data":       {200, nil, `{"data":[]}`, outage, "ask for the plan: the answer does not have the documented format"},
		"byte order mark":  {200, nil, "\ufeff" + `{"data":{"tier":"free"}}`, "", ""},
		"what is not said": {200, nil, `{"data":{"tier":"free","max_concurrent_browsers":null}}`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				maps.Copy(w.Header(), c.header)
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			plan, err := newClient(t, config(server.URL)).Plan(t.Context())
			if got := kindOf(err); got != c.kind {
				t.Errorf("got %s, want %s", got, c.kind)
			}
			if c.kind == "" {
				if want := (anchor.Plan{Tier: "free"}); plan != want {
					t.Errorf("got %+v, want %+v", plan, want)
				}
			} else if got := err.Error(); got != c.words {
				t.Errorf("got %q, want %q", got, c.words)
			}
		})
	}
}

func kindOf(err error) string {
	if err == nil {
		return ""
	}
	if _, ok := errors.AsType[*anchor.RefusedError](err); ok {
		return "RefusedError"
	}
	if e, ok := errors.AsType[*anchor.NotTheAPIError](err); ok && e.Status != 0 {
		return "NotTheAPIError"
	}
	return "another error"
}
