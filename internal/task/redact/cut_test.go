package redact_test

import (
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/task/redact"
)

func TestASecretThatIsCutAtTheEndIsHidden(t *testing.T) {
	key := "-----BEGIN KEY-----\n" + strings.Repeat("abcdefgh", 500)
	secrets := redact.New(redact.Secret{Name: "KEY", Value: key}, redact.Secret{Name: "PIN", Value: "hunter2"})
	for text, want := range map[string]string{
		"bad key " + key[:300]:       "bad key [redacted:KEY]",
		"bad key " + key[:300] + "…": "bad key [redacted:KEY]…",
		"bad key " + key[:8]:         "bad key [redacted:KEY]",
		"bad key " + key[:7]:         "bad key " + key[:7],
		"bad key " + key[1:300]:      "bad key " + key[1:300], // Text is for what is whole, and this is not the beginning
		"a PIN hunter":               "a PIN hunter",
		"":                           "",
		"…":                          "…",
	} {
		if got := secrets.Cut(text); got != want {
			t.Errorf("%.60q: got %.80q, want %.80q", text, got, want)
		}
	}
}
