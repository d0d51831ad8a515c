package streams

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"strings"
	"unicode"

	"github.com/nats-io/nkeys"
)

// The functions below recognize logins that can never work. The server refuses them forever, and does not say why.

// isLogin reports whether a user name, a password or a token has no control characters, such as a line end that was
// copied from a file, and neither begins nor ends with a blank.
func isLogin(s string) bool {
	return strings.TrimSpace(s) == s && !strings.ContainsFunc(s, unicode.IsControl)
}

// haveValidLogins applies isLogin to the users and passwords in the addresses of NATS_URL. An address that
// cannot be parsed violates another rule.
func haveValidLogins(servers string) bool {
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

// isCredentials reports whether a text has the JWT of a user and the seed of the same user's NKey, as the
// NATS client reads them from a credentials file. With the seed of another user, the client could not sign
// the server's challenge.
func isCredentials(text []byte) bool {
	user := publicKey(text)
	token, err := nkeys.ParseDecoratedJWT(text)
	return err == nil && user != "" && jwtSubject(token) == user
}

// isSeed reports whether a text has the seed of a user's NKey.
func isSeed(text []byte) bool { return publicKey(text) != "" }

// publicKey returns the public key of the user whose seed is in a text, or "" if there is none. It wipes
// the seed from the key pair afterwards.
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

// jwtSubject returns the subject of a JWT (RFC 7519, section 4.1.2), or "" if the text is not a JWT. The
// subject of a user's JWT is the user's public key. It does not verify the signature: that is up to the
// server.
func jwtSubject(token string) string {
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

// isCertificate reports whether a text has at least one certificate in PEM.
func isCertificate(text []byte) bool { return x509.NewCertPool().AppendCertsFromPEM(text) }

// isKeyOf returns a function that reports whether a text has the private key of the certificate in a file. Without a
// valid certificate, which violates another rule, it returns true.
func isKeyOf(certFile string) func([]byte) bool {
	return func(key []byte) bool {
		cert, err := readOptional(certFile)
		if err != nil || !isCertificate(cert) {
			return true
		}
		_, err = tls.X509KeyPair(cert, key)
		return err == nil
	}
}
