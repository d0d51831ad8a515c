package k8s_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// largestImage is what all of the image may take on a node, in bytes.
const largestImage = 30_000_000

// authorities is more than the image's bundle of certificates takes, in bytes.
const authorities = 500_000

// The image holds one binary, built as the Dockerfile says, and certificates.
func TestTheImageIsSmall(t *testing.T) {
	build := buildOf(t, "Dockerfile")
	if script := buildOf(t, "k8s/image.sh"); !slices.Equal(script, build) {
		t.Fatalf("image.sh: got go build %v, want that of the Dockerfile, %v", script, build)
	}
	binary := filepath.Join(t.TempDir(), "capstan")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "-ldflags", "-s -w")
	cmd.Args = append(cmd.Args, build...)
	cmd.Dir = filepath.FromSlash(root)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	info, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Size() + authorities; got > largestImage {
		t.Errorf("image: got %d bytes, want %d at most", got, largestImage)
	}
}

// buildOf returns the tags and the package of the go build in a file, which are all that makes a binary of
// another size.
func buildOf(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`go build (-tags \w+) [^&|;]*? (\./cmd/\S+)`).FindStringSubmatch(string(text))
	if found == nil {
		t.Fatalf("%s: got no go build with tags, want one", file)
	}
	return append(strings.Fields(found[1]), found[2])
}

func TestProductionIsNotRenderedWithoutADigest(t *testing.T) {
	tree := copyTree(t)
	for _, version := range []string{"", "newTag: v1"} {
		setImage(t, tree, version)
		dir := filepath.Join(tree, "overlays", "production")
		_, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
		if err == nil || !strings.Contains(err.Error(), "out of bounds for value") {
			t.Errorf("image with %q: got %v, want that it is refused", version, err)
		}
	}
}
