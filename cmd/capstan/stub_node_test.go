//go:build !nodemo

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/test/node"
)

// The API's own client for Node runs against the stub unchanged. See testdata/anchorbrowser.mjs for what it does.
func TestTheNPMPackageRunsAgainstTheStub(t *testing.T) {
	t.Parallel()
	program := node.Command(t.Context(), t, "testdata/anchorbrowser.mjs")
	file := filepath.Join(t.TempDir(), "stub.json")
	const rules = `{"prompt":"limited","submit":["429"]}
{"prompt":"fails","error":"The page did not load"}`
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startStub(t, "--duration=200ms", "--browsers=2", "--script="+file)
	program.Env = append(os.Environ(), "ANCHORBROWSER_BASE_URL="+s.url, "ANCHORBROWSER_API_KEY="+s.key)
	var printed, problems bytes.Buffer
	program.Stdout, program.Stderr = &printed, &problems
	if err := program.Run(); err != nil {
		t.Fatalf("got %v\n%s\n%s\n%s", err, &printed, &problems, &s.out)
	}
	want := []string{
		`{"step":"synchronous","value":{"data":{"result":{"result":{"heading":"sample"}}}}}`,
		`{"step":"asynchronous","value":"running"}`,
		`{"step":"status","value":{"result":{"heading":"sample"},"status":"COMPLETED"}}`,
		`{"step":"cdp_url","value":true}`,
		`{"step":"retrieve","value":"running"}`,
		`{"step":"all","value":1}`,
		`{"step":"in session","value":"COMPLETED"}`,
		`{"step":"list","value":1}`,
		`{"step":"delete","value":"success"}`,
		`{"step":"ended","value":"completed"}`,
		`{"step":"wrong key","value":["AuthenticationError",401,"Invalid API Key"]}`,
		`{"step":"bad agent","value":["BadRequestError",400,"agent must be one of browser-use, openai-cua, gemini-computer-use, anthropic-cua, yutori"]}`,
		`{"step":"limited","value":["RateLimitError",429,"Too Many Requests"]}`,
		`{"step":"limited no more","value":"running"}`,
		`{"step":"failed","value":["InternalServerError",500,"The page did not load"]}`,
	}
	if got := strings.TrimSpace(printed.String()); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s\n%s\nthe stub's calls:\n%s", got, strings.Join(want, "\n"), &problems, &s.out)
	}
	for _, call := range []string{"GET     /v1/sessions/all/status", `"Read it here"`, "[429]"} {
		if !strings.Contains(s.out.String(), call) {
			t.Errorf("got %s\nwant %q among the calls", &s.out, call)
		}
	}
	stop(t, s.tool)
}
