package natsserver_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/natsserver"
)

func TestAServerThatCannotStartSaysWhy(t *testing.T) {
	running, err := natsserver.Start(natsserver.Config{Dir: t.TempDir(), Port: natsserver.AnyPort})
	if err != nil {
		t.Fatal(err)
	}
	defer running.Stop()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cfg  natsserver.Config
		want string
	}{
		"port in use":      {natsserver.Config{Dir: t.TempDir(), Port: running.Port()}, "address already in use"},
		"no folder":        {natsserver.Config{Dir: filepath.Join(file, "store"), Port: natsserver.AnyPort}, "not a directory"},
		"no configuration": {natsserver.Config{Dir: t.TempDir(), Port: natsserver.AnyPort, File: filepath.Join(file, "x")}, "read configuration"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := natsserver.Start(c.cfg)
			if err == nil {
				s.Stop()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error that contains %q", err, c.want)
			}
		})
	}
}
