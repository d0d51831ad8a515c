package k8s_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The documents that are held against the manifests.
const (
	runbook     = "../../docs/runbook.md"
	operations  = "../../docs/operations.md"
	permissions = "../../docs/permissions.md"
)

// Who is woken by an alert finds what to do, and no page says what to do about an alert that is gone.
func TestEveryAlertHasItsHeadingInTheRunbook(t *testing.T) {
	var alerts, found []string
	for _, r := range rules(t) {
		alerts = append(alerts, r.Alert)
	}
	for _, heading := range headings(t) {
		if name, ok := strings.CutPrefix(heading, "### Capstan"); ok {
			found = append(found, "Capstan"+name)
		}
	}
	if !slices.Equal(found, alerts) {
		t.Errorf("%s: got headings\n%q, want one for each alert, in their order:\n%q", runbook, found, alerts)
	}
}

func TestLinksWithinTheRunbookLeadSomewhere(t *testing.T) {
	var anchors []string
	for _, heading := range headings(t) {
		anchors = append(anchors, anchor(heading))
	}
	links := regexp.MustCompile(`\]\(#([^)]*)\)`).FindAllStringSubmatch(read(t, runbook), -1)
	if len(links) == 0 {
		t.Errorf("%s: got no link, want those of its contents", runbook)
	}
	for _, link := range links {
		if !slices.Contains(anchors, link[1]) {
			t.Errorf("%s: got a link to #%s, want one to a heading: %q", runbook, link[1], anchors)
		}
	}
}

// headings are the lines that begin with a number sign and stand in no block of code.
func headings(t *testing.T) []string {
	t.Helper()
	outside := regexp.MustCompile("(?ms)^```.*?\n```").ReplaceAllString(read(t, runbook), "")
	return regexp.MustCompile(`(?m)^#+ .*$`).FindAllString(outside, -1)
}

// anchor is what a heading is linked by, as GitHub makes it.
func anchor(heading string) string {
	text := strings.ToLower(strings.TrimLeft(heading, "# "))
	return strings.ReplaceAll(regexp.MustCompile(`[^\pL\pN _-]`).ReplaceAllString(text, ""), " ", "-")
}

// published is where a file of this repository can be read by somebody who has no copy of it: the address is the
// module's.
func published(t *testing.T, file string) string {
	t.Helper()
	module := regexp.MustCompile(`(?m)^module (\S+)$`).FindStringSubmatch(read(t, filepath.Join(root, "go.mod")))
	if module == nil {
		t.Fatal("go.mod: got no module, want one")
	}
	path, err := filepath.Rel(root, file)
	if err != nil {
		t.Fatal(err)
	}
	return "https://" + module[1] + "/blob/main/" + filepath.ToSlash(path)
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
