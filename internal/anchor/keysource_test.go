package anchor_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/anchor"
)

// keyFolder holds key files and a link to the one in use.
type keyFolder string

func (f keyFolder) link() string { return filepath.Join(string(f), "key") }

// write writes a file whose modification time is that many seconds after 1970, and returns its name.
func (f keyFolder) write(t *testing.T, name, content string, changed int64) string {
	t.Helper()
	name = filepath.Join(string(f), name)
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatalf("write key: %v", err)
	}
	if err := os.Chtimes(name, time.Unix(changed, 0), time.Unix(changed, 0)); err != nil {
		t.Fatalf("date key: %v", err)
	}
	return name
}

func (f keyFolder) point(t *testing.T, target string) {
	t.Helper()
	_ = os.Remove(f.link())
	if err := os.Symlink(target, f.link()); err != nil {
		t.Fatalf("link key: %v", err)
	}
}

// rotation is a client that watches its key file, in a bubble of testing/synctest.
type rotation struct {
	keyFolder
	client *anchor.Client
	log    lines
	taken  atomic.Int32 // keys
}

// rotate runs test with a client whose key file is a link to the file a with the key key-1.
func rotate(t *testing.T, test func(*testing.T, *rotation)) {
	t.Helper()
	folder := keyFolder(t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		r := &rotation{keyFolder: folder}
		r.point(t, r.write(t, "a", " key-1\n", 1))
		cfg := config("http://127.0.0.1:1")
		cfg.APIKey, cfg.APIKeyFile = "", r.link()
		r.client = newClient(t, cfg)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { r.client.Run(ctx, zerolog.New(&r.log), func() { r.taken.Add(1) }) })
		synctest.Wait()
		test(t, r)
		cancel()
		running.Wait()
	})
}

// look waits until the file was read again, and returns the lines that were logged.
func (r *rotation) look() (logged []string) {
	before := len(r.log.String())
	<-time.After(time.Second)
	synctest.Wait()
	return slices.DeleteFunc(strings.Split(r.log.String()[before:], "\n"), func(line string) bool { return line == "" })
}

func (r *rotation) wantKeys(t *testing.T, want ...string) {
	t.Helper()
	if got := r.client.Keys(); !slices.Equal(got, want) {
		t.Errorf("got keys %v, want %v", got, want)
	}
}

func TestKeyFileIsReadAgainWhenItChanges(t *testing.T) {
	rotate(t, func(t *testing.T, r *rotation) {
		t.Helper()
		r.wantKeys(t, "key-1")
		for i, change := range []struct {
			do   func()
			want []string
		}{
			{func() { r.write(t, "a", "key-02", 1) }, []string{"key-02", "key-1"}},                        // the size alone
			{func() { r.write(t, "a", "key-03", 2) }, []string{"key-03", "key-02", "key-1"}},              // the time, too
			{func() { r.write(t, "a", "key-04", 2) }, []string{"key-04", "key-03", "key-02"}},             // neither
			{func() { r.point(t, r.write(t, "b", "key-05", 2)) }, []string{"key-05", "key-04", "key-03"}}, // as Kubernetes swaps it
			{func() { r.write(t, "b", "key-04", 3) }, []string{"key-04", "key-05", "key-03"}},             // back again
		} {
			change.do()
			logged := r.look()
			r.wantKeys(t, change.want...)
			if len(logged) != 1 || !strings.Contains(logged[0], "API key changed") || strings.Contains(logged[0], "key-0") {
				t.Errorf("got log %v, want one line without the key", logged)
			}
			if got := int(r.taken.Load()); got != i+1 {
				t.Errorf("got %d calls for a new key, want %d", got, i+1)
			}
			if logged := r.look(); len(logged) > 0 || int(r.taken.Load()) != i+1 {
				t.Errorf("got log %v of a file that did not change", logged)
			}
		}
	})
}

