package k8s_test

import (
	"bufio"
	"encoding/base64"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nkeys"
)

// ofGo are variables that Go's runtime reads.
var ofGo = map[string]bool{"GOMEMLIMIT": true}

func TestEveryVariableIsASettingOfTheWorker(t *testing.T) {
	settings := defaults(t)
	for overlay, objects := range overlays(t) {
		for name := range workerOf(t, objects).env {
			if _, ok := settings[name]; !ok && !ofGo[name] {
				t.Errorf("%s: variable %s: got no such setting, want one of worker -help", overlay, name)
			}
		}
	}
}

// Under the documented permissions a worker with another prefix gets no answer of NATS.
func TestProductionAsksWhereTheDocumentedPermissionsLetItListen(t *testing.T) {
	prefix := workerOf(t, overlays(t)["production"]).env["NATS_INBOX_PREFIX"]
	line := regexp.MustCompile(`subscribe: \["(\S+)\.>"\] +# NATS_INBOX_PREFIX=_INBOX_worker\n`).FindStringSubmatch(read(t, permissions))
	if line == nil {
		t.Fatalf("%s: got no subscribe of the worker, want one", permissions)
	}
	if prefix != line[1] {
		t.Errorf("NATS_INBOX_PREFIX: got %q, want %q", prefix, line[1])
	}
}

// A worker that refuses its settings ends at once, with a line for each mistake.
func TestTheWorkerTakesItsSettings(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "worker")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/worker")
	build.Dir = filepath.FromSlash(root)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the worker: %v\n%s", err, out)
	}
	secret, creds := filepath.Join(t.TempDir(), "secret"), filepath.Join(t.TempDir(), "nats.creds")
	write(t, secret, "secret")
	write(t, creds, credentials(t))
	for overlay, objects := range overlays(t) {
		cmd := exec.CommandContext(t.Context(), binary)
		for name, value := range workerOf(t, objects).env {
			switch {
			case name == "ADMIN_ADDR":
				value = "127.0.0.1:0"
			case strings.HasPrefix(name, "NATS_TLS_"):
				continue // needs certificates
			case name == "NATS_CREDS_FILE" && value != "":
				value = creds
			case strings.HasSuffix(name, "_FILE") && value != "":
				value = secret
			}
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		if mistakes := startAndStop(t, cmd); mistakes != "" {
			t.Errorf("%s: worker: got %s, want one that starts", overlay, mistakes)
		}
	}
}

// credentials are a user's JWT, as far as a worker looks at it, and seed.
func credentials(t *testing.T) string {
	t.Helper()
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	key, err := user.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	return "-----BEGIN NATS USER JWT-----\ne30." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"`+key+`"}`)) + ".e30\n------END NATS USER JWT------\n" +
		"-----BEGIN USER NKEY SEED-----\n" + string(seed) + "\n------END USER NKEY SEED------\n"
}

// startAndStop returns what a worker complains of that ends by itself, before it listens for probes.
func startAndStop(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var mistakes strings.Builder
	cmd.Stderr = &mistakes
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.Contains(lines.Text(), "admin server listening") {
			_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended; Wait tells
		}
	}
	if err := cmd.Wait(); err != nil {
		return mistakes.String() + err.Error()
	}
	return ""
}
