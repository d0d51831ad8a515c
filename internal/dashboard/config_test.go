package dashboard_test

import (
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/dashboard"
	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestADashboardForOtherMachinesNeedsAToken(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{":8090", "0.0.0.0:8090", "[::]:8090", "10.0.0.1:8090", "dashboard.example:8090"} {
		_, err := dashboard.New(t.Context(), dashboard.Config{Addr: addr}, operator.Queue{}, zerolog.Nop())
		if err == nil || !strings.Contains(err.Error(), "DASHBOARD_TOKEN must be set, because DASHBOARD_ADDR") {
			t.Errorf("%s: got %v, want that it needs a token", addr, err)
		}
	}
	for _, addr := range []string{"127.0.0.1:8090", "localhost:8090", "[::1]:8090", "127.3.2.1:0"} {
		if got := (dashboard.Config{Addr: addr}).Validate(); len(got) > 0 {
			t.Errorf("%s: got %v, want no mistake: only this machine can reach it", addr, got)
		}
	}
}

func TestSettingsThatCannotWorkAreNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		addr  string
		token task.Secret
		want  string
	}{
		{"8090", "", `DASHBOARD_ADDR must be host:port or :port, such as "127.0.0.1:8090" (got "8090")`},
		{"127.0.0.1:http", "", "DASHBOARD_ADDR must be"},
		{"127.0.0.1:8090", "short", "DASHBOARD_TOKEN must be at least 16 characters of printable ASCII without spaces (got \"[redacted]\")"},
		{"127.0.0.1:8090", "a token with blanks in it", "DASHBOARD_TOKEN must be at least"},
		{"127.0.0.1:8090", "a-token-that-ends-in-a-line\n", "DASHBOARD_TOKEN must be at least"},
	} {
		got := dashboard.Config{Addr: c.addr, Token: c.token}.Validate()
		if len(got) != 1 || !strings.HasPrefix(got[0], c.want) || strings.Contains(strings.Join(got, ""), "blanks") {
			t.Errorf("%s %s: got %q, want %q", c.addr, string(c.token), got, c.want)
		}
	}
}

func TestAnAddressThatIsTakenIsNamed(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	addr := strings.TrimPrefix(s.url, "http://")
	_, err := dashboard.New(t.Context(), dashboard.Config{Addr: addr}, s.Queue, zerolog.Nop())
	if err == nil || !strings.Contains(err.Error(), `listen on DASHBOARD_ADDR "`+addr) {
		t.Errorf("got %v, want the address", err)
	}
}
