//go:build nodemo

package main

import "errors"

// demoHelp is the demo's line in the list of commands.
const demoHelp = "Not in this build: see it work from a checkout, with go run ./cmd/capstan demo."

// demoCmd says that there is no demo. Its NATS server is larger than all the rest, and an image for
// production has no use for it: the build tag nodemo leaves it out.
type demoCmd struct {
	Args []string `arg:"" optional:"" passthrough:"" hidden:""` // the flags of the real one
}

// Run runs the command.
func (*demoCmd) Run() error {
	return usageError{errors.New("this build has no demo (tag nodemo). From a checkout: go run ./cmd/capstan demo")}
}
