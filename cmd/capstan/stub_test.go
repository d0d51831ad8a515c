//go:build !nodemo

package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

// stub is a running stub.
type stub struct {
	*tool
	url, key string
}

// startStub starts the stub on a free port.
func startStub(t *testing.T, args ...string) stub {
	t.Helper()
	run := newTool(t, nil, append([]string{"stub", "--addr=127.0.0.1:0"}, args...)...)
	run.begin(t)
	run.out.await(t, "Ctrl-C ends the stub")
	s := stub{tool: run, url: find(run.out.String(), `ANCHORBROWSER_BASE_URL=(\S+)`), key: find(run.out.String(), `ANCHORBROWSER_API_KEY=(\S+)`)}
	if s.url == "" {
		t.Fatalf("got %s, want the address", &run.out)
	}
	return s
}

// find returns the first group of a pattern in a text, or "".
func find(text, pattern string) string {
	found := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if found == nil {
		return ""
	}
	return found[1]
}

// call makes a call and returns the status, the header and the body of its answer.
func (s stub) call(t *testing.T, method, path, body string) (status int, header http.Header, answer string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Anchor-Api-Key", s.key)
	resp, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

const webTask = "/v1/tools/perform-web-task"

func TestTheStubSaysThatItIsNotAnchor(t *testing.T) {
	t.Parallel()
	s := startStub(t, "--duration=0s", "--browsers=0", "--faults=429:0%")
	for _, want := range []string{"This is a stub, not Anchor Browser", "any number of browsers, 25 new ones a minute, 0s a task", "Faults: 429:0%", "--seed="} {
		if !strings.Contains(s.out.String(), want) {
			t.Errorf("got %s\nwant %q", &s.out, want)
		}
	}
	status, header, answer := s.call(t, "POST", webTask, `{"prompt":"Read it","output_schema":{"type":"object","properties":{"n":{"type":"integer"}}}}`)
	if status != 200 || header.Get(stubMark) == "" || answer != `{"data":{"result":{"result":{"n":1}}}}` {
		t.Errorf("got %d %s %v, want a made-up result and the header", status, answer, header)
	}
	s.out.await(t, `ended as COMPLETED  "Read it"`)
	stop(t, s.tool)
}

// A container of the stub has no shell and no curl.
func TestTheStubAnswersAHealthCheck(t *testing.T) {
	t.Parallel()
	s := startStub(t)
	if status, printed := healthOf(t, nil, "--live", "--at="+strings.TrimPrefix(s.url, "http://")); status != exitOK || printed != "ok\n" {
		t.Errorf("got status %d, %q, want %d and ok", status, printed, exitOK)
	}
	if status, _, _ := s.call(t, http.MethodPost, "/livez", ""); status != http.StatusNotFound {
		t.Errorf("POST /livez: got %d, want %d as from the API", status, http.StatusNotFound)
	}
}

func TestTheStubCountsBrowsersAndStarts(t *testing.T) {
	t.Parallel()
	s := startStub(t, "--duration=1h", "--browsers=1", "--per-minute=2", "--key=secret", "--quiet")
	s.key = "secret"
	if strings.Contains(s.out.String(), "secret") {
		t.Errorf("got %s, want no key that the user has given", &s.out)
	}
	var got []string
	for range 3 {
		status, header, _ := s.call(t, "POST", webTask, `{"prompt":"x","async":true}`)
		got = append(got, fmt.Sprint(status, header.Get("Retry-After") != ""))
	}
	if got, want := strings.Join(got, " "), "200 false 429 false 429 true"; got != want {
		t.Errorf("got %s, want %s: one browser, then two starts", got, want)
	}
	if status, _, _ := s.call(t, "POST", webTask+"?sessionId=unknown", `{"prompt":"x","async":true}`); status != 403 {
		t.Errorf("got %d in an unknown session, want 403", status)
	}
	s.key = "other"
	if status, _, _ := s.call(t, "GET", "/v1/billing", ""); status != 401 {
		t.Errorf("got %d with another key, want 401", status)
	}
	stop(t, s.tool)
	if strings.Contains(s.out.String(), webTask) {
		t.Errorf("got %s, want no calls with --quiet", &s.out)
	}
}

func TestTheStubFollowsItsScript(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "stub.json")
	const rules = "{\"task\":1,\"submit\":[\"500\"],\"result\":7}\n# never\n{\"prompt\":\"nobody\"}"
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startStub(t, "--duration=0s", "--script="+file)
	first, _, _ := s.call(t, "POST", webTask, `{"prompt":"x"}`)
	second, _, answer := s.call(t, "POST", webTask, `{"prompt":"x"}`)
	if first != 500 || second != 200 || answer != `{"data":{"result":{"result":7}}}` {
		t.Errorf("got %d, %d and %s, want 500, 200 and 7", first, second, answer)
	}
	stop(t, s.tool)
	if got, want := s.err.String(), "no task met the rule at "+file+":3\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !strings.Contains(s.out.String(), "[stub.json:1]") {
		t.Errorf("got %s, want the rule that a task has met", &s.out)
	}
}

