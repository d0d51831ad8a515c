package task

import (
	"encoding/json"
	"net/url"
	"strings"

	"github.com/capstan-worker/capstan/internal/task/redact"
)

// maxHost is the length of the longest host that a record keeps, in bytes: that of the longest DNS name.
const maxHost = 253

// readURL accepts a URL that a browser would open over HTTP, and takes its host. The error shows no password.
func (r *Request) readURL(value json.RawMessage) error {
	text, err := stringIn(value)
	if err != nil {
		return err
	}
	const rule = "must be an absolute URL that begins with http:// or https://"
	u, err := url.Parse(asBrowserReads(text))
	if err != nil {
		// The text is not shown: a URL that cannot be parsed may hold a password that cannot be found.
		return &violation{rule: rule}
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return &violation{rule: rule, got: u.Redacted()}
	}
	if host := strings.ToValidUTF8(strings.ToLower(u.Hostname()), "\ufffd"); len(host) <= maxHost {
		r.Host = host
	}
	return nil
}

// hideHost leaves the host out if it holds one of the secrets, in any case of letters: records and dead letters show it.
func (r *Request) hideHost(secrets []redact.Secret) {
	if r.Host == "" || len(secrets) == 0 {
		return
	}
	var lower []redact.Secret
	for _, s := range secrets {
		if len(s.Value) <= len(r.Host) { // a longer one, of up to a megabyte, cannot be in it
			lower = append(lower, redact.Secret{Name: s.Name, Value: strings.ToLower(s.Value)})
		}
	}
	if redact.New(lower...).Text(r.Host) != r.Host {
		r.Host = ""
	}
}

// asBrowserReads returns a URL as a browser reads it (WHATWG URL, 4.4): without the blanks and control characters around
// it, and with %25 in the place of a % that does not begin an escape, except in the host. The API gets the URL as it was
// written.
func asBrowserReads(text string) string {
	text = strings.TrimFunc(text, func(r rune) bool { return r <= ' ' })
	var b strings.Builder
	if scheme, rest, ok := strings.Cut(text, "://"); ok {
		host := len(rest)
		if end := strings.IndexAny(rest, "/?#"); end >= 0 {
			host = end
		}
		b.WriteString(scheme + "://" + rest[:host])
		text = rest[host:]
	}
	for {
		before, after, found := strings.Cut(text, "%")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteByte('%')
		if len(after) < 2 || strings.Trim(after[:2], "0123456789abcdefABCDEF") != "" {
			b.WriteString("25")
		}
		text = after
	}
}
