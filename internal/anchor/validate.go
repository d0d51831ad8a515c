package anchor

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"

	"github.com/capstan-worker/capstan/internal/settings"
)

// Validate returns a line for each mistake: the variable, what it must be, and what it is. It never shows a key. It
// reads the key file if one is named.
func (c Config) Validate() []string {
	mistakes := settings.Mistakes(c.keyMistakes())
	want := wantBaseURL(c.BaseURL)
	mistakes.Require("ANCHORBROWSER_BASE_URL", hideUser(c.BaseURL), want == "", want)
	mistakes.Require("ANCHORBROWSER_REQUEST_TIMEOUT", c.RequestTimeout, c.RequestTimeout > 0, `a duration above 0, such as "30s"`)
	mistakes.Require("ANCHORBROWSER_RATE_LIMIT", c.RateLimit, c.RateLimit >= 0 && !math.IsInf(c.RateLimit, 1), "calls per second, or 0 for only the API's own limits")
	return mistakes
}

// keyMistakes returns at most one line.
func (c Config) keyMistakes() []string {
	switch {
	case c.APIKey == "" && c.APIKeyFile == "":
		return []string{"ANCHORBROWSER_API_KEY or ANCHORBROWSER_API_KEY_FILE must be set"}
	case c.APIKey != "" && c.APIKeyFile != "":
		return []string{fmt.Sprintf("ANCHORBROWSER_API_KEY must be empty if ANCHORBROWSER_API_KEY_FILE is set (to %q)", c.APIKeyFile)}
	case c.APIKeyFile != "":
		if _, err := readKey(c.APIKeyFile); err != nil {
			return []string{fmt.Sprintf("ANCHORBROWSER_API_KEY_FILE must be a readable file that holds only the key (got %q): %v", c.APIKeyFile, err)}
		}
	default:
		if _, err := parseKey(string(c.APIKey)); err != nil {
			return []string{fmt.Sprintf("ANCHORBROWSER_API_KEY must be only the key: %v", err)}
		}
	}
	return nil
}

// wantBaseURL says what the base URL must be. It returns "" if the paths of the calls can be appended to this one.
func wantBaseURL(base string) string {
	u, err := url.Parse(base)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" ||
		u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(base, "#"):
		return "an http or https URL with a host and without user, path, query or fragment, such as https://api.anchorbrowser.io"
	case !usablePort(u.Port()):
		return "a URL with a port from 1 to 65535, or without one"
	case u.Path != "" && u.Path != "/":
		return fmt.Sprintf("a URL without a path, such as %s://%s", u.Scheme, u.Host)
	}
	return ""
}

// usablePort reports whether a port can be connected to. An empty one is the default of the scheme.
func usablePort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && n > 0
}

// hideUser replaces everything before an @, which may be a password. The address need not be a URL.
func hideUser(address string) string {
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		return redacted + address[i:]
	}
	return address
}
