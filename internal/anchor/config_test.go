package anchor_test

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/capstan-worker/capstan/internal/anchor"
)

func TestMistakesNameTheVariableButNotTheKey(t *testing.T) {
	t.Parallel()
	const wantURL = "ANCHORBROWSER_BASE_URL must be an http or https URL with a host and without user, path, query or fragment, such as https://api.anchorbrowser.io"
	missing := filepath.Join(t.TempDir(), "key")
	for name, c := range map[string]struct {
		change func(*anchor.Config)
		want   string // empty: no mistake
	}{
		"none":              {func(*anchor.Config) {}, ""},
		"white space":       {func(c *anchor.Config) { c.APIKey = " sk-secret\n" }, ""},
		"slash":             {func(c *anchor.Config) { c.BaseURL = "http://localhost:8080/" }, ""},
		"IPv6":              {func(c *anchor.Config) { c.BaseURL = "http://[::1]:8080" }, ""},
		"v1":                {func(c *anchor.Config) { c.BaseURL = "https://api.example/v1" }, `ANCHORBROWSER_BASE_URL must be a URL without a path, such as https://api.example (got "https://api.example/v1")`},
		"v1 and a slash":    {func(c *anchor.Config) { c.BaseURL = "https://api.example/v1/" }, `ANCHORBROWSER_BASE_URL must be a URL without a path, such as https://api.example (got "https://api.example/v1/")`},
		"path of the call":  {func(c *anchor.Config) { c.BaseURL = "https://api.example:444/v1/tools/perform-web-task" }, `ANCHORBROWSER_BASE_URL must be a URL without a path, such as https://api.example:444 (got "https://api.example:444/v1/tools/perform-web-task")`},
		"other path":        {func(c *anchor.Config) { c.BaseURL = "http://localhost:8080/anchor/" }, "ANCHORBROWSER_BASE_URL must be"},
		"two slashes":       {func(c *anchor.Config) { c.BaseURL = "http://localhost:8080//" }, "ANCHORBROWSER_BASE_URL must be"},
		"path and a query":  {func(c *anchor.Config) { c.BaseURL = "http://localhost:8080/v1?a=b" }, "ANCHORBROWSER_BASE_URL must be"},
		"port 0":            {func(c *anchor.Config) { c.BaseURL = "http://localhost:0" }, "ANCHORBROWSER_BASE_URL must be"},
		"port 65536":        {func(c *anchor.Config) { c.BaseURL = "http://localhost:65536" }, "ANCHORBROWSER_BASE_URL must be"},
		"a line end":        {func(c *anchor.Config) { c.BaseURL = "https://example.com\n" }, "ANCHORBROWSER_BASE_URL must be"},
		"quotes":            {func(c *anchor.Config) { c.BaseURL = `"https://example.com"` }, "ANCHORBROWSER_BASE_URL must be"},
		"no key":            {func(c *anchor.Config) { c.APIKey = "" }, "set ANCHORBROWSER_API_KEY or ANCHORBROWSER_API_KEY_FILE"},
		"two keys":          {func(c *anchor.Config) { c.APIKeyFile = missing }, "set only one of ANCHORBROWSER_API_KEY and ANCHORBROWSER_API_KEY_FILE"},
		"key with a line":   {func(c *anchor.Config) { c.APIKey = "sk-secret\r\nX: y" }, "ANCHORBROWSER_API_KEY must be the key alone: it "},
		"blank key":         {func(c *anchor.Config) { c.APIKey = " " }, "ANCHORBROWSER_API_KEY must be the key alone: it "},
		"no file":           {func(c *anchor.Config) { c.APIKey, c.APIKeyFile = "", missing }, `ANCHORBROWSER_API_KEY_FILE must be a readable file with the key alone (got "` + missing},
		"no scheme":         {func(c *anchor.Config) { c.BaseURL = "api.anchorbrowser.io" }, wantURL + ` (got "api.anchorbrowser.io")`},
		"other scheme":      {func(c *anchor.Config) { c.BaseURL = "ftp://example.com" }, "ANCHORBROWSER_BASE_URL must be"},
		"no host":           {func(c *anchor.Config) { c.BaseURL = "https://:443" }, "ANCHORBROWSER_BASE_URL must be"},
		"a query":           {func(c *anchor.Config) { c.BaseURL = "https://example.com?" }, "ANCHORBROWSER_BASE_URL must be"},
		"a user":            {func(c *anchor.Config) { c.BaseURL = "https://sk-secret@example.com" }, wantURL + ` (got "[redacted]@example.com")`},
		"no timeout":        {func(c *anchor.Config) { c.RequestTimeout = 0 }, "ANCHORBROWSER_REQUEST_TIMEOUT must be a duration above 0, such as 30s (got 0s)"},
		"negative rate":     {func(c *anchor.Config) { c.RateLimit = -1 }, "ANCHORBROWSER_RATE_LIMIT must be a number of calls per second, or 0 for no limit of your own (got -1)"},
		"rate of no number": {func(c *anchor.Config) { c.RateLimit = math.NaN() }, "ANCHORBROWSER_RATE_LIMIT must be a number of calls per second, or 0 for no limit of your own (got NaN)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config("https://example.com")
			c.change(&cfg)
			got := strings.Join(cfg.Validate(), "\n")
			if (got == "") != (c.want == "") || !strings.HasPrefix(got, c.want) || strings.Contains(got, "sk-secret") {
				t.Errorf("got %q, want %q at its beginning and no key", got, c.want)
			}
			if _, err := anchor.New(cfg, "", prometheus.NewRegistry()); (err == nil) != (c.want == "") {
				t.Errorf("new client: got error %v", err)
			}
		})
	}
}
