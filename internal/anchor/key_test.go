package anchor_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/capstan-worker/capstan/internal/anchor"
)

func discard() *log.Logger { return log.New(io.Discard, "", 0) }

func TestNothingPrintsTheKey(t *testing.T) {
	t.Parallel()
	const key = "sk-secret"
	cfg := config("http://127.0.0.1:1")
	client := newClient(t, cfg)
	fromJSON, err := json.Marshal(map[string]any{"cfg": cfg, "key": cfg.APIKey, string(cfg.APIKey[:0]): &cfg.APIKey})
	if err != nil {
		t.Fatalf("marshal: %v", err)
	}
	printed := []string{string(fromJSON)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		printed = append(printed, fmt.Sprintf(verb, cfg), fmt.Sprintf(verb, &cfg), fmt.Sprintf(verb, cfg.APIKey), fmt.Sprintf(verb, client))
	}
	printed = append(printed, cfg.APIKey.String(), cfg.APIKey.GoString(), strings.Join(cfg.Validate(), ""))
	for _, text := range printed {
		if strings.Contains(text, key) || strings.Contains(strings.ToLower(text), fmt.Sprintf("%x", key)) {
			t.Errorf("got %s, want no key in it", text)
		}
	}
	if got := fmt.Sprintf("%s %v", cfg.APIKey, anchor.Secret("")); got != "[redacted] " {
		t.Errorf("got %q, want %q", got, "[redacted] ")
	}
}

// keyFolder holds key files and a link to the one in use.
type keyFolder string

func (f keyFolder) link() string { return filepath.Join(string(f), "key") }

// write returns the name of a file that was changed so many seconds after 1970.
func (f keyFolder) write(t *testing.T, name, content string, changed int64) string {
	t.Helper()
	name = filepath.Join(string(f), name)
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatalf("write key: %v", err)
	}
	if err := os.Chtimes(name, time.Unix(changed, 0), time.Unix(changed, 0)); err != nil {
		t.Fatalf("date key: %v", err)
	}
	return name
}

func (f keyFolder) point(t *testing.T, target string) {
	t.Helper()
	_ = os.Remove(f.link())
	if err := os.Symlink(target, f.link()); err != nil {
		t.Fatalf("link key: %v", err)
	}
}

func TestKeyFileIsReadAgainWhenItChanges(t *testing.T) {
	t.Parallel()
	keys := make(chan string, 1)
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		keys <- r.Header.Get("Anchor-Api-Key")
		_, _ = io.WriteString(w, `{"data":{"status":"RUNNING"}}`)
	})
	folder := keyFolder(t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		folder.point(t, folder.write(t, "a", " key-1\n", 1))
		cfg := config(server.URL)
		cfg.APIKey, cfg.APIKeyFile = "", folder.link()
		client, err := anchor.New(cfg, "", prometheus.NewRegistry())
		if err != nil {
			t.Fatalf("new client: %v", err)
		}
		defer client.Close()
		// Time passes in the bubble only when nothing in it waits for the network.
		wait := func() {
			client.Close()
			<-time.After(time.Second)
		}
		sent := func(want string) {
			t.Helper()
			if _, err := client.Status(t.Context(), "w", 32<<20); err != nil {
				t.Fatalf("status: %v", err)
			}
			if got := <-keys; got != want {
				t.Errorf("got key %q, want %q", got, want)
			}
		}
		sent("key-1")
		folder.write(t, "a", "key-02", 1)
		sent("key-1") // looked at no more than once a second
		wait()
		sent("key-02") // the size alone changed
		folder.write(t, "a", "key-03", 2)
		wait()
		sent("key-03") // the time alone changed
		folder.point(t, folder.write(t, "b", "key-04", 2))
		wait()
		sent("key-04") // the file alone changed, as Kubernetes swaps it
		folder.write(t, "b", "two\nlines", 3)
		wait()
		sent("key-04")
		folder.point(t, "nowhere")
		wait()
		sent("key-04")
		folder.point(t, folder.write(t, "b", "key-5", 4))
		wait()
		sent("key-5")
	})
}

func TestMistakesNameTheVariableAndNotTheKey(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "key")
	for name, c := range map[string]struct {
		change func(*anchor.Config)
		want   string // empty: no mistake
	}{
		"none":              {func(*anchor.Config) {}, ""},
		"white space":       {func(c *anchor.Config) { c.APIKey = " sk-secret\n" }, ""},
		"path":              {func(c *anchor.Config) { c.BaseURL = "http://localhost:8080/anchor/" }, ""},
		"no key":            {func(c *anchor.Config) { c.APIKey = "" }, "ANCHORBROWSER_API_KEY is empty"},
		"two keys":          {func(c *anchor.Config) { c.APIKeyFile = missing }, "ANCHORBROWSER_API_KEY is set, and ANCHORBROWSER_API_KEY_FILE is"},
		"key with a line":   {func(c *anchor.Config) { c.APIKey = "sk-secret\r\nX: y" }, "ANCHORBROWSER_API_KEY is not a key"},
		"blank key":         {func(c *anchor.Config) { c.APIKey = " " }, "ANCHORBROWSER_API_KEY is not a key"},
		"no file":           {func(c *anchor.Config) { c.APIKey, c.APIKeyFile = "", missing }, `ANCHORBROWSER_API_KEY_FILE is "` + missing},
		"no scheme":         {func(c *anchor.Config) { c.BaseURL = "api.anchorbrowser.io" }, `ANCHORBROWSER_BASE_URL is "api.anchorbrowser.io"`},
		"other scheme":      {func(c *anchor.Config) { c.BaseURL = "ftp://example.com" }, "ANCHORBROWSER_BASE_URL is"},
		"no host":           {func(c *anchor.Config) { c.BaseURL = "https://:443" }, "ANCHORBROWSER_BASE_URL is"},
		"a query":           {func(c *anchor.Config) { c.BaseURL = "https://example.com?" }, "ANCHORBROWSER_BASE_URL is"},
		"a user":            {func(c *anchor.Config) { c.BaseURL = "https://sk-secret@example.com" }, `ANCHORBROWSER_BASE_URL is "[redacted]@example.com"`},
		"no timeout":        {func(c *anchor.Config) { c.RequestTimeout = 0 }, "ANCHORBROWSER_REQUEST_TIMEOUT is 0s"},
		"negative rate":     {func(c *anchor.Config) { c.RateLimit = -1 }, "ANCHORBROWSER_RATE_LIMIT is -1"},
		"rate of no number": {func(c *anchor.Config) { c.RateLimit = nan() }, "ANCHORBROWSER_RATE_LIMIT is NaN"},
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

func nan() float64 {
	var zero float64
	return zero / zero
}
