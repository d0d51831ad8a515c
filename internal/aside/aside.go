// Package aside keeps stacks small. A goroutine that waits for hours keeps the stack that its deepest call
// grew, until the garbage collector halves it, and there are as many of them as tasks.
package aside

import (
	"fmt"
	"runtime/debug"
)

// Do calls f on a goroutine of its own, whose stack goes when f returns, and returns its error. A panic of f
// is the caller's, with the stack it came from.
func Do(f func() error) (err error) {
	var panicked any
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				panicked = fmt.Sprintf("%v\n\n%s", p, debug.Stack())
			}
		}()
		err = f()
	}()
	<-done
	if panicked != nil {
		panic(panicked)
	}
	return err
}
