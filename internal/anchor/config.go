package anchor

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// Secret is a setting that prints as [redacted].
type Secret = task.Secret

// redacted stands for a secret in a text.
const redacted = "[redacted]"

// Config says where the API is and how it may be used. Its tags are for envconfig with the prefix ANCHORBROWSER.
type Config struct {
	APIKey         Secret        `split_words:"true" desc:"the API key; or set ANCHORBROWSER_API_KEY_FILE"`
	APIKeyFile     string        `split_words:"true" desc:"file with the API key; read again when it changes"`
	BaseURL        string        `split_words:"true" default:"https://api.anchorbrowser.io" desc:"base URL of the API, without a path"`
	RequestTimeout time.Duration `split_words:"true" default:"30s" desc:"maximum time for one HTTP call"`
	RateLimit      float64       `split_words:"true" default:"0" desc:"calls per second of this worker; 0: only the API's own limits"`
}

// Validate returns one line for each invalid setting: the variable, the rule and the value, but never a key. It reads
// the key file if APIKeyFile is set.
func (c Config) Validate() []string {
	var mistakes []string
	for _, mistake := range []string{c.keyMistake(), c.urlMistake(), c.timeoutMistake(), c.rateMistake()} {
		if mistake != "" {
			mistakes = append(mistakes, mistake)
		}
	}
	return mistakes
}

// keyMistake allows exactly one of the two settings, and that one must hold a usable key.
func (c Config) keyMistake() string {
	switch {
	case c.APIKey == "" && c.APIKeyFile == "":
		return "set ANCHORBROWSER_API_KEY or ANCHORBROWSER_API_KEY_FILE"
	case c.APIKey != "" && c.APIKeyFile != "":
		return "set only one of ANCHORBROWSER_API_KEY and ANCHORBROWSER_API_KEY_FILE"
	case c.APIKeyFile != "":
		if _, err := readKey(c.APIKeyFile); err != nil {
			return fmt.Sprintf("ANCHORBROWSER_API_KEY_FILE must be a readable file with the key alone (got %q: %v)", c.APIKeyFile, err)
		}
	default:
		if _, err := parseKey(string(c.APIKey)); err != nil {
			return fmt.Sprintf("ANCHORBROWSER_API_KEY must be the key alone: %v", err)
		}
	}
	return ""
}

// urlMistake accepts a base URL only if the paths of the calls can be appended to it. The documented base
// URL has no path; one with /v1 would repeat it in every call.
func (c Config) urlMistake() string {
	u, err := url.Parse(c.BaseURL)
	var rule string
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" ||
		u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(c.BaseURL, "#"):
		rule = "an http or https URL with a host and without user, path, query or fragment, such as https://api.anchorbrowser.io"
	case !isPort(u.Port()):
		rule = "a URL with a port from 1 to 65535, or without a port"
	case u.Path != "" && u.Path != "/":
		rule = fmt.Sprintf("a URL without a path, such as %s://%s", u.Scheme, u.Host)
	default:
		return ""
	}
	return fmt.Sprintf("ANCHORBROWSER_BASE_URL must be %s (got %q)", rule, redactUser(c.BaseURL))
}

// isPort reports whether a client can connect to the port. An empty one is the default port of the scheme.
func isPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && n > 0
}

// redactUser hides everything before an @, because it may be a password. The address need not be a valid URL.
func redactUser(address string) string {
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		return redacted + address[i:]
	}
	return address
}

// timeoutMistake refuses 0 and less, which would end every call before it begins.
func (c Config) timeoutMistake() string {
	if c.RequestTimeout > 0 {
		return ""
	}
	return fmt.Sprintf("ANCHORBROWSER_REQUEST_TIMEOUT must be a duration above 0, such as 30s (got %v)", c.RequestTimeout)
}

// rateMistake refuses negative numbers, infinity and NaN, all of which strconv.ParseFloat accepts.
func (c Config) rateMistake() string {
	if c.RateLimit >= 0 && !math.IsInf(c.RateLimit, 1) { // false for NaN
		return ""
	}
	return fmt.Sprintf("ANCHORBROWSER_RATE_LIMIT must be a number of calls per second, or 0 for no limit of your own (got %v)", c.RateLimit)
}
