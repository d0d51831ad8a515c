package streams

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"
	"unicode"

	"github.com/nats-io/nkeys"
)

// The functions below find logins that can never work. They return true for a setting that is absent and for a file
// that cannot be read: the rule isReadable reports that one.

// isLogin reports whether a user name, a password or a token is free of control characters, such as a line end that
// came along from a file, and does not begin or end with a blank.
func isLogin(s string) bool {
	return strings.TrimSpace(s) == s && !strings.ContainsFunc(s, unicode.IsControl)
}

// areLogins does the same for the users and passwords in the addresses of NATS_URL.
func areLogins(servers string) bool {
	for server := range strings.SplitSeq(servers, ",") {
		u, err := parseServer(server)
		if err != nil || u.User == nil {
			continue
		}
		if password, _ := u.User.Password(); !isLogin(u.User.Username()) || !isLogin(password) {
			return false
		}
	}
	return true
}

// holdsCredentials reports whether a file holds the JWT of a user and the seed of that user's NKey, as the NATS client
// reads them from a credentials file.
func holdsCredentials(file string) bool {
	text, ok := readIfSet(file)
	if !ok {
		return true
	}
	user := publicKey(text)
	token, err := nkeys.ParseDecoratedJWT(text)
	return err == nil && user != "" && subject(token) == user
}

// holdsSeed reports whether a file holds the seed of a user's NKey.
func holdsSeed(file string) bool {
	text, ok := readIfSet(file)
	return !ok || publicKey(text) != ""
}

// publicKey returns the public key of the user whose seed a text holds, or "" if it holds none.
func publicKey(text []byte) string {
	pair, err := nkeys.ParseDecoratedUserNKey(text)
	if err != nil {
		return ""
	}
	defer pair.Wipe()
	key, err := pair.PublicKey()
	if err != nil {
		return ""
	}
	return key
}

// subject returns whom a JWT is for (RFC 7519, section 4.1.2), or "" if the text is not a JWT.
func subject(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var claims struct {
		Subject string `json:"sub"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return ""
	}
	return claims.Subject
}

// holdsCertificate reports whether a file holds a certificate in PEM.
func holdsCertificate(file string) bool {
	text, ok := readIfSet(file)
	return !ok || x509.NewCertPool().AppendCertsFromPEM(text)
}

// isKeyOf reports whether keyFile holds the private key of the certificate in certFile.
func isKeyOf(certFile, keyFile string) bool {
	if _, ok := readIfSet(keyFile); !ok {
		return true
	}
	if _, ok := readIfSet(certFile); !ok || !holdsCertificate(certFile) {
		return true
	}
	_, err := tls.LoadX509KeyPair(certFile, keyFile)
	return err == nil
}

// readIfSet returns what a file holds, and false where none is named or it cannot be read.
func readIfSet(file string) ([]byte, bool) {
	if file == "" {
		return nil, false
	}
	text, err := os.ReadFile(file)
	return text, err == nil
}
