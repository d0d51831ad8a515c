package contain_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/contain"
)

func TestErrorsPassAndPanicsBecomeErrors(t *testing.T) {
	broken := errors.New("broken")
	if err := contain.Do(func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	err := contain.Do(func() error { panic("no such luck") })
	found, ok := errors.AsType[*contain.PanicError](err)
	if !ok || found.Value != "no such luck" || !strings.Contains(err.Error(), "contain_test.go") {
		t.Errorf("got %v, want the panic and where it came from", err)
	}
}
