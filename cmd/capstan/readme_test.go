package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Whoever copies a command out of a document must not get a usage error.
func TestCommandsInTheDocumentsAreOnesThatTheToolTakes(t *testing.T) {
	t.Setenv("NATS_URL", "")
	command := regexp.MustCompile("capstan ((?:demo|stub|submit|watch|get|cancel|pause|resume|redrive|check|status|list|why|worker|help|completion|version|schema)\\b[^`\n#;]*)")
	for file, least := range map[string]int{"README.md": 5, "docs/first-hour.md": 10, "docs/batches.md": 8, "docs/operations.md": 2, "docs/runbook.md": 6, "docs/messages.md": 1, "docs/stub.md": 1, "k8s/README.md": 1} {
		text, err := os.ReadFile("../../" + file)
		if err != nil {
			t.Fatal(err)
		}
		tried := 0
		for _, code := range regexp.MustCompile("(?s)```sh\n(.*?)```|`([^`\n]+)`").FindAllStringSubmatch(string(text), -1) {
			for _, match := range command.FindAllStringSubmatch(code[1]+code[2], -1) {
				if strings.Contains(match[1], "…") || code[1] == "" && len(words(match[1])) == 1 {
					continue // a part of a command, or its name
				}
				tried++
				terminal, _ := testTerminal(nil)
				if _, err := newParser(terminal).Parse(words(match[1])); err != nil {
					t.Errorf("%s: capstan %s: %v", file, match[1], err)
				}
			}
		}
		if tried < least {
			t.Errorf("%s: got %d commands, want %d at least", file, tried, least)
		}
	}
}

// words splits a command as a shell does, as far as the documents need it: by blanks, not within quotes, and up to a pipe,
// a redirection, an & or another command.
func words(command string) []string {
	var found []string
	for _, word := range regexp.MustCompile(`"[^"]*"|\S+`).FindAllString(command, -1) {
		if slices.Contains([]string{"|", "||", "&", "&&", ">"}, word) {
			break
		}
		found = append(found, strings.Trim(word, `"`))
	}
	return found
}
