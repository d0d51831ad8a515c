package app_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// newWorldOf is a world whose server has this configuration, and lets the test in by these options.
func newWorldOf(t *testing.T, conf string, opts ...nats.Option) *world {
	t.Helper()
	file := write(t, "nats.conf", []byte(conf))
	w := &world{t: t, nats: natstest.StartWith(t, natsserver.Config{File: file}), api: anchortest.New()}
	if err := w.api.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.api.Close)
	w.nc, w.js = w.nats.Connect(opts...)
	return w
}

// write writes a file of the test's and returns its name.
func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// must returns what a call returned that does not fail.
func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// A server in operator mode knows no user: the credentials file says who signed for the worker.
func TestAWorkerLogsInWithACredentialsFile(t *testing.T) {
	t.Parallel()
	conf, creds := operatorMode(t)
	w := newWorldOf(t, conf, nats.UserCredentials(creds))
	stranger := w.start("stranger")
	w.startReady("w1", "NATS_CREDS_FILE="+creds)
	w.startReady("w2", "NATS_CREDS="+creds)
	w.submit("a", done)
	if ev := w.waitEvents(1)[0]; ev.Status != task.Succeeded {
		t.Errorf("got %+v", ev.Event)
	}
	natstest.Eventually(t, func() error { return stranger.logged("cannot connect to NATS") })
}

// operatorMode returns a configuration with an operator's key, and a user's credentials file.
func operatorMode(t *testing.T) (conf, creds string) {
	t.Helper()
	pair, text, raw := must[nkeys.KeyPair](t), must[string](t), must[[]byte](t)
	operator, system, account, user := pair(nkeys.CreateOperator()), pair(nkeys.CreateAccount()), pair(nkeys.CreateAccount()), pair(nkeys.CreateUser())
	operatorID, systemID, accountID, userID := text(operator.PublicKey()), text(system.PublicKey()), text(account.PublicKey()), text(user.PublicKey())

	claims := jwt.NewOperatorClaims(operatorID)
	claims.SystemAccount = systemID
	capstan := jwt.NewAccountClaims(accountID)
	capstan.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit}
	login := text(jwt.NewUserClaims(userID).Encode(account))

	conf = fmt.Sprintf("operator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload: {\n%s: %s\n%s: %s\n}\n",
		text(claims.Encode(operator)), systemID,
		systemID, text(jwt.NewAccountClaims(systemID).Encode(operator)), accountID, text(capstan.Encode(operator)))
	return conf, write(t, "nats.creds", raw(jwt.FormatUserConfig(login, raw(user.Seed()))))
}

func TestAWorkerShowsItsCertificateAndDemandsTheServers(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	certFile, keyFile := ca.issue(t, "nats")
	conf := fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }\n", certFile, keyFile, ca.file)
	workerCert, workerKey := ca.issue(t, "worker")
	w := newWorldOf(t, conf, nats.RootCAs(ca.file), nats.ClientCert(workerCert, workerKey))

	trusts := "NATS_TLS_CA_FILE=" + ca.file
	anonymous := w.start("anonymous", trusts)
	deceived := w.start("deceived", "NATS_TLS_CA_FILE="+newAuthority(t).file, "NATS_TLS_CERT_FILE="+workerCert, "NATS_TLS_KEY_FILE="+workerKey)
	w.startReady("w1", trusts, "NATS_TLS_CERT_FILE="+workerCert, "NATS_TLS_KEY_FILE="+workerKey)
	w.submit("a", done)
	if ev := w.waitEvents(1)[0]; ev.Status != task.Succeeded {
		t.Errorf("got %+v", ev.Event)
	}
	for _, p := range []*worker{anonymous, deceived} {
		natstest.Eventually(t, func() error { return p.logged("cannot connect to NATS") })
		if strings.Contains(p.log.String(), "connected to NATS\"") {
			t.Errorf("it connected:\n%s", p.log.tail())
		}
	}
}

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key))
	return authority{cert: cert, key: key, file: write(t, "ca.crt", encode("CERTIFICATE", der))}
}

// issue returns the files of a certificate for this machine, and of its key.
func (a authority) issue(t *testing.T, name string) (certFile, keyFile string) {
	t.Helper()
	key := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, cert, a.cert, key.Public(), a.key))
	private := must[[]byte](t)(x509.MarshalPKCS8PrivateKey(key))
	return write(t, "tls.crt", encode("CERTIFICATE", der)), write(t, "tls.key", encode("PRIVATE KEY", private))
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
