package k8s_test

import (
	"fmt"
	"io/fs"
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

// The image has one binary, certificates, and licenses, which are small.
func TestTheImageIsSmallAndTheSameFromTheSameSources(t *testing.T) {
	// Both copies share Go's cache, where a package is known by its sources and flags. Without -trimpath and
	// -buildvcs=false, a folder or a commit would be among those, and the second build would compile it again.
	plain, committed := copySources(t), copySources(t)
	commit(t, committed)
	first, second := build(t, plain), build(t, committed)
	if read(t, first) != read(t, second) {
		t.Error("the same sources in another folder: got another binary, want the same")
	}
	info, err := os.Stat(first)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Size() + authorities; got > largestImage {
		t.Errorf("image: got %d bytes, want %d at most", got, largestImage)
	}
	version, err := exec.CommandContext(t.Context(), first, "--version").Output()
	if got := strings.TrimSpace(string(version)); err != nil || got != "v-test" {
		t.Errorf("--version: got %q, %v, want v-test", got, err)
	}
	asWorker := filepath.Join(t.TempDir(), "worker")
	if err := os.Symlink(first, asWorker); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.CommandContext(t.Context(), asWorker, "-help").Output(); err != nil || !strings.HasPrefix(string(text), "worker ") {
		t.Errorf("the binary, called worker: got %.40q, %v, want the worker's help", text, err)
	}
}

// steps returns the commands of a file, each on one line, with the image in /image as in the Dockerfile.
func steps(t *testing.T, file string) string {
	t.Helper()
	text := regexp.MustCompile(`\\\n\s*`).ReplaceAllString(read(t, filepath.Join(root, file)), "")
	text = regexp.MustCompile(`"\$stage(/image/[^"]*)"`).ReplaceAllString(text, "$1")
	return strings.ReplaceAll(text, "$version", "$VERSION")
}

// build runs the Dockerfile's own go build in a folder, and returns the binary.
func build(t *testing.T, dir string) string {
	t.Helper()
	command := regexp.MustCompile(`CGO_ENABLED=0 go build .*? \./cmd/capstan`).FindString(steps(t, "Dockerfile"))
	if command == "" {
		t.Fatal("Dockerfile: got no go build, want one")
	}
	if script := steps(t, "k8s/image.sh"); !strings.Contains(script, command) {
		t.Errorf("image.sh: got %s, want in it %s", script, command)
	}
	binary := filepath.Join(t.TempDir(), "capstan")
	cmd := exec.CommandContext(t.Context(), "sh", "-c", strings.Replace(command, "/image/capstan", binary, 1))
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "VERSION=v-test", "GOFLAGS=-buildvcs=auto") // Go's default, whatever is set here
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return binary
}

