package node_test

import (
	"encoding/json"
	"os"
	"testing"
)

// A lock file that was written behind a mirror would name the mirror, and nobody else could install from it. Without
// addresses npm takes the registry of its settings, and the checksums say what it must get.
func TestTheLockFileHasChecksumsAndNamesNoRegistry(t *testing.T) {
	text, err := os.ReadFile("package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	var lock struct {
		Packages map[string]struct{ Resolved, Integrity string }
	}
	if err := json.Unmarshal(text, &lock); err != nil {
		t.Fatal(err)
	}
	if len(lock.Packages) < 4 {
		t.Fatalf("got %d packages, want those of package.json and what they need", len(lock.Packages))
	}
	for name, each := range lock.Packages {
		if name == "" { // the folder itself
			continue
		}
		if each.Resolved != "" || each.Integrity == "" {
			t.Errorf("%s: got %+v, want a checksum and no address", name, each)
		}
	}
}
