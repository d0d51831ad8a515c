package admin

import (
	"fmt"
	"io"
)

// Config says where operators find the worker.
type Config struct {
	Addr  string `split_words:"true" default:"127.0.0.1:8080" desc:"/livez, /readyz, /metrics"`
	Token Token  `split_words:"true" desc:"when set, everything but the probes and /metrics asks for it"`
}

// Token is what operators show to see more than the probes and the metrics. It prints as [redacted].
type Token string

// Format writes [redacted] in place of the token, whatever the verb. Errors of the writer are lost, as
// everywhere in fmt.
func (Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") }

// MarshalText keeps the token out of JSON and other encodings.
func (Token) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }
