package streams

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode"

	"github.com/capstan-worker/capstan/internal/task"
)

// SettingRule is what a variable of the environment must be. As a line it reads "Variable must be Want (got Got)".
type SettingRule struct {
	Variable string
	Got      any // prints as it may be shown
	OK       bool
	Want     string // completes "Variable must be"
}

// Validate returns a line for each rule on a setting that is violated. It names the variable, what it must be and what
// it is, but shows no secret.
func (c NATSConfig) Validate() []string {
	var mistakes []string
	for _, r := range c.Rules() {
		if !r.OK {
			mistakes = append(mistakes, fmt.Sprintf("%s must be %s (got %.100q)", r.Variable, r.Want, fmt.Sprint(r.Got)))
		}
	}
	return mistakes
}

// Rules returns the rules on the settings, kept or not, in the order of the settings. A variable may have several rules.
// Rules reads the files that the settings name, because a login that can never work should stop a worker at its start.
func (c NATSConfig) Rules() []SettingRule {
	const login = "a value that has no line ends, and no blanks around it"
	const certificates = "a PEM file with a certificate"
	return slices.Concat(
		[]SettingRule{
			{"NATS_URL", task.Secret(c.URL), areServers(c.URL), "nats://host:port, or several of them separated by commas"},
			{"NATS_URL", task.Secret(c.URL), haveValidLogins(c.URL), "a list of servers whose users and passwords have no line ends, and no blanks around them"},
		},
		fileRules("NATS_CREDS_FILE", c.CredsFile, isCredentials, "a file with a user's JWT and NKey seed, as `nsc generate creds` writes it"),
		fileRules("NATS_NKEY_SEED_FILE", c.NkeySeedFile, isSeed, "a file with the seed of a user's NKey, which begins with SU"),
		[]SettingRule{
			{"NATS_USER", c.User, isLogin(c.User), login},
			{"NATS_PASSWORD", c.Password, isLogin(string(c.Password)), login},
			{"NATS_TOKEN", c.Token, isLogin(string(c.Token)), login},
			{"NATS_PASSWORD", c.Password, c.Password == "" || c.User != "", "set together with NATS_USER"},
		},
		c.loginRules(),
		fileRules("NATS_TLS_CA_FILE", c.TLS.CAFile, isCertificate, certificates),
		fileRules("NATS_TLS_CERT_FILE", c.TLS.CertFile, isCertificate, certificates),
		fileRules("NATS_TLS_KEY_FILE", c.TLS.KeyFile, isKeyOf(c.TLS.CertFile), "a PEM file with the private key of the certificate in NATS_TLS_CERT_FILE"),
		[]SettingRule{
			{"NATS_TLS_KEY_FILE", c.TLS.KeyFile, (c.TLS.KeyFile == "") == (c.TLS.CertFile == ""), "set together with NATS_TLS_CERT_FILE"},
			{"NATS_INBOX_PREFIX", c.InboxPrefix, c.InboxPrefix == "" || IsSubject(c.InboxPrefix), "a subject without wildcards"},
			{"NATS_JS_DOMAIN", c.JSDomain, c.JSDomain == "" || IsName(c.JSDomain), "a name without spaces, dots, slashes and wildcards"},
			{"NATS_REPLICAS", c.Replicas, c.Replicas >= 1 && c.Replicas <= 5, "a whole number from 1 to 5"},
		},
	)
}

// fileRules are those on a setting that names a file. Both are kept if it names none, and isValid is not asked about a
// file that cannot be read.
func fileRules(variable, name string, isValid func([]byte) bool, want string) []SettingRule {
	text, err := readOptional(name)
	return []SettingRule{
		{variable, name, err == nil, "a file that the worker can read"},
		{variable, name, name == "" || err != nil || isValid(text), want},
	}
}

// readOptional reads a file. Without a name it returns nothing and no error.
func readOptional(name string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	return os.ReadFile(name)
}

// loginRules say that no more than one setting has a login. With several, the client would use one of them and ignore the
// others. The first one is taken to be intended.
func (c NATSConfig) loginRules() []SettingRule {
	used := ""
	var rules []SettingRule
	for _, login := range []struct {
		variable string
		value    any
		isSet    bool
	}{
		{"NATS_URL", task.Secret(c.URL), strings.Contains(c.URL, "@")},
		{"NATS_CREDS_FILE", c.CredsFile, c.CredsFile != ""},
		{"NATS_NKEY_SEED_FILE", c.NkeySeedFile, c.NkeySeedFile != ""},
		{"NATS_USER", c.User, c.User != ""},
		{"NATS_TOKEN", c.Token, c.Token != ""},
	} {
		if login.isSet {
			rules = append(rules, SettingRule{login.variable, login.value, used == "", "empty if " + used + " has a login: set only one of them"})
			used = cmp.Or(used, login.variable)
		}
	}
	return rules
}

// areServers reports whether a text is a list of addresses to which the NATS client can connect.
func areServers(list string) bool {
	for server := range strings.SplitSeq(list, ",") {
		u, err := parseServer(server)
		if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return false
		}
	}
	return true
}

// IsName reports whether s is a valid name of a stream or consumer, by the rules of the NATS server.
func IsName(s string) bool { return s != "" && !strings.ContainsFunc(s, isForbidden) }

// isForbidden reports whether a character may not be in a name: the server uses names in subjects and as directories.
func isForbidden(r rune) bool {
	return unicode.IsSpace(r) || !unicode.IsPrint(r) || strings.ContainsRune(`.*>/\`, r)
}

// IsSubject reports whether s is a subject without wildcards. Each token is a valid name, or has slashes besides.
func IsSubject(s string) bool {
	for token := range strings.SplitSeq(s, ".") {
		if !IsName(strings.NewReplacer("/", "_", `\`, "_").Replace(token)) {
			return false
		}
	}
	return true
}
