//go:build !nodemo

package main

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

func TestALineDescribesACall(t *testing.T) {
	const workflow = "perform-web-task-execution-123e4567-e89b-12d3-a456-426614174000"
	began := time.Date(2026, 11, 27, 2, 31, 8, 311e6, time.Local)
	for _, c := range []struct {
		call anchortest.Call
		want string
	}{
		{
			anchortest.Call{
				Began: began, Took: 1400 * time.Microsecond, Method: "GET", Path: webTask + "/" + workflow + "/status", Status: 200,
				Task: "Extract the main heading", Workflow: workflow, Note: "runs for 2s",
			},
			`02:31:08.311  GET     /v1/tools/perform-web-task/…14174000/status   200      1ms  runs for 2s  "Extract the main heading"`,
		},
		{
			anchortest.Call{Began: began, Method: "POST", Path: webTask, Fault: "lost-answer", Note: "connection reset"},
			`02:31:08.311  POST    /v1/tools/perform-web-task                    none      0s  connection reset  [lost-answer]`,
		},
	} {
		if got := callLine(c.call); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

// A client can put anything into a call.
func TestALineIsOneLineOfText(t *testing.T) {
	hostile := "\x1b[2J\n\u202e" + strings.Repeat("ü", 1<<20)
	got := callLine(anchortest.Call{Method: hostile, Path: hostile, Status: 404, Note: hostile, Fault: hostile, Task: hostile, Workflow: hostile, Session: hostile})
	if strings.ContainsAny(got, "\x1b\n\u202e") || len(got) > 5000 {
		t.Errorf("got %d bytes, %.200q, want one short line without control characters", len(got), got)
	}
}

func TestTheAddressOfAStubIsOneForClients(t *testing.T) {
	for addr, want := range map[string]struct {
		url        string
		everywhere bool
	}{
		"127.0.0.1:8091": {"http://127.0.0.1:8091", false},
		"[::1]:8091":     {"http://[::1]:8091", false},
		"[::]:8091":      {"http://127.0.0.1:8091", true},
		"0.0.0.0:8091":   {"http://127.0.0.1:8091", true},
		"10.1.2.3:8091":  {"http://10.1.2.3:8091", true},
	} {
		tcp, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if url, everywhere := stubURL(tcp); url != want.url || everywhere != want.everywhere {
			t.Errorf("%s: got %s, %v, want %+v", addr, url, everywhere, want)
		}
	}
}
