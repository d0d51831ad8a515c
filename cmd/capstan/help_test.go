package main

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// printed runs the tool, which must succeed, and returns its output.
func printed(t *testing.T, env []string, args ...string) string {
	t.Helper()
	run := newTool(t, env, args...)
	if got := run.status(t); got != exitOK {
		t.Fatalf("capstan %s: exit status: got %d, want %d\n%s", strings.Join(args, " "), got, exitOK, &run.err)
	}
	return run.out.String()
}

func TestHelpAndVersionAreCommandsAsWellAsFlags(t *testing.T) {
	t.Parallel()
	for command, flag := range map[string]string{"help": "--help", "help submit": "submit --help", "help help": "help --help", "version": "--version"} {
		got, want := printed(t, nil, strings.Fields(command)...), printed(t, nil, strings.Fields(flag)...)
		if got != want || got == "" {
			t.Errorf("capstan %s: got\n%s\nwant the same as %s:\n%s", command, got, flag, want)
		}
	}
	run := newTool(t, nil, "help", "sumbit")
	if got := run.status(t); got != exitUsage || !strings.Contains(run.err.String(), "did you mean submit?") {
		t.Errorf("help on an unknown command: got %d, %s, want %d and the nearest", got, &run.err, exitUsage)
	}
}

// Scripts rely on them.
func TestTheHelpNamesEachExitStatus(t *testing.T) {
	t.Parallel()
	help := printed(t, nil, "help")
	for _, want := range []string{"  0  ", "  1  ", "  2  ", "  3  ", "  4  ", "  130  "} {
		if !strings.Contains(help, "\n"+"  "+want) {
			t.Errorf("got %s\nwant a line that begins with %q", help, want)
		}
	}
}

func TestTheHelpFitsTheTerminal(t *testing.T) {
	t.Parallel()
	for columns, most := range map[string]int{"70": 70, "100": 100, "500": widestHelp} {
		_, flags, _ := strings.Cut(printed(t, []string{"COLUMNS=" + columns}, "submit", "--help"), "Flags:")
		longest := slices.MaxFunc(strings.Split(flags, "\n"), func(a, b string) int { return len(a) - len(b) })
		if len(longest) > most || len(longest) < most*2/3 {
			t.Errorf("%s columns: got a line of %d, want about %d: %s", columns, len(longest), most, longest)
		}
	}
}

func TestCompletionPrintsAScriptForEachShell(t *testing.T) {
	t.Parallel()
	for shell, want := range map[string]string{"bash": "complete ", "zsh": "compdef ", "fish": "complete -c capstan"} {
		script := printed(t, nil, "completion", shell)
		if !strings.Contains(script, want) || !strings.Contains(script, os.Args[0]) {
			t.Errorf("%s: got %s, want a script with %q that runs this program", shell, script, want)
		}
	}
}

func TestWordsAreCompleted(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"capstan wat":            "watch",
		"capstan watch --si":     "--since",
		"capstan help ge":        "get",
		"capstan completion f":   "fish",
		"capstan get --nats-u":   "--nats-url",
		"capstan get --context=": "",
	} {
		if got := strings.TrimSpace(printed(t, []string{"COMP_LINE=" + line})); got != want {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
	all := strings.Fields(printed(t, []string{"COMP_LINE=capstan "}))
	for _, want := range []string{"submit", "watch", "get", "check", "help", "version", "completion"} {
		if !slices.Contains(all, want) {
			t.Errorf("got %v, want %s among them", all, want)
		}
	}
}
