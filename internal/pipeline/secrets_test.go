package pipeline_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// secretsDir makes a folder of secrets with these files.
func (w *world) secrets(files map[string]string) {
	w.t.Helper()
	w.secretsDir = w.t.TempDir()
	for name, content := range files {
		w.writeSecret(name, content)
	}
}

func (w *world) writeSecret(name, content string) {
	w.t.Helper()
	file := filepath.Join(w.secretsDir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func TestASecretIsReadFromItsFileAndNeverShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.secrets(map[string]string{"shop/pin": "pin-of-the-shop\n", "key": "key-of-the-door"})
	said, err := json.Marshal("I typed pin-of-the-shop and key-of-the-door for ada-lovelace")
	if err != nil {
		t.Fatal(err)
	}
	more := `,"secret_values":{"USER":"ada-lovelace"},"secret_refs":{"PIN":"shop/pin","KEY":"key"}`
	w.finish("w1", w.request(w.planned(anchortest.Plan{Result: said}, more))(1))
	ev := w.wantOneEvent(success, 1)
	if want := `"I typed [redacted:PIN] and [redacted:KEY] for [redacted:USER]"`; string(ev.Result) != want {
		t.Errorf("got %s, want %s", ev.Result, want)
	}
	want := map[string]any{"USER": "ada-lovelace", "PIN": "pin-of-the-shop", "KEY": "key-of-the-door"}
	if sent := w.bodies()[0]; fmt.Sprint(sent["secret_values"]) != fmt.Sprint(want) || sent["secret_refs"] != nil {
		t.Errorf("got %v and %v, want %v", sent["secret_values"], sent["secret_refs"], want)
	}
	if rec := w.storedRecord(); strings.Contains(rec, "of-the") {
		t.Errorf("got the record %s", rec)
	}
}

// Each problem with a file ends the task before anything is submitted.
func TestWithoutItsSecretATaskIsNotSubmitted(t *testing.T) {
	t.Parallel()
	write := func(content string) func(string) error {
		return func(file string) error { return os.WriteFile(file, []byte(content), 0o600) }
	}
	const notRegular = "secret_refs.PIN: the file pin is not a regular file"
	for name, c := range map[string]struct {
		prepare func(file string) error
		says    string
	}{
		"missing":   {func(string) error { return nil }, "secret_refs.PIN: the file pin does not exist in SECRETS_DIR"},
		"empty":     {write("\n"), "secret_refs.PIN: the file pin is empty"},
		"large":     {write(strings.Repeat("x", 16<<10+1)), "secret_refs.PIN: the file pin has more than 16384 bytes"},
		"bytes":     {write("\xff"), "secret_refs.PIN: the file pin is not valid UTF-8"},
		"folder":    {func(file string) error { return os.Mkdir(file, 0o700) }, notRegular},
		"pipe":      {func(file string) error { return syscall.Mkfifo(file, 0o600) }, notRegular},
		"no folder": {func(file string) error { return os.Remove(filepath.Dir(file)) }, "secret_refs: SECRETS_DIR cannot be opened"},
		"link out": {
			func(file string) error { return os.Symlink("/etc/hostname", file) },
			"secret_refs.PIN: the file pin cannot be opened: it must be readable and inside SECRETS_DIR",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.secrets(nil)
			must(t, c.prepare(filepath.Join(w.secretsDir, "pin")))
			deliver := w.request(body(`,"secret_refs":{"PIN":"pin"}`))
			w.finish("w1", deliver(1))
			w.finish("w2", deliver(2))
			if ev := w.wantOneEvent(task.SecretUnavailable, 0); ev.Error.Message != c.says || !ev.Error.Retryable || ev.Attempts != 0 {
				t.Errorf("got %+v after %d attempts, want %q", ev.Error, ev.Attempts, c.says)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAWorkerWithoutAFolderOfSecretsSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.finish("w1", w.request(body(`,"secret_refs":{"PIN":"pin"}`))(1))
	if ev := w.wantOneEvent(task.SecretUnavailable, 0); ev.Error.Message != "secret_refs: this worker has no SECRETS_DIR" {
		t.Errorf("got %q", ev.Error.Message)
	}
}

// Kubernetes mounts a secret as links to links that stay inside the folder, and replaces one of them to rotate it.
func TestARotatedSecretIsReadAnewForEachRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.secrets(map[string]string{"..2026_01/pin": "first-pin", "..2026_02/pin": "second-pin"})
	data := filepath.Join(w.secretsDir, "..data")
	must(t, os.Symlink("..2026_01", data))
	must(t, os.Symlink("..data/pin", filepath.Join(w.secretsDir, "pin")))
	deliver := w.request(w.planned(anchortest.Plan{Fails: 1, Result: json.RawMessage(`"second-pin, once first-pin"`)}, `,"secret_refs":{"PIN":"pin"},"retries":1`))
	s := newStall("save waiting")
	s.after = true
	verdict := w.start(s, deliver(1))
	must(t, os.Remove(data))
	must(t, os.Symlink("..2026_02", data))
	close(s.resume)
	must(t, <-verdict)
	if ev := w.wantOneEvent(success, 2); string(ev.Result) != `"[redacted:PIN], once [redacted:PIN]"` {
		t.Errorf("got %s", ev.Result)
	}
	for i, want := range []string{"first-pin", "second-pin"} {
		if got := w.bodies()[i]["secret_values"]; fmt.Sprint(got) != "map[PIN:"+want+"]" {
			t.Errorf("run %d: got %v, want %s", i, got, want)
		}
	}
}

// The worker that takes a task over did not submit it. It hides the secrets nevertheless.
func TestAWorkerThatTakesOverHidesTheSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.secrets(map[string]string{"pin": "pin-of-the-shop"})
	deliver := w.request(w.planned(anchortest.Plan{Result: json.RawMessage(`"pin-of-the-shop"`)}, `,"secret_refs":{"PIN":"pin"}`))
	w.die("w1", &death{step: "save running", happened: true}, deliver(1))
	w.finish("w2", deliver(2))
	if ev := w.wantOneEvent(success, 1); string(ev.Result) != `"[redacted:PIN]"` {
		t.Errorf("got %s", ev.Result)
	}
}

// What one file has is hidden although another file is gone.
func TestAWorkerThatTakesOverHidesTheSecretsThatAreLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.secrets(map[string]string{"pin": "pin-of-the-shop", "key": "key-of-the-door"})
	more := `,"secret_refs":{"KEY":"key","PIN":"pin"}`
	deliver := w.request(w.planned(anchortest.Plan{Result: json.RawMessage(`"pin-of-the-shop"`)}, more))
	w.die("w1", &death{step: "save running", happened: true}, deliver(1))
	must(t, os.Remove(filepath.Join(w.secretsDir, "key")))
	w.finish("w2", deliver(2))
	if ev := w.wantOneEvent(success, 1); string(ev.Result) != `"[redacted:PIN]"` {
		t.Errorf("got %s", ev.Result)
	}
}

// The agent, or the page, may trim what it types.
func TestASecretIsHiddenWithoutTheBlanksAroundIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.secrets(map[string]string{"pin": " pin-of-the-shop \n\n"})
	w.finish("w1", w.request(w.planned(anchortest.Plan{Result: json.RawMessage(`"it is pin-of-the-shop"`)}, `,"secret_refs":{"PIN":"pin"}`))(1))
	if ev := w.wantOneEvent(success, 1); string(ev.Result) != `"it is [redacted:PIN]"` {
		t.Errorf("got %s", ev.Result)
	}
}

