package streams_test

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// TestMain runs several tests at once, because they mostly wait.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "8"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}
