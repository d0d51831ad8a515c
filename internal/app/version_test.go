package app_test

import (
	"runtime/debug"
	"testing"

	"github.com/capstan-worker/capstan/internal/app"
)

func TestAProgramKnowsItsVersionHoweverItWasBuilt(t *testing.T) {
	t.Parallel()
	built := func(version string) *debug.BuildInfo { return &debug.BuildInfo{Main: debug.Module{Version: version}} }
	for name, c := range map[string]struct {
		linked string
		info   *debug.BuildInfo
		want   string
	}{
		"make build":              {"v0.1.0-3-g49ca989", built("v0.0.0-20261127065114-49ca989f3c1a"), "v0.1.0-3-g49ca989"},
		"make build, and no tag":  {"49ca989", built("(devel)"), "49ca989"},
		"go install":              {"dev", built("v0.1.0"), "v0.1.0"},
		"go build":                {"dev", built("v0.1.1-0.20261127065114-49ca989f3c1a+dirty"), "v0.1.1-0.20261127065114-49ca989f3c1a+dirty"},
		"go run":                  {"dev", built("(devel)"), "dev"},
		"without a version":       {"dev", built(""), "dev"},
		"without any information": {"dev", nil, "dev"},
	} {
		if got := app.Version(c.linked, c.info); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}
