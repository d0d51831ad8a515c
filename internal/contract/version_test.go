package contract_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/capstan-worker/capstan/internal/contract"
)

// repository returns a file of the repository.
func repository(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheNewestReleaseOfTheChangelogIsTheVersion(t *testing.T) {
	changelog := repository(t, "CHANGELOG.md")
	headings := regexp.MustCompile(`(?m)^## \[(.*)\](?: - (\d{4}-\d{2}-\d{2}))?$`).FindAllStringSubmatch(changelog, -1)
	if len(headings) < 2 || headings[0][1] != "Unreleased" || headings[1][1] != contract.Version || headings[1][2] == "" {
		t.Errorf("CHANGELOG.md: got headings %q, want [Unreleased] and then [%s] with a date", headings, contract.Version)
	}
	for _, h := range headings {
		if !regexp.MustCompile(`(?m)^\[` + regexp.QuoteMeta(h[1]) + `\]: https://\S*/v\d`).MatchString(changelog) {
			t.Errorf("CHANGELOG.md: got no address of [%s], want one with a tag at the end", h[1])
		}
	}
}

func TestTheAsyncAPIDocumentHasTheVersion(t *testing.T) {
	for _, each := range contract.Documents() {
		if each.Name != contract.AsyncAPI {
			continue
		}
		var document struct {
			Info struct{ Version string }
		}
		if err := json.Unmarshal(each.Text, &document); err != nil || document.Info.Version != contract.Version {
			t.Errorf("info.version: got %q, %v, want %q", document.Info.Version, err, contract.Version)
		}
		return
	}
	t.Error("got no AsyncAPI document")
}

// An install command or an image of an older release would give people what the documents do not describe.
func TestEachVersionInTheDocumentsIsTheNewest(t *testing.T) {
	own := regexp.MustCompile(`(?:capstan-worker/capstan\S*@|/capstan:|\bcapstan:|worker-6f9c )v?(\d+\.\d+\.\d+)`)
	files := []string{"README.md", "compose.yaml", "Dockerfile", "k8s/README.md"}
	for _, pattern := range []string{"docs/*.md", "k8s/*/*/*.yaml", "clients/*"} {
		found, err := filepath.Glob("../../" + pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: got %q, %v, want files", pattern, found, err)
		}
		for _, file := range found {
			files = append(files, file[len("../../"):])
		}
	}
	versions := 0
	for _, file := range files {
		for _, m := range own.FindAllStringSubmatch(repository(t, file), -1) {
			versions++
			if m[1] != contract.Version {
				t.Errorf("%s: got %q, want version %s", file, m[0], contract.Version)
			}
		}
	}
	if versions == 0 {
		t.Error("got no version in the documents, want the one in the example of operations.md at least")
	}
}
