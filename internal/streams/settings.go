package streams

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode"

	"github.com/capstan-worker/capstan/internal/settings"
	"github.com/capstan-worker/capstan/internal/task"
)

// Validate returns a line for each mistake in the settings of NATS and in the names of streams, subjects, consumer and
// buckets. It never shows a login.
func (c Config) Validate() []string {
	mistakes := settings.Mistakes(c.NATS.Validate())
	const name = "a name without spaces, dots, slashes or wildcards"
	const subject = "a subject without spaces or wildcards"
	const bucket = "letters, digits, _ and - only"
	mistakes.Require("REQUEST_STREAM", c.Requests.Name, isName(c.Requests.Name), name)
	mistakes.Require("REQUEST_SUBJECT", c.Requests.Subject, isSubject(c.Requests.Subject), subject)
	mistakes.Require("RESULT_STREAM", c.Results.Name, isName(c.Results.Name), name)
	mistakes.Require("RESULT_STREAM", c.Results.Name, c.Results.Name != c.Requests.Name, "different from REQUEST_STREAM")
	mistakes.Require("RESULT_SUBJECT", c.Results.Subject, isSubject(c.Results.Subject), subject)
	mistakes.Require("RESULT_SUBJECT", c.Results.Subject, c.Results.Subject != c.Requests.Subject, "different from REQUEST_SUBJECT")
	mistakes.Require("RESULT_BUCKET", c.Large, isBucket(c.Large), bucket)
	mistakes.Require("DEAD_STREAM", c.Dead.Name, isName(c.Dead.Name), name)
	mistakes.Require("DEAD_STREAM", c.Dead.Name, c.Dead.Name != c.Requests.Name && c.Dead.Name != c.Results.Name, "different from REQUEST_STREAM and RESULT_STREAM")
	mistakes.Require("DEAD_SUBJECT", c.Dead.Subject, isSubject(c.Dead.Subject), subject)
	mistakes.Require("DEAD_SUBJECT", c.Dead.Subject, c.Dead.Subject != c.Requests.Subject && c.Dead.Subject != c.Results.Subject, "different from REQUEST_SUBJECT and RESULT_SUBJECT")
	mistakes.Require("TRACKER_BUCKET", c.Tracker, isBucket(c.Tracker), bucket)
	mistakes.Require("CONTROL_BUCKET", c.Control, isBucket(c.Control), bucket)
	mistakes.Require("CONTROL_BUCKET", c.Control, c.Control != c.Tracker, "different from TRACKER_BUCKET")
	mistakes.Require("CONSUMER", c.Consumer, isName(c.Consumer), name)
	return mistakes
}

