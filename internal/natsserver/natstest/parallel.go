package natstest

import (
	"flag"
	"strconv"
)

// SideBySide lets n tests that call t.Parallel run at once, however few cores there are: most of their time is waiting. A
// TestMain calls it. The flag -parallel of the command line counts for more.
func SideBySide(n int) {
	if err := flag.Set("test.parallel", strconv.Itoa(n)); err != nil {
		panic(err)
	}
}
