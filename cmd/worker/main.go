// Command worker runs Anchor Browser tasks from a NATS JetStream queue. It is configured by environment variables:
// worker -help prints them.
package main

import (
	"os"

	"github.com/capstan-worker/capstan/internal/app"
)

// version is set by the linker.
var version = "dev"

func main() { os.Exit(app.Main(os.Args[1:], version, os.Stdout, os.Stderr)) }
