package process_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/test/process"
)

func TestMain(m *testing.M) {
	isChild, err := process.RunChild(context.Background(), map[string]process.Role{"greedy": takeMemory})
	switch {
	case err != nil:
		os.Exit(1)
	case !isChild:
		os.Exit(m.Run())
	}
}

// takeMemory uses 100 MiB of memory.
func takeMemory(context.Context, []byte) error {
	memory := make([]byte, 100<<20)
	for i := range memory {
		memory[i] = 1
	}
	if memory[len(memory)-1] != 1 {
		return errors.New("the memory was not used")
	}
	return nil
}

func newKeeper(t *testing.T) *process.Keeper {
	t.Helper()
	k, err := process.NewKeeper(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

func TestAPodLimitsMemory(t *testing.T) {
	for name, c := range map[string]struct {
		limit int64
		dies  bool
	}{"enough": {2 << 30, false}, "too little": {60 << 20, true}} {
		t.Run(name, func(t *testing.T) {
			pod := process.NewPod(c.limit)
			if !pod.Enforced() {
				t.Skip("this test may not create a control group here")
			}
			env, err := process.ChildEnv("greedy", nil)
			if err != nil {
				t.Fatal(err)
			}
			greedy, err := newKeeper(t).Start(t.Context(), pod, t.TempDir(), "greedy", os.Args[0], env)
			if err != nil {
				t.Fatal(err)
			}
			if err := greedy.Exit(t.Context(), time.Minute); (err != nil) != c.dies {
				t.Errorf("got %v, want death: %t", err, c.dies)
			}
			if killed, err := pod.Killed(); err != nil || (killed > 0) != c.dies {
				t.Errorf("got %d killed, %v, want some: %t", killed, err, c.dies)
			}
			if err := pod.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAProcessThatHasEndedHasNoPeak(t *testing.T) {
	waiting, err := newKeeper(t).Start(t.Context(), nil, t.TempDir(), "waiting", "/bin/sh", "x=")
	if err != nil {
		t.Fatal(err)
	}
	if err := waiting.Exit(t.Context(), time.Minute); err != nil { // its input is empty
		t.Fatal(err)
	}
	if peak, err := waiting.Peak(); err == nil {
		t.Errorf("got %d bytes of a process that has ended, want an error", peak)
	}
}

func TestASkewedProgramHasAnotherTime(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the standard library")
	}
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	const program = "package main\n\nimport \"time\"\n\nfunc main() { print(time.Now().Unix(), \"\\n\") }\n"
	if err := os.WriteFile(source, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "program")
	if err := process.BuildSkewed(t.Context(), dir, source, binary); err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]time.Duration{"": 0, "-7200": -2 * time.Hour, "7200": 2 * time.Hour} {
		cmd := exec.CommandContext(t.Context(), binary)
		cmd.Env = append(os.Environ(), process.SkewVariable+"="+value)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatal(err)
		}
		printed, err := time.ParseDuration(strings.TrimSpace(string(out)) + "s")
		if err != nil {
			t.Fatal(err)
		}
		if off := printed - time.Duration(time.Now().Unix())*time.Second - want; off.Abs() > 5*time.Second {
			t.Errorf("%q: the clock is off by %v, want %v", value, want+off, want)
		}
	}
}
