package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"
)

// What is typed, and what the shell makes of it when a person presses the tab key.
var completed = map[string]string{
	"wat":                                "watch",
	"help red":                           "help redrive",
	"completion zs":                      "completion zsh",
	"--nats-u":                           "--nats-url",
	"watch --fai":                        "watch --failed",
	"list --state wai":                   "list --state waiting",
	"list --state=wai":                   "list --state=waiting",
	"watch --code poi":                   "watch --code poisoned",
	"redrive --batch night --code step":  "redrive --batch night --code step_limit",
	"submit --format jsonl":              "submit --format jsonl",
	"submit --on-unknown-submission res": "submit --on-unknown-submission resubmit",
	"submit -f ord":                      "submit -f orders.csv",
	"submit --report=ord":                "submit --report=orders.csv",
}

// shellFolder returns a home folder for a shell, with the tool in its bin folder and a file to name.
func shellFolder(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"bin", "it's a folder", ".config/fish"} {
		if err := os.MkdirAll(filepath.Join(home, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, link := range []string{"bin/capstan", "it's a folder/capstan"} {
		if err := os.Symlink(program, filepath.Join(home, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(home, "orders.csv"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return home
}

// startupLine returns the file and the line that the help names for a shell.
func startupLine(t *testing.T, shell string) (file, line string) {
	t.Helper()
	for each := range strings.Lines((&completionCmd{}).Help()) {
		if file, line, ok := strings.Cut(strings.TrimSpace(each), " "); ok && strings.Contains(line, "completion "+shell) {
			return strings.TrimPrefix(file, "~/"), strings.TrimSpace(line)
		}
	}
	t.Fatalf("the help of completion has no line for %s", shell)
	return "", ""
}

// newShell returns a shell that begins with these lines in its startup file. It skips the test if the shell is not installed.
func newShell(t *testing.T, home, shell, startup string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(shell)
	if err != nil {
		t.Skipf("NOT TESTED: %s is not installed, so nothing shows that its completion works; apt-get install %s", shell, shell)
	}
	file, _ := startupLine(t, shell)
	if err := os.WriteFile(filepath.Join(home, file), []byte(startup), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = home
	cmd.Env = append(asTool(),
		"HOME="+home, "ZDOTDIR="+home, "XDG_CONFIG_HOME="+home+"/.config", "XDG_DATA_HOME="+home,
		"PATH="+home+"/bin:"+os.Getenv("PATH"), "TERM=xterm", "LANG=C.UTF-8",
	)
	return cmd
}

// typed types lines that begin with capstan into a shell on a terminal, presses the tab key after each, and runs it. It
// returns the arguments that the shell passed. The shell must have run the lines of arguments before.
func typed(t *testing.T, cmd *exec.Cmd, lines []string) (arguments []string) {
	t.Helper()
	terminal, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	out, ended := &output{}, make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = terminal.WriteTo(out) // its error is that the shell has ended
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = terminal.Close()
		<-ended
	})
	for i, line := range lines {
		out.await(t, fmt.Sprintf("ready %d> ", i))
		if _, err := terminal.WriteString("capstan " + line + "\t\r"); err != nil {
			t.Fatal(err)
		}
		begin := fmt.Sprintf("ran %d: [", i+1)
		out.await(t, fmt.Sprintf("ready %d> ", i+1))
		_, after, _ := strings.Cut(out.String(), begin)
		got, _, _ := strings.Cut(after, "]")
		arguments = append(arguments, got)
	}
	return arguments
}

// shows is what a startup file needs so that capstan prints its arguments, and the prompt how many lines ran.
const shows = "n=0\nPS1='ready $n> '\ncapstan() { n=$((n+1)); echo \"ran $n: [$*]\"; }\n"

// wantCompleted types all lines in a shell with this startup file.
func wantCompleted(t *testing.T, cmd *exec.Cmd, want map[string]string) {
	t.Helper()
	var lines []string
	for line := range want {
		lines = append(lines, line)
	}
	for i, got := range typed(t, cmd, lines) {
		if got != want[lines[i]] {
			t.Errorf("capstan %s: got %q, want %q", lines[i], got, want[lines[i]])
		}
	}
}

func TestBashCompletesWords(t *testing.T) {
	t.Parallel()
	_, line := startupLine(t, "bash")
	wantCompleted(t, newShell(t, shellFolder(t), "bash", line+"\n"+shows, "-i"), completed)
}

func TestZshCompletesWords(t *testing.T) {
	t.Parallel()
	_, line := startupLine(t, "zsh")
	wantCompleted(t, newShell(t, shellFolder(t), "zsh", line+"\nsetopt prompt_subst\n"+shows, "-d", "-i"), completed)
}

func TestFishCompletesWords(t *testing.T) {
	t.Parallel()
	_, line := startupLine(t, "fish")
	home := shellFolder(t)
	for typed, want := range completed {
		words := strings.Fields(want)
		cmd := newShell(t, home, "fish", line+"\n", "-c", `complete -C "capstan `+typed+`"`)
		got, err := cmd.Output()
		if word, _, _ := strings.Cut(strings.TrimSpace(string(got)), "\t"); err != nil || word != words[len(words)-1] {
			t.Errorf("capstan %s: got %v and %q, want %q", typed, err, got, words[len(words)-1])
		}
	}
}

// In a folder whose name a shell would take apart.
func TestCompletionFindsTheProgramInAnyFolder(t *testing.T) {
	t.Parallel()
	for shell, args := range map[string][]string{"bash": {"-i"}, "zsh": {"-d", "-i"}} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			home := shellFolder(t)
			script := completionScript(shell, home+"/it's a folder/capstan") + map[string]string{"zsh": "setopt prompt_subst\n"}[shell] + shows
			wantCompleted(t, newShell(t, home, shell, script, args...), map[string]string{"list --state wai": "list --state waiting"})
		})
	}
	t.Run("fish", func(t *testing.T) {
		t.Parallel()
		home := shellFolder(t)
		got, err := newShell(t, home, "fish", completionScript("fish", home+"/it's a folder/capstan"), "-c", "complete -C 'capstan wat'").Output()
		if err != nil || strings.TrimSpace(string(got)) != "watch" {
			t.Errorf("got %v and %q, want watch", err, got)
		}
	})
}
