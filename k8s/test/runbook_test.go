package k8s_test

import (
	"io/fs"
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
	for _, heading := range headings(t, runbook) {
		if name, ok := strings.CutPrefix(heading, "### Capstan"); ok {
			found = append(found, "Capstan"+name)
		}
	}
	if !slices.Equal(found, alerts) {
		t.Errorf("%s: got headings\n%q, want one for each alert, in their order:\n%q", runbook, found, alerts)
	}
}

func TestEveryRelativeLinkInADocumentLeadsToAFileOrAHeading(t *testing.T) {
	documents := documents(t)
	if len(documents) < 10 {
		t.Errorf("got %d documents, want those of the README", len(documents))
	}
	for _, document := range documents {
		for _, link := range regexp.MustCompile(`\]\(([^)]*)\)`).FindAllStringSubmatch(withoutCode(read(t, document)), -1) {
			if !strings.Contains(link[1], "://") {
				checkLink(t, document, link[1])
			}
		}
	}
}

// documents returns the Markdown files of the repository.
func documents(t *testing.T) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".md" && entry.Type().IsRegular() {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func checkLink(t *testing.T, document, link string) {
	t.Helper()
	name, heading, _ := strings.Cut(link, "#")
	target := document
	if name != "" {
		target = filepath.Join(filepath.Dir(document), name)
	}
	if _, err := os.Stat(target); err != nil {
		t.Errorf("%s: link %s: %v", document, link, err)
		return
	}
	if heading == "" {
		return
	}
	var anchors []string
	for _, h := range headings(t, target) {
		anchors = append(anchors, anchor(h))
	}
	if !slices.Contains(anchors, heading) {
		t.Errorf("%s: link %s: got no such heading, want one of %q", document, link, anchors)
	}
}

// headings are the lines of a document that start with a number sign, outside blocks of code.
func headings(t *testing.T, document string) []string {
	t.Helper()
	return regexp.MustCompile(`(?m)^#+ .*$`).FindAllString(withoutCode(read(t, document)), -1)
}

func withoutCode(text string) string {
	return regexp.MustCompile("(?ms)^ *```.*?\n *```").ReplaceAllString(text, "")
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
