// Command worker runs Anchor Browser web tasks from a NATS JetStream queue. It is set up by the
// environment: worker -help prints the settings.
package main

import (
	"os"

	"github.com/capstan-worker/capstan/internal/app"
)

// version is set by the linker.
var version = "dev"

func main() { os.Exit(app.Main(os.Args[1:], version, os.Stdout, os.Stderr)) }
