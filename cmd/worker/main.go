// Command worker runs Anchor Browser tasks from a NATS JetStream queue. It is configured by environment variables:
// worker -help prints them.
package main

import (
	"os"
	"runtime/debug"

	"github.com/capstan-worker/capstan/internal/app"
)

// version is set by the linker.
var version = "dev"

func main() {
	info, _ := debug.ReadBuildInfo() // nil if there is none
	os.Exit(app.Main(os.Args[1:], app.Version(version, info), os.Stdout, os.Stderr))
}