// Ctrl-C must not wait for a client that waits for its result.
func TestTheStubStopsWhileACallIsInProgress(t *testing.T) {
	t.Parallel()
	s := startStub(t, "--duration=1h")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+webTask, strings.NewReader(`{"prompt":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Anchor-Api-Key", s.key)
	ended := make(chan error, 1)
	go func() {
		resp, err := http.DefaultClient.Do(request)
		if err == nil {
			_ = resp.Body.Close()
		}
		ended <- err
	}()
	natstest.Eventually(t, func() error {
		if _, _, totals := s.call(t, "GET", "/_stand-in/totals", ""); !strings.Contains(totals, `"running":1`) {
			return fmt.Errorf("got %s, want a task that runs", totals)
		}
		return nil
	})
	stop(t, s.tool)
	if err := <-ended; err == nil {
		t.Error("got an answer, want a broken connection")
	}
}

func TestAWorkerRunsAgainstTheStub(t *testing.T) {
	t.Parallel()
	s := startStub(t, "--duration=200ms+-50%")
	env := demoEnv("ANCHORBROWSER_API_KEY="+s.key, "ANCHORBROWSER_BASE_URL="+s.url)
	demo := newTool(t, env, "demo", "--port=0", "--exit")
	if got := demo.status(t); got != exitOK || !strings.Contains(demo.out.String(), `{"heading":"sample"}`) {
		t.Errorf("got %d, %s%s, want %d and a result that fits the schema", got, &demo.out, &demo.err, exitOK)
	}
	stop(t, s.tool)
}

func TestMistakesInTheFlagsOfTheStubAreAllNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "stub.json")
	if err := os.WriteFile(file, []byte("{\"task\":0}\n{\"run\":1}"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := newTool(t, nil, "stub", "--addr=x", "--browsers=-1", "--per-minute=-2", "--duration=20x", "--faults=los-answer:1%,429", "--key=a b", "--script="+file)
	if got := run.status(t); got != exitUsage {
		t.Errorf("got status %d, want %d", got, exitUsage)
	}
	for _, want := range []string{
		`--addr must be a host and a port from 0 to 65535, such as 127.0.0.1:8091 or :8091 (got "x")`,
		"--browsers must be 0 for no limit, or a number above it (got -1)",
		"--per-minute must be 0 for no limit, or a number above it (got -2)",
		`--duration must be a duration such as 20s, 20s±50% or 20s±5s (got "20x")`,
		`--faults: no fault has the name "los-answer": did you mean lost-answer?`,
		"--faults: 429 needs a share, such as 429:1%",
		"--key must be the key alone: it contains a space",
		"\n" + file + ":1: task must be",
		"\n" + file + ":2: run must be",
	} {
		if !strings.Contains(run.err.String(), want) {
			t.Errorf("got %s\nwant %q", &run.err, want)
		}
	}
	if got := newTool(t, nil, "stub", "--script=/nowhere"); got.status(t) != exitUsage || !strings.Contains(got.err.String(), "--script: open /nowhere") {
		t.Errorf("got %s, want the file that cannot be read", &got.err)
	}
}

func TestAnAddressThatIsTakenIsNamed(t *testing.T) {
	t.Parallel()
	s := startStub(t)
	addr := strings.TrimPrefix(s.url, "http://")
	second := newTool(t, nil, "stub", "--addr="+addr)
	if got := second.status(t); got != exitFailed || !strings.Contains(second.err.String(), "listen on --addr "+addr) {
		t.Errorf("got %d, %s, want %d and the address", got, &second.err, exitFailed)
	}
	stop(t, s.tool)
}

func TestTheDemosAPISaysThatItIsNotAnchor(t *testing.T) {
	t.Setenv("ANCHORBROWSER_API_KEY", "")
	t.Setenv("ANCHORBROWSER_API_KEY_FILE", "")
	t.Setenv("ANCHORBROWSER_BASE_URL", "")
	api, err := startAPI(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer api.close()
	s := stub{url: os.Getenv("ANCHORBROWSER_BASE_URL")}
	if _, header, _ := s.call(t, "GET", "/v1/billing", ""); header.Get(stubMark) == "" {
		t.Errorf("got %v, want the header %s", header, stubMark)
	}
}

// The names in the documentation are those that the flag takes.
func TestTheDocumentedFaultsAreTheOnesThatExist(t *testing.T) {
	text, err := os.ReadFile("../../docs/stub.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, named := range anchortest.NamedFaults() {
		if row := "| `" + named.Name + "` | " + named.About + " |\n"; !strings.Contains(string(text), row) {
			t.Errorf("docs/stub.md: got no row %q", row)
		}
	}
	scripts := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(scripts) == 0 {
		t.Fatal("docs/stub.md: got no script")
	}
	for _, script := range scripts {
		if _, err := anchortest.ReadScript("docs/stub.md", []byte(script[1])); err != nil {
			t.Error(err)
		}
	}
}