// A short request cannot make a worker hold much more than it has reserved memory for.
func TestAllSecretsTogetherAreBounded(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]task.Code{4: success, 5: task.SecretUnavailable} {
		w := newWorld(t)
		w.secrets(map[string]string{"pin": strings.Repeat("x", 16<<10)})
		var refs strings.Builder
		for i := range n {
			fmt.Fprintf(&refs, `,"S%d":"pin"`, i)
		}
		w.finish("w1", w.request(body(`,"secret_refs":{`+refs.String()[1:]+`}`))(1))
		ev := w.wantOneEvent(want, map[bool]int{true: 1}[want == success])
		if want != success && !strings.Contains(ev.Error.Message, "all secrets together have more than 65536 bytes") {
			t.Errorf("got %q", ev.Error.Message)
		}
	}
}

// The worker keeps only the beginning of a long answer, which may end within a secret.
func TestASecretThatTheAPIRepeatsAtTheEndOfALongAnswerIsHidden(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := strings.Repeat("0123456789abcdef", 500)
	w.secrets(map[string]string{"key": key})
	says, err := json.Marshal(map[string]any{"error": map[string]any{"code": 422, "message": "bad key " + key}})
	must(t, err)
	plan := anchortest.Plan{Submit: []anchortest.Fault{{Status: 422, Body: string(says)}}}
	w.finish("w1", w.request(w.planned(plan, `,"secret_refs":{"KEY":"key"}`))(1))
	if ev := w.wantOneEvent(task.Rejected, 0); ev.Error.Message != "the API refused it: 422: bad key [redacted:KEY]" {
		t.Errorf("got %.200q", ev.Error.Message)
	}
}
