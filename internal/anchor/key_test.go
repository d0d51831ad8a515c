package anchor_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/capstan-worker/capstan/internal/anchor"
)

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

func TestInvalidKeyIsRefusedAtStart(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"double quotes":   `"sk-secret"`,
		"single quotes":   `'sk-secret'`,
		"backquotes":      "`sk-secret`",
		"one quote":       `sk-secret"`,
		"a quote inside":  `sk-"secret`,
		"assignment":      "ANCHORBROWSER_API_KEY=sk-secret",
		"variable":        "${ANCHOR_KEY}",
		"shell":           "$(cat sk-secret)",
		"placeholder":     "<sk-secret>",
		"template":        "{{sk-secret}}",
		"Bearer":          "Bearer sk-secret",
		"bearer":          "bearer sk-secret",
		"blank":           "sk- secret",
		"tab":             "sk-\tsecret",
		"two lines":       "sk-secret\nsk-secret-2",
		"literal newline": `sk-secret\n`,
		"byte order mark": "\ufeffsk-secret",
		"no ASCII":        "sk-sécret",
		"no-break space":  "sk-\u00a0secret",
		"zero byte":       "sk-secret\x00",
		"blanks alone":    " \n",
		"too long":        strings.Repeat("sk-secret", 500),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config("https://example.com")
			cfg.APIKey = anchor.Secret(text)
			wantMistake(t, cfg, "ANCHORBROWSER_API_KEY must be the key alone: it ")
			file := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatalf("write key: %v", err)
			}
			cfg.APIKey, cfg.APIKeyFile = "", file
			wantMistake(t, cfg, "ANCHORBROWSER_API_KEY_FILE must be a readable file with the key alone (got ")
		})
	}
	for _, text := range []string{"sk-secret", " sk-secret\r\n", "sk_live.0123/+:@~", "a"} {
		cfg := config("https://example.com")
		cfg.APIKey = anchor.Secret(text)
		wantMistake(t, cfg, "")
	}
}

// wantMistake checks that cfg has one mistake that begins with these words and does not contain the key, or none.
func wantMistake(t *testing.T, cfg anchor.Config, words string) {
	t.Helper()
	got := strings.Join(cfg.Validate(), "\n")
	if (got == "") != (words == "") || !strings.HasPrefix(got, words) || strings.Contains(got, "secret") || strings.Contains(got, "\n") {
		t.Errorf("got %q, want a line with %q at its beginning and no key", got, words)
	}
}

func TestKeyFileMustBeARegularFile(t *testing.T) {
	t.Parallel()
	cfg := config("https://example.com")
	cfg.APIKey, cfg.APIKeyFile = "", t.TempDir()
	wantMistake(t, cfg, "ANCHORBROWSER_API_KEY_FILE must be a readable file with the key alone (got ")
	pipe := filepath.Join(t.TempDir(), "key")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatalf("make pipe: %v", err)
	}
	cfg.APIKeyFile = pipe
	wantMistake(t, cfg, "ANCHORBROWSER_API_KEY_FILE must be a readable file with the key alone (got ")
}
