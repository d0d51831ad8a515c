package pipeline_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain lets more tests run side by side than there are cores, because most of their time is waiting.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "8"); err != nil { // a flag of the command line comes later, and counts
		panic(err)
	}
	os.Exit(m.Run())
}
