package k8s_test

import (
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"k8s.io/apimachinery/pkg/api/resource"
)

// composed loads compose.yaml, and more files on top, as `docker compose config` does: a field or a type that the
// specification does not know is an error, and so is a variable that must be set.
func composed(t *testing.T, environment []string, more ...string) (*types.Project, error) {
	t.Helper()
	options, err := cli.NewProjectOptions(append([]string{filepath.Join(root, "compose.yaml")}, more...),
		cli.WithEnv(environment), cli.WithDiscardEnvFile)
	if err != nil {
		t.Fatal(err)
	}
	return options.LoadProject(t.Context())
}

// services returns the services of compose.yaml by name.
func services(t *testing.T) types.Services {
	t.Helper()
	project, err := composed(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	return project.Services
}

// replicas returns how many containers of a service run.
func replicas(s types.ServiceConfig) int { return s.GetScale() }

// value returns a variable of a service, or "".
func value(s types.ServiceConfig, name string) string {
	if v := s.Environment[name]; v != nil {
		return *v
	}
	return ""
}

func TestTheComposeFileRunsAllOfCapstan(t *testing.T) {
	all := services(t)
	if got, want := slices.Sorted(maps.Keys(all)), []string{"dashboard", "nats", "stub", "worker"}; !slices.Equal(got, want) {
		t.Fatalf("services: got %q, want %q", got, want)
	}
	if got := replicas(all["worker"]); got != 2 {
		t.Errorf("workers: got %d, want 2", got)
	}
	for name, s := range all {
		if s.Restart != types.RestartPolicyUnlessStopped || !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) {
			t.Errorf("%s: got restart %q, read-only %v, dropped %q, want one that restarts and has no privileges", name, s.Restart, s.ReadOnly, s.CapDrop)
		}
		if s.HealthCheck == nil || len(s.HealthCheck.Test) == 0 || s.HealthCheck.Test[0] != "CMD" { // there is no shell in the image
			t.Errorf("%s: got the health check %v, want a command", name, s.HealthCheck)
		}
		for _, port := range s.Ports { // NATS has no login, and the stub's key is in the file
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s: got port %s open to %q, want it open to this machine", name, port.Published, port.HostIP)
			}
		}
	}
}

// The README's commands find NATS where they look without settings.
func TestTheComposeFileHasTheQueueAtTheDefaultAddress(t *testing.T) {
	nats := services(t)["nats"]
	address := parsed(t, url.Parse, defaults(t)["NATS_URL"])
	if len(nats.Ports) != 1 || nats.Ports[0].HostIP+":"+nats.Ports[0].Published != address.Host {
		t.Errorf("nats: got ports %+v, want %s", nats.Ports, address.Host)
	}
	folder := ""
	for _, volume := range nats.Volumes {
		folder = volume.Target
	}
	if folder == "" || !slices.Contains(nats.Command, "--store_dir="+folder) || !slices.Contains(nats.Command, "--jetstream") {
		t.Errorf("nats: got %q with a volume at %q, want JetStream's files in it", nats.Command, folder)
	}
}

// All of the project was tested with one release of NATS.
func TestOneReleaseOfNATSIsNamedEverywhere(t *testing.T) {
	release := regexp.MustCompile(`github\.com/nats-io/nats-server/v2 v(\S+)`).FindStringSubmatch(read(t, root+"/go.mod"))[1]
	for _, image := range []string{services(t)["nats"].Image, regexp.MustCompile(`nats:\S+`).FindString(read(t, "../overlays/dev/nats.yaml"))} {
		if strings.TrimSuffix(image, "-alpine") != "nats:"+release {
			t.Errorf("image: got %s, want release %s as in go.mod", image, release)
		}
	}
}

func TestTheComposeFileSetsOnlyWhatItsCommandsRead(t *testing.T) {
	dashboard := []string{"DASHBOARD_ADDR", "DASHBOARD_TOKEN"}
	for name, s := range services(t) {
		for variable := range s.Environment {
			_, isSetting := defaults(t)[variable]
			ok := variable == "GOMEMLIMIT" || name == "worker" && isSetting ||
				name == "dashboard" && (variable == "NATS_URL" || slices.Contains(dashboard, variable))
			if !ok {
				t.Errorf("%s: got %s, want only variables that it reads", name, variable)
			}
		}
	}
}

