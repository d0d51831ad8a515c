package settings

import (
	"net"
	"strconv"
)

// Port returns the port of an address to listen on or to ask, which is host:port with a number. The host may be empty: all
// addresses, or this machine. ok is false if it is no such address.
func Port(addr string) (port uint16, ok bool) {
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, false
	}
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, false
	}
	return uint16(number), true
}

// IsAddress reports whether a text is an address as Port reads it.
func IsAddress(addr string) bool {
	_, ok := Port(addr)
	return ok
}
