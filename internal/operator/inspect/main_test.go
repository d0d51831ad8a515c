package inspect_test

import (
	"os"
	"testing"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

func TestMain(m *testing.M) {
	natstest.SideBySide(8)
	os.Exit(m.Run())
}
