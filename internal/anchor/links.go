package anchor

import (
	"net/url"
	"regexp"
	"strings"
)

// withoutLinks removes what gives control over a browser from a text of the API. Of a link it keeps scheme and host: a cdp_url
// has the API key in its query, and who has a live_view_url can use the browser. A text that names either of them is removed
// as a whole, because its links may be spelled in any way.
func withoutLinks(text string) string {
	lower := strings.ToLower(text)
	if strings.Contains(lower, "cdp_url") || strings.Contains(lower, "live_view") {
		return redacted
	}
	if !strings.Contains(lower, ":/") && !strings.Contains(lower, `:\/`) {
		return text
	}
	// A JSON text may have a backslash before each slash.
	link := regexp.MustCompile(`(?i)\b[a-z][a-z0-9+.-]*:(?:\\?/){2}[^\s"'<>]*`)
	return truncate(link.ReplaceAllStringFunc(text, func(found string) string {
		u, err := url.Parse(strings.ReplaceAll(found, `\`, ""))
		if err != nil || u.Host == "" {
			return redacted
		}
		if u.User == nil && strings.Trim(u.Path, "/") == "" && u.RawQuery == "" && u.Fragment == "" {
			return found
		}
		return u.Scheme + "://" + u.Host + "/" + redacted
	}))
}
