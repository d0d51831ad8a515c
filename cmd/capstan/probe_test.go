//go:build !nodemo

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/probe"
)

// startProbed starts a stand-in on which a long task runs until its session ends, and returns the settings for it.
func startProbed(t *testing.T, opts ...anchortest.Option) (api *anchortest.Server, env []string) {
	t.Helper()
	plan := anchortest.WithPlan(func(task anchortest.Task) anchortest.Plan {
		if strings.Contains(task.Prompt, "one after the other") {
			return anchortest.Plan{Run: time.Hour}
		}
		return anchortest.Plan{}
	})
	api = anchortest.New(append(opts, plan)...)
	if err := api.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.Close)
	return api, []string{"ANCHORBROWSER_API_KEY=" + api.Key(), "ANCHORBROWSER_BASE_URL=" + api.URL()}
}

// shortWaits are enough for the stand-in.
func shortWaits() probe.Waits {
	const wait = 5 * time.Second
	return probe.Waits{
		Pause: 5 * time.Millisecond, List: wait, Run: wait, Step: wait, End: wait, Workflow: wait, Figures: wait, Quiet: 20 * time.Millisecond,
	}
}

// probed runs the command in this process, against a stand-in with these rules, and returns what it printed.
func probed(t *testing.T, c probeCmd, rules anchortest.SessionRules) (printed string, err error) {
	t.Helper()
	_, env := startProbed(t, anchortest.WithSessionRules(rules))
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	terminal, out := testTerminal(strings.NewReader(""))
	err = c.probe(t.Context(), terminal, shortWaits())
	return out.String(), err
}

func TestProbeSaysWhetherSessionsCanBeUsed(t *testing.T) {
	printed, err := probed(t, probeCmd{Yes: true}, anchortest.SessionRules{UnknownWorkflow: 500})
	if err != nil {
		t.Errorf("got error %v, want none", err)
	}
	for _, want := range []string{"warn  unknown workflow id        500", "ok    list by tag                listed at once", "\nSESSIONS=on can be used. Credits used"} {
		if !strings.Contains(printed, want) {
			t.Errorf("got\n%s\nwant %q", printed, want)
		}
	}
	printed, err = probed(t, probeCmd{Yes: true}, anchortest.SessionRules{TaskState: "COMPLETED"})
	if err == nil || exitStatus(t.Context(), err) != exitFailed {
		t.Errorf("got error %v, want exit status %d", err, exitFailed)
	}
	for _, want := range []string{"BAD   workflow without session   COMPLETED", "SESSIONS=on cannot be used. Against it: workflow without session."} {
		if !strings.Contains(printed, want) {
			t.Errorf("got\n%s\nwant %q", printed, want)
		}
	}
}

func TestProbePrintsJSONAndNoSecret(t *testing.T) {
	printed, err := probed(t, probeCmd{Yes: true, JSON: true}, anchortest.SessionRules{TaskInEnded: 500})
	if err != nil {
		t.Errorf("got error %v, want none", err)
	}
	facts := map[string]string{}
	var last struct {
		Fact, Verdict, Seen string
		Need                string `json:"needed_for"`
		Seconds             *float64
		Conclusion          string
		Sessions, Fence     *bool
		Credits             float64
	}
	for lines := bufio.NewScanner(strings.NewReader(printed)); lines.Scan(); {
		last.Fact, last.Seconds = "", nil
		decoder := json.NewDecoder(strings.NewReader(lines.Text()))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&last); err != nil {
			t.Errorf("got %s, %v, want JSON", lines.Text(), err)
		}
		if last.Fact != "" && (last.Seen == "" || last.Seconds == nil) {
			t.Errorf("got %s, want what was seen and how long it took", lines.Text())
		}
		facts[last.Fact] = last.Verdict + " " + last.Need
	}
	if facts["task in an ended session"] != "unknown fence" || facts["list by tag"] != "fine nothing" || facts["clean-up"] != "fine sessions" {
		t.Errorf("got %v, want each fact with its verdict", facts)
	}
	if last.Sessions == nil || !*last.Sessions || *last.Fence || last.Credits == 0 || !strings.HasPrefix(last.Conclusion, "SESSIONS=on can be used, but") {
		t.Errorf("got %+v, want the conclusion last", last)
	}
	for _, secret := range []string{"stand-in-key", "apiKey", "ws://", "/live", "cdp_url"} {
		if strings.Contains(printed, secret) {
			t.Errorf("got %s\nwant no %s", printed, secret)
		}
	}
}

func TestProbeSendsNothingWithoutAYes(t *testing.T) {
	t.Parallel()
	api, env := startProbed(t)
	run := newTool(t, env, "probe")
	if got := run.status(t); got != exitUsage || !strings.Contains(run.err.String(), "add --yes. Nothing was sent") {
		t.Errorf("got %d, %s, want %d and a way on", got, &run.err, exitUsage)
	}
	if want := "creates 2 browser sessions"; !strings.Contains(run.err.String(), want) {
		t.Errorf("got %s, want %q", &run.err, want)
	}
	asked, terminal := probeOnTerminal(t, env)
	asked.err.await(t, "Go on? [y/N]")
	_, _ = io.WriteString(terminal, "no\n")
	_ = asked.Wait() // its status is all that counts
	if got := asked.ProcessState.ExitCode(); got != exitUsage || !strings.Contains(asked.err.String(), "not confirmed: nothing was sent") {
		t.Errorf("got %d, %s, want %d", got, &asked.err, exitUsage)
	}
	if got := api.Sessions(); len(got) != 0 {
		t.Errorf("got %v, want no session", got)
	}
	if run := newTool(t, nil, "probe", "--yes"); run.status(t) != exitUsage || !strings.Contains(run.err.String(), "set ANCHORBROWSER_API_KEY") {
		t.Errorf("got %s, want the missing setting", &run.err)
	}
}

func TestProbeEndsItsSessionsAfterCtrlC(t *testing.T) {
	t.Parallel()
	api, env := startProbed(t)
	waiting, _ := probeOnTerminal(t, env)
	waiting.err.await(t, "Go on? [y/N]")
	interrupt(t, waiting, exitSignal+2)
	run, terminal := probeOnTerminal(t, env)
	run.err.await(t, "Go on? [y/N]")
	_, _ = fmt.Fprintln(terminal, "y")
	run.out.await(t, "new session")
	interrupt(t, run, exitSignal+2)
	if !strings.Contains(run.out.String(), "ok    clean-up") {
		t.Errorf("got %s, want the clean-up", &run.out)
	}
	sessions := api.Sessions()
	for _, s := range sessions {
		if s.Cause != "deleted" {
			t.Errorf("got %+v, want an end", s)
		}
	}
	if len(sessions) == 0 {
		t.Error("got no session")
	}
}

// probeOnTerminal starts a probe whose standard input is a terminal, and returns the other end of it.
func probeOnTerminal(t *testing.T, env []string) (*tool, io.Writer) {
	t.Helper()
	terminal, line, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	run := newTool(t, env, "probe")
	run.Stdin = line
	run.begin(t)
	t.Cleanup(func() {
		if err := errors.Join(terminal.Close(), line.Close()); err != nil {
			t.Error(err)
		}
	})
	return run, terminal
}