// Validate returns a line for each mistake. It reads the files that the settings name, because a login that can never
// work should stop a worker at its start. It never shows a login.
func (c NATSConfig) Validate() []string {
	const login = "a value without spaces or line breaks around it"
	const certificates = "a PEM file with a certificate"
	var mistakes settings.Mistakes
	if logins := c.logins(); len(logins) > 1 {
		mistakes = append(mistakes, "set only one of "+strings.Join(logins, " and "))
	}
	mistakes.Require("NATS_URL", task.Secret(c.URL), areServers(c.URL), "nats://host:port, or several of these separated by commas")
	mistakes.Require("NATS_URL", task.Secret(c.URL), haveValidLogins(c.URL), "an address whose user and password have no spaces or line breaks around them")
	credsVariable, creds := c.credentials()
	mistakes.Require("NATS_CREDS", c.Creds, c.Creds == "" || c.Creds == creds, "the same file as NATS_CREDS_FILE, or not be set")
	requireFile(&mistakes, credsVariable, creds, isCredentials, "a file with a user's JWT and NKey seed, as `nsc generate creds` writes it")
	requireFile(&mistakes, "NATS_NKEY_SEED_FILE", c.NkeySeedFile, isSeed, "a file with the seed of a user's NKey, which begins with SU")
	mistakes.Require("NATS_USER", c.User, isLogin(c.User), login)
	mistakes.Require("NATS_PASSWORD", c.Password, isLogin(string(c.Password)), login)
	mistakes.Require("NATS_TOKEN", c.Token, isLogin(string(c.Token)), login)
	mistakes.Require("NATS_PASSWORD", c.Password, c.Password == "" || c.User != "", "set together with NATS_USER")
	requireFile(&mistakes, "NATS_TLS_CA_FILE", c.TLS.CAFile, isCertificate, certificates)
	requireFile(&mistakes, "NATS_TLS_CERT_FILE", c.TLS.CertFile, isCertificate, certificates)
	requireFile(&mistakes, "NATS_TLS_KEY_FILE", c.TLS.KeyFile, isKeyOf(c.TLS.CertFile), "a PEM file with the private key of the certificate in NATS_TLS_CERT_FILE")
	mistakes.Require("NATS_TLS_KEY_FILE", c.TLS.KeyFile, (c.TLS.KeyFile == "") == (c.TLS.CertFile == ""), "set together with NATS_TLS_CERT_FILE")
	mistakes.Require("NATS_INBOX_PREFIX", c.InboxPrefix, c.InboxPrefix == "" || isSubject(c.InboxPrefix), "a subject without wildcards")
	mistakes.Require("NATS_JS_DOMAIN", c.JSDomain, c.JSDomain == "" || isName(c.JSDomain), "a name without spaces, dots, slashes or wildcards")
	mistakes.RequireBetween("NATS_REPLICAS", c.Replicas, 1, maxReplicas)
	return mistakes
}

// requireFile adds a line if a setting names a file that cannot be read, or whose text is not valid.
func requireFile(mistakes *settings.Mistakes, variable, name string, isValid func([]byte) bool, want string) {
	text, err := readOptional(name)
	if err != nil {
		if pathError, ok := errors.AsType[*os.PathError](err); ok {
			err = pathError.Err // without the name
		}
		*mistakes = append(*mistakes, fmt.Sprintf("%s: cannot read %q: %v", variable, name, err))
		return
	}
	mistakes.Require(variable, name, name == "" || isValid(text), want)
}

// readOptional reads a file. Without a name it returns nothing and no error, because the setting is
// optional.
func readOptional(name string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	return os.ReadFile(name)
}

// logins returns the variables that are set and that each are a way to log in. With several, the client would use one of
// them and ignore the others.
func (c NATSConfig) logins() []string {
	var set []string
	credsVariable, creds := c.credentials()
	for _, login := range []struct {
		variable string
		isSet    bool
	}{
		{"NATS_URL (with a user)", strings.Contains(c.URL, "@")},
		{credsVariable, creds != ""},
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

// areServers reports whether a list holds addresses of NATS servers, with commas between them. The schemes
// are those of the NATS client; an address without one is a nats address.
func areServers(list string) bool {
	for server := range strings.SplitSeq(list, ",") {
		u, err := parseServer(server)
		if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return false
		}
	}
	return true
}

// isName reports whether s can be the name of a stream or a consumer: it is not empty, and each of its
// characters may be part of a subject and of a file name.
func isName(s string) bool { return s != "" && !strings.ContainsFunc(s, isForbidden) }

// maxReplicas is the server's limit for a stream.
const maxReplicas = 5

// isForbidden reports whether a character cannot be in the name of a stream: it separates tokens of a subject, is a
// wildcard, or cannot be in the name of a folder.
func isForbidden(r rune) bool {
	return unicode.IsSpace(r) || !unicode.IsPrint(r) || strings.ContainsRune(`.*>/\`, r)
}

// isSubject reports whether s is a subject without wildcards: its tokens could be names, except that they may have slashes.
func isSubject(s string) bool {
	for token := range strings.SplitSeq(s, ".") {
		if !isName(strings.NewReplacer("/", "_", `\`, "_").Replace(token)) {
			return false
		}
	}
	return true
}

// isBucket reports whether s can be the name of a bucket (ADR-8 and ADR-20).
func isBucket(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("_-", r) && (r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r))
	})
}
