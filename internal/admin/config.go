package admin

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/capstan-worker/capstan/internal/settings"
)

// Config says where the admin server listens, and who may see more than the probes and the metrics.
type Config struct {
	Addr  string `split_words:"true" default:"127.0.0.1:8080" desc:"address of the admin server: /livez, /readyz, /metrics"`
	Token Token  `split_words:"true" desc:"if set, this bearer token is required for everything except probes and /metrics"`
}

// Validate returns a line for each mistake. It never shows the token.
func (c Config) Validate() []string {
	var mistakes settings.Mistakes
	mistakes.Require("ADMIN_ADDR", c.Addr, settings.IsAddress(c.Addr), `host:port or :port, such as "127.0.0.1:8080"`)
	mistakes.Require("ADMIN_TOKEN", c.Token, canBeBearer(c.Token), "printable ASCII without spaces or line breaks")
	return mistakes
}

// canBeBearer reports whether a token can be sent in the header Authorization. An empty one can: it is not used.
func canBeBearer(t Token) bool {
	return !strings.ContainsFunc(string(t), func(r rune) bool { return r <= ' ' || r >= unicode.MaxASCII })
}

// Token is what operators show to see more than the probes and the metrics. Whatever prints or encodes it
// gets [redacted]. Empty means that no token is required; then profiles are served only on a loopback
// address.
type Token string

// Format writes [redacted] in place of the token, whatever the verb. As everywhere in fmt, it ignores errors of the
// writer.
func (Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") }

// MarshalText keeps the token out of JSON and other encodings.
func (Token) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }
