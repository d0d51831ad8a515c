package aside_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/aside"
)

func TestTheErrorIsTheFunctions(t *testing.T) {
	want := errors.New("no")
	if got := aside.Do(func() error { return want }); !errors.Is(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAPanicIsTheCallers(t *testing.T) {
	defer func() {
		if got := fmt.Sprint(recover()); !strings.HasPrefix(got, "boom") || !strings.Contains(got, "TestAPanicIsTheCallers") {
			t.Errorf("got %q, want the panic and where it came from", got)
		}
	}()
	_ = aside.Do(func() error { panic("boom") })
	t.Error("the panic was swallowed")
}
