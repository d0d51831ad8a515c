package anchor

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
)

// Validate returns a line for each mistake: the variable, what it holds (never a key) and what would do.
// It reads the key file where one is named.
func (c Config) Validate() []string {
	var mistakes []string
	note := func(format string, args ...any) { mistakes = append(mistakes, fmt.Sprintf(format, args...)) }
	if mistake := c.keyMistake(); mistake != "" {
		note("%s", mistake)
	}
	if mistake := baseMistake(c.BaseURL); mistake != "" {
		note("ANCHORBROWSER_BASE_URL is %q: %s", hideUser(c.BaseURL), mistake)
	}
	if c.RequestTimeout <= 0 {
		note("ANCHORBROWSER_REQUEST_TIMEOUT is %v: set a time above 0, such as 30s", c.RequestTimeout)
	}
	if !(c.RateLimit >= 0) || math.IsInf(c.RateLimit, 1) {
		note("ANCHORBROWSER_RATE_LIMIT is %v: set calls per second, or 0 for no limit of your own", c.RateLimit)
	}
	return mistakes
}

func (c Config) keyMistake() string {
	switch {
	case c.APIKey == "" && c.APIKeyFile == "":
		return "ANCHORBROWSER_API_KEY is empty, and so is ANCHORBROWSER_API_KEY_FILE: set one of them"
	case c.APIKey != "" && c.APIKeyFile != "":
		return fmt.Sprintf("ANCHORBROWSER_API_KEY is set, and ANCHORBROWSER_API_KEY_FILE is %q: set one of them", c.APIKeyFile)
	case c.APIKeyFile != "":
		if _, err := readKey(c.APIKeyFile); err != nil {
			return fmt.Sprintf("ANCHORBROWSER_API_KEY_FILE is %q: name a readable file that holds the key alone (%v)", c.APIKeyFile, err)
		}
	default:
		if _, err := parseKey(string(c.APIKey)); err != nil {
			return fmt.Sprintf("ANCHORBROWSER_API_KEY is not a key (%v): set the key alone", err)
		}
	}
	return ""
}

// baseMistake says what would do in place of the base URL, or "" if the paths of the calls can be put behind it.
func baseMistake(base string) string {
	u, err := url.Parse(base)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" ||
		u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(base, "#"):
		return "set an http or https URL with a host and without user, path, query or fragment, such as https://api.anchorbrowser.io"
	case !usablePort(u.Port()):
		return "set a port from 1 to 65535, or none"
	case u.Path != "" && u.Path != "/":
		return fmt.Sprintf("set it without a path, as %s://%s", u.Scheme, u.Host)
	}
	return ""
}

// usablePort reports whether a port can be connected to. Empty is the scheme's.
func usablePort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && n > 0
}

// hideUser takes what stands before an @, which may be a password, out of an address that may be no URL.
func hideUser(address string) string {
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		return redacted + address[i:]
	}
	return address
}
