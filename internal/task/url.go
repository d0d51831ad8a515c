package task

import (
	"encoding/json"
	"net/url"
	"strings"
)

func checkURL(_ *Request, value json.RawMessage) error {
	text, err := stringIn(value)
	if err != nil {
		return err
	}
	const rule = "give an absolute URL that begins with http:// or https://"
	u, err := url.Parse(lenient(text))
	if err != nil {
		return &fault{rule: "cannot be read as a URL; " + rule} // not shown: it may hold a password
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return &fault{holds: u.Redacted(), rule: rule}
	}
	return nil
}

// lenient returns a URL as a browser reads it: without the blanks and control characters around it, and with a % that begins no
// escape as a character like any other, but for one in the host (WHATWG URL, 4.4). The API gets the URL as it was written.
func lenient(text string) string {
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
