//go:build nodemo

package main

import "errors"

// demoHelp is the demo's line in the list of commands.
const demoHelp = "Not in this build. From a checkout: go run ./cmd/capstan demo."

// demoCmd reports that this build has no demo. The demo's NATS server is larger than everything else, so
// the image for production is built with the tag nodemo.
type demoCmd struct {
	// Args takes the flags of the real demo, so that the user gets the error below and not one about an
	// unknown flag.
	Args []string `arg:"" optional:"" passthrough:"" hidden:""`
}

// Run runs the command.
func (*demoCmd) Run() error {
	return usageError{errors.New("this build has no demo (tag nodemo). From a checkout: go run ./cmd/capstan demo")}
}
