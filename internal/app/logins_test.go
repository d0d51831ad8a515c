package app_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nkeys"
)

// The server would refuse such a login forever, and its answer would not say why.
func TestLoginsThatCanNeverWorkStopTheWorkerByName(t *testing.T) {
	creds, seed := credentialsText(t), newSeed(t)
	onlyJWT, _, _ := bytes.Cut(creds, []byte("************************* IMPORTANT"))
	_, onlySeed, _ := bytes.Cut(creds, []byte("------END NATS USER JWT------\n"))
	account := must[[]byte](t)(must[nkeys.KeyPair](t)(nkeys.CreateAccount()).Seed())
	cert, key := newAuthority(t).issue(t, "worker")
	otherCert, _ := newAuthority(t).issue(t, "worker")
	named := func(text string) string { return write(t, "file", []byte(text)) }

	for _, c := range []struct {
		what, variable, value string
		with                  map[string]string
	}{
		{"line end", "NATS_PASSWORD", "pw77\n", map[string]string{"NATS_USER": "ann"}},
		{"blank before", "NATS_PASSWORD", " pw77", map[string]string{"NATS_USER": "ann"}},
		{"line end within", "NATS_PASSWORD", "pw\r77", map[string]string{"NATS_USER": "ann"}},
		{"line end", "NATS_TOKEN", "tok77\n", nil},
		{"line end", "NATS_USER", "ann\n", nil},
		{"line end in the address", "NATS_URL", "nats://h:4222,nats://ann:pw77%0A@h:4222", nil},
		{"empty", "NATS_CREDS_FILE", named(""), nil},
		{"only the JWT", "NATS_CREDS_FILE", named(string(onlyJWT)), nil},
		{"only the seed", "NATS_CREDS_FILE", named(string(onlySeed)), nil},
		{"a bare seed", "NATS_CREDS_FILE", named(string(seed)), nil},
		{"another user's seed", "NATS_CREDS_FILE", named(string(onlyJWT) + string(seed)), nil},
		{"empty", "NATS_NKEY_SEED_FILE", named(""), nil},
		{"a public key", "NATS_NKEY_SEED_FILE", named("UABC"), nil},
		{"an account's seed", "NATS_NKEY_SEED_FILE", named(string(account)), nil},
		{"half a seed", "NATS_NKEY_SEED_FILE", named(string(seed[:20])), nil},
		{"no certificate", "NATS_TLS_CA_FILE", named("ca"), nil},
		{"a key", "NATS_TLS_CA_FILE", key, nil},
		{"no certificate", "NATS_TLS_CERT_FILE", named("cert"), map[string]string{"NATS_TLS_KEY_FILE": key}},
		{"another one's key", "NATS_TLS_KEY_FILE", key, map[string]string{"NATS_TLS_CERT_FILE": otherCert}},
		{"no key", "NATS_TLS_KEY_FILE", named("key"), map[string]string{"NATS_TLS_CERT_FILE": cert}},
	} {
		t.Run(c.variable+"/"+c.what, func(t *testing.T) {
			_, err := load(t, c.with, map[string]string{c.variable: c.value})
			wantMistake(t, err, c.variable)
			if got := fmt.Sprint(err); strings.Contains(got, "pw77") || strings.Contains(got, `\r77`) || strings.Contains(got, "tok77") || strings.Contains(got, string(seed)) {
				t.Errorf("got %q, want it without the secret", got)
			}
		})
	}
}

// A file that the NATS client can read is not a mistake, whatever else it contains.
func TestLoginsThatTheClientReadsAreAccepted(t *testing.T) {
	seed, creds := newSeed(t), credentialsText(t)
	for variable, text := range map[string][]byte{
		"NATS_NKEY_SEED_FILE": append([]byte("# the worker's\n"), append(seed, '\n')...),
		"NATS_CREDS_FILE":     bytes.ReplaceAll(creds, []byte("\n"), []byte("\r\n")),
	} {
		if _, err := load(t, map[string]string{variable: write(t, "file", text)}); err != nil {
			t.Errorf("%s: got %v, want nil", variable, err)
		}
	}
	if _, err := load(t, map[string]string{"NATS_USER": "ann", "NATS_PASSWORD": "two words, ünicode"}); err != nil {
		t.Errorf("got %v, want nil", err)
	}
}

// The nats command calls the file NATS_CREDS. A worker in the same environment must not log in as somebody else.
func TestTheVariableOfTheNATSCommandNamesTheSameFile(t *testing.T) {
	creds := write(t, "nats.creds", credentialsText(t))
	if _, err := load(t, map[string]string{"NATS_CREDS": creds, "NATS_CREDS_FILE": creds}); err != nil {
		t.Errorf("the same file twice: got %v, want nil", err)
	}
	_, err := load(t, map[string]string{"NATS_CREDS": write(t, "other.creds", credentialsText(t)), "NATS_CREDS_FILE": creds})
	wantMistake(t, err, "NATS_CREDS")
	_, err = load(t, map[string]string{"NATS_CREDS": creds, "NATS_TOKEN": "t0ken"})
	if err == nil || err.Error() != "set only one of NATS_CREDS and NATS_TOKEN" {
		t.Errorf("got %v, want that only one of the two may be set", err)
	}
}
