package k8s_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// largestImage is the largest size of the image on a node, in bytes.
const largestImage = 30_000_000

// authorities is more than the size of the image's certificates, in bytes.
const authorities = 500_000

// module is the path of the worker's module.
const module = "github.com/capstan-worker/capstan"

func TestTheImageHasOnlyTheBinaryLicensesAndCertificates(t *testing.T) {
	image := t.TempDir()
	docker, script := steps(t, "Dockerfile"), steps(t, "k8s/image.sh")
	// The same sources make the same image in each folder and for each commit.
	build := regexp.MustCompile(`(?m)^RUN (CGO_ENABLED=0 go build -tags nodemo -trimpath -buildvcs=false .*) && find /image -exec touch -h -d "@\$SOURCE_DATE_EPOCH" {} \+$`).
		FindStringSubmatch(docker)
	if build == nil {
		t.Fatal("Dockerfile: got no step that builds the image, want one whose output depends on the sources only")
	}
	if !strings.Contains(docker, "\nFROM ${GO_IMAGE} AS build\n") || !strings.Contains(script, `--build-arg "GO_IMAGE=$GO_IMAGE"`) {
		t.Error("base image: got another one, want the one that GO_IMAGE names")
	}
	t.Setenv("VERSION", "v-test")
	skipped := 0
	for command := range strings.SplitSeq(build[1], " && ") {
		if !strings.Contains(script, command) {
			t.Errorf("image.sh: got no %q, want it", command)
		}
		if strings.Contains(command, "/ca-certificates") { // which are the builder's
			skipped++
			continue
		}
		output(t, strings.ReplaceAll(command, "/image", image))
	}
	entries, err := filepath.Glob(filepath.Join(image, "*"))
	if want := []string{image + "/capstan", image + "/licenses", image + "/worker"}; err != nil || !slices.Equal(entries, want) || skipped != 2 {
		t.Errorf("image: got %q, %v, and %d commands for certificates, want %q and 2", entries, err, skipped, want)
	}
	checkBinary(t, image)
	checkSourcesAndLicenses(t, docker, image)
}

// steps returns the commands of a file, each on one line, with the image in /image as in the Dockerfile.
func steps(t *testing.T, file string) string {
	t.Helper()
	text := regexp.MustCompile(`\\\n\s*`).ReplaceAllString(read(t, filepath.Join(root, file)), "")
	text = regexp.MustCompile(`"\$stage(/[^"]*)"`).ReplaceAllString(text, "$1")
	return strings.ReplaceAll(text, "$version", "$VERSION")
}

// checkBinary checks the binary under both of its names.
func checkBinary(t *testing.T, image string) {
	t.Helper()
	binary := filepath.Join(image, "capstan")
	info, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Size() + authorities; got > largestImage {
		t.Errorf("image: got %d bytes, want %d at most", got, largestImage)
	}
	if got := output(t, binary+" --version"); got != "v-test\n" {
		t.Errorf("--version: got %q, want v-test", got)
	}
	if got := output(t, filepath.Join(image, "worker")+" -help"); !strings.HasPrefix(got, "worker ") {
		t.Errorf("the binary, called worker: got %.40q, want the worker's help", got)
	}
}

// checkSourcesAndLicenses checks that the Dockerfile copies each package that is linked, and that the image has the texts
// that the licenses of the linked modules demand.
func checkSourcesAndLicenses(t *testing.T, docker, image string) {
	t.Helper()
	linked := strings.Fields(output(t, "go list -tags=nodemo -deps -f='{{with .Module}}{{if .Main}}{{$.ImportPath}}{{else}}{{.Path}}{{end}}{{end}}' ./cmd/capstan"))
	if len(linked) < 20 {
		t.Errorf("linked: got %v, want more packages and modules", linked)
	}
	for _, name := range append(linked, module, "go.dev") {
		if inside, ok := strings.CutPrefix(name, module+"/"); ok {
			folder, _, _ := strings.Cut(inside, "/")
			if !strings.Contains(docker, "\nCOPY "+folder+" "+folder+"\n") || !strings.Contains(read(t, filepath.Join(root, ".dockerignore")), "\n!"+folder+"\n") {
				t.Errorf("Dockerfile and .dockerignore: got no %s, want it", folder)
			}
			continue
		}
		if texts, err := os.ReadDir(filepath.Join(image, "licenses", name)); err != nil || len(texts) == 0 {
			t.Errorf("licenses: got none of %s, %v, want its text", name, err)
		}
	}
}

func TestProductionRunsAnImageWithADigest(t *testing.T) {
	for _, more := range []string{"", "images: [{name: capstan, newTag: v1}]\n"} {
		if _, err := render("production", "", more); err == nil || !strings.Contains(err.Error(), "out of bounds for value") {
			t.Errorf("image with %q: got %v, want a refusal", more, err)
		}
	}
	if got := production(t, "", "").container.Image; !strings.HasPrefix(got, "registry.example/capstan@sha256:") {
		t.Errorf("image: got %s, want one by digest", got)
	}
}

// output runs a command in the repository, and returns what it prints.
func output(t *testing.T, command string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Dir = root
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", command, err, out, &complaints)
	}
	return string(out)
}