func TestTheComposeFileConnectsItsServices(t *testing.T) {
	all := services(t)
	worker, stub := all["worker"], all["stub"]
	flags := strings.Join(stub.Command, " ")
	address := parsed(t, url.Parse, value(worker, "ANCHORBROWSER_BASE_URL"))
	if address.Hostname() != "stub" || !strings.Contains(flags, "--addr=:"+address.Port()+" ") {
		t.Errorf("API: got %s, want the stub, which runs %s", address, flags)
	}
	if key := value(worker, "ANCHORBROWSER_API_KEY"); key == "" || !strings.Contains(flags, "--key="+key+" ") {
		t.Errorf("API key: got %q, want the stub's, which runs %s", key, flags)
	}
	for _, s := range []types.ServiceConfig{worker, all["dashboard"]} {
		if got := value(s, "NATS_URL"); got != "nats://nats:4222" {
			t.Errorf("%s: NATS: got %s, want the service", s.Name, got)
		}
	}
	ports := all["dashboard"].Ports
	if addr := value(all["dashboard"], "DASHBOARD_ADDR"); len(ports) != 1 || addr != ":"+ports[0].Published || int(ports[0].Target) != 8090 {
		t.Errorf("dashboard: got ports %+v for %s, want the same", ports, addr)
	}
}

// One service builds the image, and the others must not pull one of this name from anywhere.
func TestTheComposeFileBuildsTheDemoImageOnce(t *testing.T) {
	for name, s := range services(t) {
		switch name {
		case "nats":
		case "stub":
			if s.Image != "capstan:demo" || s.PullPolicy != types.PullPolicyBuild || s.Build == nil || s.Build.Target != "demo" {
				t.Errorf("stub: got %s, %q and build %+v, want the target demo", s.Image, s.PullPolicy, s.Build)
			}
		default:
			if s.Image != "capstan:demo" || s.PullPolicy != types.PullPolicyNever || s.Build != nil {
				t.Errorf("%s: got %s, %q and build %+v, want the stub's image", name, s.Image, s.PullPolicy, s.Build)
			}
		}
	}
	if !strings.Contains(read(t, root+"/Dockerfile"), "\nFROM image AS demo\n") {
		t.Error("Dockerfile: got no target demo, want it")
	}
}

func TestTheComposeFileLetsAWorkerDrain(t *testing.T) {
	worker := services(t)["worker"]
	drain := parsed(t, time.ParseDuration, value(worker, "DRAIN_TIMEOUT"))
	if got := time.Duration(*worker.StopGracePeriod); got != drain+afterDrain {
		t.Errorf("grace period: got %v, want %v more than the drain's %v", got, afterDrain, drain)
	}
}

func TestTheComposeFileGivesEachProcessItsMemory(t *testing.T) {
	all := services(t)
	for name, s := range all {
		limit := int64(s.Deploy.Resources.Limits.MemoryBytes)
		got := parsed(t, resource.ParseQuantity, strings.TrimSuffix(value(s, "GOMEMLIMIT"), "B"))
		if got.Value() != limit/10*9 {
			t.Errorf("%s: GOMEMLIMIT: got %v, want 90 %% of the limit, %d bytes", name, &got, limit)
		}
	}
	limits := production(t, "", "").container.Resources.Limits
	pod := limits.Memory().Value()
	if got := int64(all["worker"].Deploy.Resources.Limits.MemoryBytes); got != pod {
		t.Errorf("worker: memory limit: got %d, want a pod's, %d", got, pod)
	}
}

// The comment of the file says how to use Anchor itself.
func TestTheComposeFileSaysHowToUseAnchor(t *testing.T) {
	_, comment, _ := strings.Cut(read(t, root+"/compose.yaml"), "#   services:\n")
	comment, _, _ = strings.Cut(comment, "\n\n")
	override := filepath.Join(t.TempDir(), "compose.override.yaml")
	text := "services:\n" + strings.ReplaceAll(comment, "#   ", "")
	if err := os.WriteFile(override, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := composed(t, nil, override); err == nil || !strings.Contains(err.Error(), "ANCHORBROWSER_API_KEY") {
		t.Errorf("without a key: got %v, want a refusal that names it", err)
	}
	project, err := composed(t, []string{"ANCHORBROWSER_API_KEY=real"}, override)
	if err != nil {
		t.Fatal(err)
	}
	worker := project.Services["worker"]
	if got, want := value(worker, "ANCHORBROWSER_BASE_URL"), defaults(t)["ANCHORBROWSER_BASE_URL"]; got != want || value(worker, "ANCHORBROWSER_API_KEY") != "real" {
		t.Errorf("got %s with key %q, want %s with the user's", got, value(worker, "ANCHORBROWSER_API_KEY"), want)
	}
}
