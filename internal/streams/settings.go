package streams

import (
	"os"
	"slices"
	"strings"
	"unicode"

	"github.com/capstan-worker/capstan/internal/task"
)

// SettingRule is what a variable of the environment has to keep.
type SettingRule struct {
	Variable string
	Holds    any // prints as it may be shown
	OK       bool
	Want     string // what would do
}

// Rules returns the rules on NATS' settings. It looks whether the files that are named can be read.
func (c NATSConfig) Rules() []SettingRule {
	const file = "a file that the worker may read"
	const login = "a value without blanks or line ends around it"
	const certificates = "a PEM file with a certificate"
	logins := c.logins()
	return []SettingRule{
		{"NATS_URL", task.Secret(c.URL), areServers(c.URL), "nats://host:port, with commas between several"},
		{"NATS_URL", task.Secret(c.URL), areLogins(c.URL), "users and passwords without blanks or line ends around them"},
		{"NATS_CREDS_FILE", c.CredsFile, isReadable(c.CredsFile), file},
		{"NATS_CREDS_FILE", c.CredsFile, holdsCredentials(c.CredsFile), "a file with a user's JWT and NKey seed, as `nsc generate creds` writes it"},
		{"NATS_NKEY_SEED_FILE", c.NkeySeedFile, isReadable(c.NkeySeedFile), file},
		{"NATS_NKEY_SEED_FILE", c.NkeySeedFile, holdsSeed(c.NkeySeedFile), "a file with the seed of a user's NKey, which begins with SU"},
		{"NATS_USER", c.User, isLogin(c.User), login},
		{"NATS_PASSWORD", c.Password, isLogin(string(c.Password)), login},
		{"NATS_TOKEN", c.Token, isLogin(string(c.Token)), login},
		{"NATS_PASSWORD", c.Password, c.Password == "" || c.User != "", "set together with NATS_USER"},
		{"the login to NATS", strings.Join(logins, " and "), len(logins) <= 1, "one of them, or none"},
		{"NATS_TLS_CA_FILE", c.TLS.CAFile, isReadable(c.TLS.CAFile), file},
		{"NATS_TLS_CA_FILE", c.TLS.CAFile, holdsCertificate(c.TLS.CAFile), certificates},
		{"NATS_TLS_CERT_FILE", c.TLS.CertFile, isReadable(c.TLS.CertFile), file},
		{"NATS_TLS_CERT_FILE", c.TLS.CertFile, holdsCertificate(c.TLS.CertFile), certificates},
		{"NATS_TLS_KEY_FILE", c.TLS.KeyFile, isKeyOf(c.TLS.CertFile, c.TLS.KeyFile), "a PEM file with the private key of the certificate in NATS_TLS_CERT_FILE"},
		{"NATS_TLS_KEY_FILE", c.TLS.KeyFile, isReadable(c.TLS.KeyFile), file},
		{"NATS_TLS_KEY_FILE", c.TLS.KeyFile, (c.TLS.KeyFile == "") == (c.TLS.CertFile == ""), "set together with NATS_TLS_CERT_FILE"},
		{"NATS_INBOX_PREFIX", c.InboxPrefix, c.InboxPrefix == "" || IsSubject(c.InboxPrefix), "a subject without wildcards"},
		{"NATS_JS_DOMAIN", c.JSDomain, c.JSDomain == "" || IsName(c.JSDomain), "a name without spaces, dots, slashes and wildcards"},
		{"NATS_REPLICAS", c.Replicas, c.Replicas >= 1 && c.Replicas <= 5, "a whole number from 1 to 5"},
	}
}

// logins names the variables that each say who the worker is.
func (c NATSConfig) logins() []string {
	var set []string
	for _, login := range []struct {
		variable string
		isSet    bool
	}{
		{"NATS_URL (with a user)", strings.Contains(c.URL, "@")},
		{"NATS_CREDS_FILE", c.CredsFile != ""},
		{"NATS_NKEY_SEED_FILE", c.NkeySeedFile != ""},
		{"NATS_USER", c.User != ""},
		{"NATS_TOKEN", c.Token != ""},
	} {
		if login.isSet {
			set = append(set, login.variable)
		}
	}
	return set
}

func areServers(list string) bool {
	for server := range strings.SplitSeq(list, ",") {
		u, err := parseServer(server)
		if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return false
		}
	}
	return true
}

// isReadable is true of an absent name.
func isReadable(name string) bool {
	if name == "" {
		return true
	}
	_, err := os.ReadFile(name)
	return err == nil
}

// IsName reports whether s keeps the server's rule for the names of streams and consumers.
func IsName(s string) bool { return s != "" && !strings.ContainsFunc(s, isForbidden) }

func isForbidden(r rune) bool {
	return unicode.IsSpace(r) || !unicode.IsPrint(r) || strings.ContainsRune(`.*>/\`, r)
}

// IsSubject reports whether each token of s could be a name, but for the slashes.
func IsSubject(s string) bool {
	for token := range strings.SplitSeq(s, ".") {
		if !IsName(strings.NewReplacer("/", "_", `\`, "_").Replace(token)) {
			return false
		}
	}
	return true
}
