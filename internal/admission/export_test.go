package admission

import "time"

// ParseWindow returns why a value of the store is overwritten, or nil.
func ParseWindow(value []byte, now time.Time) error {
	_, err := parseWindow(value, now)
	return err
}
