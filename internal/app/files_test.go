package app_test

import (
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// files writes valid files for settings. Certificate and key belong together.
type files struct {
	t         *testing.T
	cert, key string // of one certificate
}

// named returns a valid file for the variable.
func (f *files) named(variable string) string {
	f.t.Helper()
	switch variable {
	case "SECRETS_DIR":
		return f.t.TempDir()
	case "NATS_CREDS_FILE", "NATS_CREDS":
		return write(f.t, "nats.creds", credentialsText(f.t))
	case "NATS_NKEY_SEED_FILE":
		return write(f.t, "worker.nk", newSeed(f.t))
	case "NATS_TLS_CA_FILE":
		return newAuthority(f.t).file
	case "NATS_TLS_CERT_FILE":
		f.issue()
		return f.cert
	case "NATS_TLS_KEY_FILE":
		f.issue()
		return f.key
	default:
		return write(f.t, "secret", []byte("key-1"))
	}
}

func (f *files) issue() {
	f.t.Helper()
	if f.cert == "" {
		f.cert, f.key = newAuthority(f.t).issue(f.t, "worker")
	}
}

// credentialsText is the content of a credentials file.
func credentialsText(t *testing.T) []byte {
	t.Helper()
	pair, text, raw := must[nkeys.KeyPair](t), must[string](t), must[[]byte](t)
	user := pair(nkeys.CreateUser())
	login := text(jwt.NewUserClaims(text(user.PublicKey())).Encode(pair(nkeys.CreateAccount())))
	return raw(jwt.FormatUserConfig(login, raw(user.Seed())))
}

func newSeed(t *testing.T) []byte {
	t.Helper()
	return must[[]byte](t)(must[nkeys.KeyPair](t)(nkeys.CreateUser()).Seed())
}
