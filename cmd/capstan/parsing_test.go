package main

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// The parser has texts and no types. A new version of it must not bring the old words back.
func TestMistakesInTheCommandLineAreToldInPlainWords(t *testing.T) {
	t.Setenv("NATS_URL", "")
	t.Setenv(contextVariable, "")
	for args, want := range map[string]string{
		"sumbit":                         `unknown command "sumbit", did you mean submit?`,
		"xyzzy":                          `unknown command "xyzzy"`,
		"--nats-url=x":                   `no command given`,
		"watch --sincee 3m":              `unknown flag --sincee, did you mean --since?`,
		"submit --model-name=x":          `unknown flag --model-name`,
		"watch --since abc":              `--since must be a duration such as 10m or 1h30m (got "abc")`,
		"watch --since":                  `--since needs a value`,
		"watch --since -5m":              `--since needs a value; if that is -5m, write --since=-5m`,
		"watch --since --all":            `--since needs a value; if that is --all, write --since=--all`,
		"watch --since=3m --all":         `--since and --all exclude each other: give one of them`,
		"submit --max-steps=many p":      `--max-steps must be a whole number (got "many")`,
		"submit --wait=perhaps p":        `--wait must be true or false (got "perhaps")`,
		"submit --no-async=perhaps p":    `a flag that begins with --no- needs no value (got "perhaps")`,
		"submit --extra={ p":             `--extra must be JSON, or @FILE`,
		"submit --secret==x p":           `--secret must be NAME, NAME=@FILE or NAME=VALUE; the name is missing`,
		"submit --extra=@/nowhere p":     `--extra: open /nowhere: no such file or directory`,
		"get":                            `missing argument: <task>`,
		"get a b":                        `unexpected argument "b"; if it belongs to the one before, put both in quotes`,
		"completion tcsh":                `<shell> must be one of bash, zsh or fish (got "tcsh")`,
		"completion":                     `missing argument: <shell>`,
		"--nats-url=a --context=b get x": `--nats-url and --context exclude each other: give one of them`,
		"--nats-url= get x":              `--nats-url must be nats://host:port, or several of these separated by commas (got "")`,
		"--context= get x":               `--context must be the name of a context, see: nats context ls (got "")`,
		"get \x1b[2J\x1b[31m x":          `unexpected argument "x"`,
		"\x1b[2J":                        `unknown command "\x1b[2J"`,
		"get --\x1b[2J":                  `unknown flag --\x1b[2J`,
		"get -5 x":                       `unknown flag -5`,
	} {
		terminal, _ := testTerminal(nil)
		_, err := newParser(terminal).Parse(strings.Split(args, " "))
		if err == nil {
			t.Errorf("%q: got no error", args)
			continue
		}
		if got := explainParsing(err).Error(); !strings.HasPrefix(got, want) {
			t.Errorf("%q: got %s, want %s", args, got, want)
		}
	}
}

func TestALongArgumentMakesAShortMessage(t *testing.T) {
	t.Setenv(contextVariable, "")
	long := strings.Repeat("ü", 1<<19)
	for _, args := range [][]string{{long}, {"get", "a", long}, {"watch", "--since=" + long}, {"watch", "--" + long}, {"completion", long}} {
		terminal, _ := testTerminal(nil)
		_, err := newParser(terminal).Parse(args)
		if err == nil {
			t.Fatalf("%.20q: got no error", args)
		}
		if got := explainParsing(err).Error(); utf8.RuneCountInString(got) > parseMessageWidth {
			t.Errorf("%.20q: got a message of %d characters, want at most %d", args, utf8.RuneCountInString(got), parseMessageWidth)
		}
	}
}

func TestTheHintNamesTheCommand(t *testing.T) {
	for args, want := range map[string]string{"get": " get", "watch --nope": " watch", "nope": "", "--nope": ""} {
		terminal, _ := testTerminal(nil)
		_, err := newParser(terminal).Parse(strings.Fields(args))
		if got := commandOf(err); got != want {
			t.Errorf("%s: got %q, want %q", args, got, want)
		}
	}
}