func TestInvalidKeyFileIsLoggedOnce(t *testing.T) {
	rotate(t, func(t *testing.T, r *rotation) {
		t.Helper()
		for _, change := range []struct {
			do   func()
			want string
		}{
			{func() { r.write(t, "a", "\ufeffsk-new", 2) }, "it begins with a byte order mark"},
			{func() { r.write(t, "a", "\ufeffsk-newer", 3) }, "it begins with a byte order mark"},
			{func() { r.write(t, "a", "", 4) }, "it is empty"},
			{func() { r.write(t, "a", "two\nlines", 5) }, "it contains a space, a line break"},
			{func() { r.write(t, "a", `"sk-new"`, 6) }, "it contains a quote"},
			{func() { r.point(t, "nowhere") }, "no such file"},
			{func() { r.point(t, string(r.keyFolder)) }, "it is not a regular file"},
		} {
			change.do()
			logged := r.look()
			if len(logged) != 1 || !strings.Contains(logged[0], change.want) || levelOf(logged[0]) != "error" || strings.Contains(logged[0], "sk-new") {
				t.Errorf("got log %v, want one error that says %q", logged, change.want)
			}
			problem := r.client.KeyProblem()
			if !strings.Contains(problem, "ANCHORBROWSER_API_KEY_FILE") || !strings.Contains(problem, change.want) || strings.Contains(problem, "sk-new") {
				t.Errorf("got problem %q, want the variable and %q", problem, change.want)
			}
			if logged := r.look(); len(logged) > 0 {
				t.Errorf("got log %v of a file that did not change", logged)
			}
			r.wantKeys(t, "key-1")
		}
		r.point(t, r.write(t, "b", "key-1", 7))
		if logged := r.look(); len(logged) != 1 || !strings.Contains(logged[0], "can be used again") {
			t.Errorf("got log %v, want that the file can be used again", logged)
		}
		if problem := r.client.KeyProblem(); problem != "" || r.taken.Load() != 0 {
			t.Errorf("got problem %q and %d new keys, want neither", problem, r.taken.Load())
		}
		r.write(t, "b", "key-2", 8)
		r.look()
		r.wantKeys(t, "key-2", "key-1")
	})
}

func levelOf(line string) string {
	var fields struct{ Level string }
	if json.Unmarshal([]byte(line), &fields) != nil {
		return "no JSON"
	}
	return fields.Level
}

func TestNewKeyIsSentWithTheNextCall(t *testing.T) {
	t.Parallel()
	sent := make(chan string, 2)
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		sent <- r.Header.Get("Anchor-Api-Key")
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = w.Write([]byte(`{"message":"neither key-1 nor key-2"}`))
	})
	folder := keyFolder(t.TempDir())
	folder.point(t, folder.write(t, "a", "key-1", 1))
	cfg := config(server.URL)
	cfg.APIKey, cfg.APIKeyFile = "", folder.link()
	client := newClient(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	taken := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() { client.Run(ctx, zerolog.Nop(), func() { close(taken) }) })
	defer running.Wait()
	defer cancel()
	call := func(want string) {
		t.Helper()
		_, err := client.Submit(t.Context(), "", []byte(body))
		if strings.Contains(submitError(t, err).Message, want) {
			t.Errorf("got %q, want no key in it", err)
		}
		if got := <-sent; got != want {
			t.Errorf("got key %q, want %q", got, want)
		}
	}
	call("key-1")
	folder.write(t, "a", "key-2", 2)
	<-taken
	call("key-2")
	_, err := client.Submit(t.Context(), "", []byte(body))
	<-sent
	if strings.Contains(err.Error(), "key-1") {
		t.Errorf("got %q, want no earlier key in it", err)
	}
}

func TestKeyInASettingHasNoProblem(t *testing.T) {
	t.Parallel()
	client := newClient(t, config("http://127.0.0.1:1"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	client.Run(ctx, zerolog.Nop(), func() { t.Error("there is no new key") })
	if got := client.Keys(); client.KeyProblem() != "" || !slices.Equal(got, []string{"sk-secret"}) {
		t.Errorf("got keys %v and problem %q", got, client.KeyProblem())
	}
}
