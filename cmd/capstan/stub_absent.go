//go:build nodemo

package main

import "errors"

// stubHelp is the stub's line in the list of commands.
const stubHelp = "Not in this build. From a checkout: go run ./cmd/capstan stub."

// stubCmd reports that this build has no stub: the image for production contains nothing that is for tests.
type stubCmd struct {
	// Args takes the flags of the real stub, so that the user gets the error below and not one about an
	// unknown flag.
	Args []string `arg:"" optional:"" passthrough:"" hidden:""`
}

// Run runs the command.
func (*stubCmd) Run() error {
	return usageError{errors.New("this build has no stub (tag nodemo). From a checkout: go run ./cmd/capstan stub")}
}
