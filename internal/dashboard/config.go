package dashboard

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/capstan-worker/capstan/internal/settings"
	"github.com/capstan-worker/capstan/internal/task"
)

// Config says where the dashboard listens, and who may look and act.
type Config struct {
	Addr string `split_words:"true" default:"127.0.0.1:8090" desc:"address of the dashboard"`

	// Token is what a visitor must show. Without one the dashboard only shows, and only to this machine.
	Token task.Secret `split_words:"true" desc:"what visitors log in with, 16 characters or more; without it the dashboard shows and does nothing, and must listen on a loopback address"`
}

// shortestToken is the length of the shortest token. With the limit on attempts, nobody guesses one that is random.
const shortestToken = 16

// Validate returns a line for each mistake. It never shows the token.
func (c Config) Validate() []string {
	var mistakes settings.Mistakes
	mistakes.Require("DASHBOARD_ADDR", c.Addr, settings.IsAddress(c.Addr), `host:port or :port, such as "127.0.0.1:8090"`)
	mistakes.Require("DASHBOARD_TOKEN", c.Token, c.Token == "" || isToken(string(c.Token)),
		"at least "+strconv.Itoa(shortestToken)+" characters of printable ASCII without spaces")
	if settings.IsAddress(c.Addr) && !isLoopback(c.Addr) {
		mistakes.Require("DASHBOARD_TOKEN", c.Token, c.Token != "",
			"set, because DASHBOARD_ADDR "+strconv.Quote(c.Addr)+" can be reached from other machines; or use a loopback address such as \"127.0.0.1:8090\"")
	}
	return mistakes
}

// isLoopback reports whether only this machine can reach an address, or send a request with it as its Host.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = strings.Trim(addr, "[]") // without a port
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// isToken reports whether a text is long enough for a token, and can be typed.
func isToken(s string) bool {
	isOther := func(r rune) bool { return r <= ' ' || r >= 0x7f }
	return len(s) >= shortestToken && !strings.ContainsFunc(s, isOther)
}
