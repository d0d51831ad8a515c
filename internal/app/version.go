package app

import (
	"runtime/debug"
	"strings"
)

// unlinked is the version of a main package whose build has not set one: it stands in its source.
const unlinked = "dev"

// Version returns the version of a program: the one that the linker has set, or else that of the main module in its build
// information, which go install and go build in a checkout set. It is "dev" if neither says one, as in go run.
func Version(linked string, info *debug.BuildInfo) string {
	if linked != unlinked || info == nil || !strings.HasPrefix(info.Main.Version, "v") {
		return linked
	}
	return info.Main.Version
}
