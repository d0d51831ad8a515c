package contract_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/contract/compat"
)

// released is the folder with the schemas of each release, in a folder that is named by its tag. A release copies the files
// of api into it.
const released = folder + "/released"

// derived are the places in the schema of a request that follow from its list of fields: a new field cannot be in extra any
// more, where no reader of then knew it.
func derived() []string { return []string{"/properties/extra/propertyNames", "/allOf"} }

// writersOf returns who writes the values of a schema.
func writersOf(name string) compat.Writers {
	switch name {
	case "request", "cancel", "pause":
		return compat.Users
	default:
		return compat.Workers
	}
}

// brokenSince returns what the present schemas break for programs that were written for those in a folder.
func brokenSince(t *testing.T, dir string) (broken []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.schema.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("got %v, %v, want the schemas of a release in %s", files, err, dir)
	}
	present := map[string][]byte{}
	for _, each := range schemas() {
		present[each.Name] = each.Text
	}
	for _, file := range files {
		older, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".schema.json")
		if present[name] == nil {
			broken = append(broken, name+": is removed")
			continue
		}
		found, err := compat.Compare(older, present[name], writersOf(name), derived()...)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, each := range found {
			broken = append(broken, name+each)
		}
	}
	return broken
}

// Each version that the changelog names has its schemas in the folder, and what was written for them still works.
func TestNoReleasedSchemaIsBroken(t *testing.T) {
	changelog, err := os.ReadFile("../../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	versions := regexp.MustCompile(`(?m)^## \[?v?(\d+\.\d+\.\d+)`).FindAllStringSubmatch(string(changelog), -1)
	for _, version := range versions {
		tag := "v" + version[1]
		for _, each := range brokenSince(t, filepath.Join(released, tag)) {
			t.Errorf("since %s: %s", tag, each)
		}
	}
	folders, err := filepath.Glob(filepath.Join(released, "v*"))
	if err != nil || len(folders) != len(versions) {
		t.Errorf("got the schemas of %d releases, %v, want those of the %d in CHANGELOG.md", len(folders), err, len(versions))
	}
}

// The comparison works on the schemas as they are: with each change that breaks a program, it finds that one.
func TestABrokenReleaseIsFound(t *testing.T) {
	for _, tc := range []struct{ name, present, older, want string }{
		{"request", `"maximum": 5`, `"maximum": 6`, "request/properties/retries/maximum: was 6 and is 5"},
		{"request", `"batch": {`, `"group": {`, "request/properties/group: is removed"},
		{"request", `"required": ["prompt"],`, ``, "request/required: prompt is required, and was not"},
		{"event", `"polls", "worker"]`, `"polls", "worker", "batch"]`, "event/required: batch was always there, and may be missing"},
		{"event", `"enum": ["succeeded", "failed"]`, `"enum": ["succeeded"]`, "event/properties/status/enum: failed is new"},
		{"event", `"expired", "rejected"`, `"expired"`, ""}, // a new error code
		{"record", `"enum": ["paused", "rate",`, `"enum": ["paused", "moon", "rate",`, "record/properties/waits_for/anyOf/0/enum: moon is removed"},
	} {
		dir := t.TempDir()
		for _, each := range schemas() {
			text := string(each.Text)
			if each.Name == tc.name {
				if text = strings.ReplaceAll(text, tc.present, tc.older); text == string(each.Text) {
					t.Fatalf("%s has no %s", tc.name, tc.present)
				}
			}
			if err := os.WriteFile(filepath.Join(dir, each.File), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got := brokenSince(t, dir)
		if tc.want == "" && len(got) > 0 || tc.want != "" && !strings.Contains(strings.Join(got, "\n")+"\n", tc.want+"\n") {
			t.Errorf("%s in place of %s: got %q, want %q", tc.present, tc.older, got, tc.want)
		}
	}
}

func TestARemovedSchemaIsFound(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "plan.schema.json"), []byte(`{}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := brokenSince(t, dir); len(got) != 1 || got[0] != "plan: is removed" {
		t.Errorf("got %q, want that plan is removed", got)
	}
}
