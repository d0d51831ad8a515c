//go:build !nodemo

package main

import (
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

// stubSetup is what the flags of the stub say.
type stubSetup struct {
	*stubCmd
	key     string
	runTime anchortest.RunTime
	faults  anchortest.Faults
	script  *anchortest.Script // nil without a file
	seed    uint64
}

// setup reads the flags. The error has a line for each mistake in them.
func (s *stubCmd) setup() (stubSetup, error) {
	set := stubSetup{stubCmd: s, key: strings.TrimSpace(s.Key), seed: s.Seed}
	var problems []error
	wrong := func(flag string, err error) {
		if err == nil {
			return
		}
		for line := range strings.SplitSeq(err.Error(), "\n") {
			problems = append(problems, errors.New(flag+line))
		}
	}
	wrong("--addr ", checkAddr(s.Addr))
	wrong("--browsers ", atLeastZero(s.Browsers))
	wrong("--per-minute ", atLeastZero(s.PerMinute))
	var err error
	set.runTime, err = anchortest.ParseRunTime(s.Duration)
	wrong("--duration ", err)
	set.faults, err = anchortest.ParseFaults(s.Faults)
	wrong("--faults: ", err)
	if s.Script != "" {
		set.script, err = readScript(s.Script)
		wrong("", err) // its lines begin with file and line
	}
	if set.key == "" {
		set.key = "stub-" + strings.ToLower(crand.Text())
	}
	wrong("--key ", checkStubKey(set.key))
	if set.seed == 0 {
		set.seed = uint64(rand.Uint32()) + 1 // short enough to be typed
	}
	return set, errors.Join(problems...)
}

// checkAddr accepts an address with a port to listen on. The host may be empty: that is every address of this machine.
func checkAddr(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	number, notNumber := strconv.Atoi(port)
	if err != nil || notNumber != nil || number < 0 || number > maxPort {
		return fmt.Errorf("must be a host and a port from 0 to %d, such as 127.0.0.1:8091 or :8091 (got %.100q)", maxPort, addr)
	}
	return nil
}

// atLeastZero is the rule of the limits.
func atLeastZero(n int) error {
	if n < 0 {
		return fmt.Errorf("must be 0 for no limit, or a number above it (got %d)", n)
	}
	return nil
}

// checkStubKey accepts a key that a worker accepts.
func checkStubKey(key string) error {
	client := anchor.Config{APIKey: anchor.Secret(key), BaseURL: "http://127.0.0.1", RequestTimeout: time.Second}
	for _, mistake := range client.Validate() {
		return errors.New(strings.TrimPrefix(mistake, "ANCHORBROWSER_API_KEY "))
	}
	return nil
}

// readScript reads the file of --script.
func readScript(name string) (*anchortest.Script, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("--script: %w", err)
	}
	return anchortest.ReadScript(name, text)
}

// options returns what the stand-in is made with.
func (s stubSetup) options() []anchortest.Option {
	options := []anchortest.Option{
		anchortest.WithKey(s.key), anchortest.WithRunTime(s.seed, s.runTime), anchortest.WithFaults(s.seed, s.faults),
		anchortest.WithSessions(func(string) bool { return false }), anchortest.WithAgent(anchortest.Sample),
		anchortest.WithRepeats(), anchortest.WithoutBodies(),
	}
	if s.ReadPages {
		options = append(options, anchortest.WithAgent(anchortest.PageReader))
	}
	if s.Browsers > 0 {
		options = append(options, anchortest.WithMaxRunning(s.Browsers))
	}
	if s.PerMinute > 0 {
		options = append(options, anchortest.WithStartRate(anchortest.StartRate{Quota: s.PerMinute, Window: time.Minute}))
	}
	if s.script != nil {
		options = append(options, anchortest.WithScript(s.script))
	}
	return options
}

// introduce prints what runs where, and how a client finds it.
func (s stubSetup) introduce(t *terminal, addr net.Addr) {
	t.printf("\n%s\n\n", bold("This is a stub, not Anchor Browser: no AI, no browser, no costs"))
	url, everywhere := stubURL(addr)
	t.printf("  export ANCHORBROWSER_BASE_URL=%s\n", url)
	if s.Key == "" {
		t.printf("  export ANCHORBROWSER_API_KEY=%s\n", s.key)
	} else {
		t.printf("  %s\n", faint("and as ANCHORBROWSER_API_KEY the one of --key"))
	}
	t.printf("\n%s browsers, %s new ones a minute, %s a task\n", stubLimit(s.Browsers), stubLimit(s.PerMinute), s.runTime)
	if s.Faults != "" {
		t.printf("Faults: %s\n", s.faults)
	}
	if s.script != nil {
		t.printf("Script: %d rules of %s\n", s.script.Len(), printableLines(s.Script))
	}
	t.printf("--seed=%d repeats the times and faults of this run\n", s.seed)
	if everywhere {
		t.printf("Other machines can reach it: anyone who has the key can use it\n")
	}
	t.printf("\n%s\n\n", faint("Calls appear below. Ctrl-C ends the stub."))
}

// stubURL returns an address of the stub for a client on this machine, and whether other machines can reach it.
func stubURL(addr net.Addr) (url string, everywhere bool) {
	tcp, ok := addr.(*net.TCPAddr)
	switch {
	case !ok:
		return "http://" + addr.String(), true
	case tcp.IP.IsUnspecified():
		return fmt.Sprintf("http://127.0.0.1:%d", tcp.Port), true
	default:
		return "http://" + tcp.String(), !tcp.IP.IsLoopback()
	}
}

// stubLimit is a limit in words.
func stubLimit(n int) string {
	if n == 0 {
		return "any number of"
	}
	return strconv.Itoa(n)
}

// faultsHelp lists the names that --faults takes.
func faultsHelp() string {
	var calls, endings strings.Builder
	for _, named := range anchortest.NamedFaults() {
		if named.Ending != nil {
			fmt.Fprintf(&endings, "  %-18s %s\n", named.Name, named.About)
		} else {
			fmt.Fprintf(&calls, "  %-18s %s\n", named.Name, named.About)
		}
	}
	return "What a submission can meet:\n\n" + calls.String() +
		"  400 to 599         an error with this status; 429 has Retry-After\n\nHow a workflow can end:\n\n" + strings.TrimRight(endings.String(), "\n") +
		"\n\nWith poll- before the name (poll-500), the first ones but lost-answer and no-id strike status calls, and with session-\n" +
		"before it (session-500), all but no-id strike the calls that read, list and end sessions."
}
