package k8s_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// stages returns the part of the Dockerfile after its builds: what all images have, and one stage for each image.
func stages(t *testing.T) string {
	t.Helper()
	_, last, ok := strings.Cut(steps(t, "Dockerfile"), "\nFROM scratch AS image\n")
	if !ok {
		t.Fatal("Dockerfile: got no stage image, want one from scratch")
	}
	return regexp.MustCompile(`(?m)^(#.*)?\n`).ReplaceAllString(last, "")
}

// The image for production is the last stage, which is built if none is named. It must not be the one for tests.
func TestEachImageRunsTheWorkerAsNobody(t *testing.T) {
	pod := production(t, "", "").pod.SecurityContext
	_, got, _ := strings.Cut(stages(t), "\nUSER ")
	got = regexp.MustCompile(`(?m)^HEALTHCHECK .*\n`).ReplaceAllString(got, "")
	want := fmt.Sprintf("%d:%d\nENTRYPOINT [\"/worker\"]\nFROM image AS demo\nCOPY --from=build-demo /image/ /\nFROM image\nCOPY --from=build /image/ /\n",
		*pod.RunAsUser, *pod.RunAsGroup)
	if got != want {
		t.Errorf("Dockerfile: got USER %q, want %q", got, want)
	}
}

// Docker Swarm replaces a container that is not healthy, as the kubelet does by the liveness probe: both ask for the same, as
// often, and take as many failures.
func TestTheHealthCheckOfTheImageIsTheLivenessProbe(t *testing.T) {
	check := regexp.MustCompile(`(?m)^HEALTHCHECK --interval=(\S+) --timeout=(\S+) --start-period=\S+ --retries=(\d+) CMD \["/capstan", "check", "--live"\]$`).
		FindStringSubmatch(stages(t))
	if check == nil {
		t.Fatal("Dockerfile: got no health check that asks whether the worker is alive, want one")
	}
	probe := production(t, "", "").container.LivenessProbe
	want := fmt.Sprintf("%v, %d times", time.Duration(probe.PeriodSeconds)*time.Second, probe.FailureThreshold)
	if got := fmt.Sprintf("%s, %s times", check[1], check[3]); got != want || probe.HTTPGet.Path != "/livez" {
		t.Errorf("health check: got every %s, want every %s as %s", got, want, probe.HTTPGet.Path)
	}
	// Docker kills a check that takes longer, and then its text is lost: the default of --timeout is 5s.
	if got := parsed(t, time.ParseDuration, check[2]); got <= 5*time.Second {
		t.Errorf("timeout: got %v, want more than the command's own, 5s", got)
	}
}

func TestTheImageSaysWhatItIs(t *testing.T) {
	labels := map[string]string{}
	for _, label := range regexp.MustCompile(`org\.opencontainers\.image\.([a-z.]+)="([^"]*)"`).FindAllStringSubmatch(stages(t), -1) {
		labels[label[1]] = label[2]
	}
	for name, want := range map[string]string{
		"title": "Capstan", "source": "https://" + module, "licenses": "Apache-2.0",
		"version": "$VERSION", "revision": "$REVISION", "created": "$CREATED",
	} {
		if labels[name] != want {
			t.Errorf("label %s: got %q, want %q", name, labels[name], want)
		}
	}
	if labels["description"] == "" || labels["documentation"] == "" {
		t.Errorf("labels: got %v, want a description and where the documentation is", labels)
	}
	for _, name := range []string{"VERSION", "REVISION", "CREATED"} { // a stage sees only arguments that it names
		if !strings.Contains(stages(t), "ARG "+name+"=") || !strings.Contains(read(t, root+"/k8s/image.sh"), `--build-arg "`+name+"=") {
			t.Errorf("argument %s: got it not in both, want it in the stage and in image.sh", name)
		}
	}
}

func TestTheDemoImageHasTheServerTheStubAndTheirLicenses(t *testing.T) {
	docker, script := steps(t, "Dockerfile"), steps(t, "k8s/image.sh")
	_, stage, _ := strings.Cut(docker, "\nFROM build AS build-demo\n")
	build := regexp.MustCompile(`(?m)^RUN (CGO_ENABLED=0 go build -trimpath -buildvcs=false .*) && find /image -exec touch -h -d "@\$SOURCE_DATE_EPOCH" {} \+$`).
		FindStringSubmatch(stage)
	if build == nil {
		t.Fatal("Dockerfile: got no step that builds the demo, want one whose output depends on the sources only")
	}
	t.Setenv("VERSION", "v-test")
	folder := t.TempDir()
	if err := os.MkdirAll(filepath.Join(folder, "image", "licenses"), 0o700); err != nil {
		t.Fatal(err)
	}
	for command := range strings.SplitSeq(build[1], " && ") {
		if !strings.Contains(script, command) {
			t.Errorf("image.sh: got no %q, want it", command)
		}
		output(t, regexp.MustCompile(` /(image|demo)/`).ReplaceAllString(command, " "+folder+"/$1/"))
	}
	for _, command := range []string{"demo", "stub"} {
		if got := output(t, filepath.Join(folder, "image", "capstan")+" help "+command); strings.Contains(got, "Not in this build") {
			t.Errorf("help %s: got %s, want the command", command, got)
		}
	}
	if texts, err := os.ReadDir(filepath.Join(folder, "image", "licenses", "github.com", "nats-io", "nats-server", "v2")); err != nil || len(texts) == 0 {
		t.Errorf("licenses: got none of nats-server, %v, want its text", err)
	}
	if info, err := os.Stat(filepath.Join(folder, "image", "tmp")); err != nil || info.Mode()&os.ModeSticky == 0 {
		t.Errorf("folder for temporary files: got %v, %v, want one that anybody may write to", info, err)
	}
}
