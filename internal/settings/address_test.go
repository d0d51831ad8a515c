package settings_test

import (
	"testing"

	"github.com/capstan-worker/capstan/internal/settings"
)

func TestAnAddressHasAPortThatIsANumber(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]struct {
		port uint16
		ok   bool
	}{
		"127.0.0.1:8080": {8080, true}, ":8090": {8090, true}, "[::1]:65535": {65535, true}, "worker:0": {0, true},
		"8080": {}, "": {}, "worker:": {}, "worker:http": {}, "worker:65536": {}, "worker:-1": {}, "::1:8080": {}, "http://worker:8080": {},
	} {
		if port, ok := settings.Port(addr); port != want.port || ok != want.ok {
			t.Errorf("%q: got %d, %v, want %d, %v", addr, port, ok, want.port, want.ok)
		}
		if got := settings.IsAddress(addr); got != want.ok {
			t.Errorf("%q: got %v, want %v", addr, got, want.ok)
		}
	}
}
