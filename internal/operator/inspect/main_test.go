package inspect_test

import (
	"testing"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

func TestMain(m *testing.M) {
	natstest.SideBySide(8)
	m.Run()
}