// copySources copies what the Dockerfile copies, without what .dockerignore excludes.
func copySources(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, line := range regexp.MustCompile(`(?m)^COPY ([^-].*) \S+$`).FindAllStringSubmatch(steps(t, "Dockerfile"), -1) {
		for name := range strings.FieldsSeq(line[1]) {
			err := filepath.WalkDir(filepath.Join(root, name), func(file string, d fs.DirEntry, err error) error {
				switch {
				case err != nil:
					return err
				case d.Name() == "testdata":
					return filepath.SkipDir
				case d.IsDir() || strings.HasSuffix(file, "_test.go"):
					return nil
				}
				to := filepath.Join(dir, strings.TrimPrefix(file, filepath.FromSlash(root)))
				if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
					return err
				}
				return os.WriteFile(to, []byte(read(t, file)), 0o600)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// commit makes a folder a repository, which `go build` will find.
func commit(t *testing.T, dir string) {
	t.Helper()
	for _, args := range [][]string{
		{"init", "--quiet"},
		{"add", "--all"},
		{"-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "--quiet", "--no-verify", "--no-gpg-sign", "--message=test"},
	} {
		if out, err := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", args[0], err, out)
		}
	}
}

// licenses returns the step of the Dockerfile that copies the licenses of the linked modules.
func licenses(t *testing.T) string {
	t.Helper()
	command := regexp.MustCompile(`GOFLAGS=-tags=nodemo go tool .*? go-licenses save .*?/image/licenses`).FindString(steps(t, "Dockerfile"))
	if command == "" {
		t.Fatal("Dockerfile: got no step that copies licenses, want one")
	}
	return command
}

// The licenses of the linked modules demand that their texts come with the image.
func TestTheImageHasTheLicensesOfWhatIsLinked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "licenses")
	cmd := exec.CommandContext(t.Context(), "sh", "-c", strings.Replace(licenses(t), "/image/licenses", dir, 1))
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	list := exec.CommandContext(t.Context(), "go", "list", "-tags=nodemo", "-deps", "-f={{with .Module}}{{.Path}}{{end}}", "./cmd/capstan")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := strings.Fields(string(out))
	slices.Sort(modules)
	modules = slices.DeleteFunc(slices.Compact(modules), func(m string) bool { return m == "github.com/capstan-worker/capstan" })
	if len(modules) < 20 {
		t.Fatalf("modules: got %v, want all that is linked", modules)
	}
	for _, m := range modules {
		if !holdsFile(t, filepath.Join(dir, m)) {
			t.Errorf("licenses: got none of %s, want its text", m)
		}
	}
}

func holdsFile(t *testing.T, dir string) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		found = found || err == nil && d.Type().IsRegular()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A published image must be pinned by the person who builds it, because a tag can move.
func TestTheBaseImageCanBePinned(t *testing.T) {
	docker := steps(t, "Dockerfile")
	if !regexp.MustCompile(`(?m)^ARG GO_IMAGE=golang:\S+$`).MatchString(docker) || !strings.Contains(docker, "\nFROM ${GO_IMAGE} AS build\n") {
		t.Error("Dockerfile: got another base image, want the one that GO_IMAGE names")
	}
	for _, want := range []string{`--build-arg "GO_IMAGE=$GO_IMAGE"`, "NOT PINNED"} {
		if !strings.Contains(steps(t, "k8s/image.sh"), want) {
			t.Errorf("image.sh: got no %q, want it", want)
		}
	}
}

func TestTheImageHasOnlyTheBinaryLicensesAndCertificates(t *testing.T) {
	docker := steps(t, "Dockerfile")
	_, last, ok := strings.Cut(docker, "\nFROM scratch\n")
	if !ok || strings.Contains(last, "\nFROM ") {
		t.Error("Dockerfile: got another last stage, want FROM scratch")
	}
	pod := workerOf(t, overlays(t)["dev"]).pod.SecurityContext
	want := []string{"COPY --from=build /image/ /", fmt.Sprintf("USER %d:%d", *pod.RunAsUser, *pod.RunAsGroup), `ENTRYPOINT ["/worker"]`}
	var got []string
	for line := range strings.Lines(last) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			got = append(got, line)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("Dockerfile: last stage: got %q, want %q", got, want)
	}
	for _, step := range []string{
		"ln -s capstan /image/worker",
		"install -D -m 644 -t /image/etc/ssl/certs/ /etc/ssl/certs/ca-certificates.crt",
		licenses(t),
		"install -D -m 644 LICENSE /image/licenses/github.com/capstan-worker/capstan/LICENSE",
		`install -D -m 644 "$(go env GOROOT)/LICENSE" /image/licenses/go.dev/LICENSE`,
		"install -D -m 644 /usr/share/doc/ca-certificates/copyright /image/licenses/ca-certificates/copyright",
		"chmod -R u=rwX,go=rX /image/licenses",
	} {
		for _, file := range []string{"Dockerfile", "k8s/image.sh"} {
			if !strings.Contains(steps(t, file), step) {
				t.Errorf("%s: got no %q, want it", file, step)
			}
		}
	}
}

func TestProductionRunsAnImageWithADigest(t *testing.T) {
	tree := t.TempDir()
	if err := copyTree(tree); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"", "newTag: v1"} {
		if err := setImage(tree, version); err != nil {
			t.Fatal(err)
		}
		if _, err := render(tree, "production"); err == nil || !strings.Contains(err.Error(), "out of bounds for value") {
			t.Errorf("image with %q: got %v, want a refusal", version, err)
		}
	}
	pod := workerOf(t, overlays(t)["production"])
	if _, digest, ok := strings.Cut(pod.container.Image, "@sha256:"); !ok || len(digest) != 64 {
		t.Errorf("image: got %s, want one by digest", pod.container.Image)
	}
}
