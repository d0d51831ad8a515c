package inspect

import "time"

// Clock returns a moment as people say it at now, in local time: with the date if that is not today's, and with seconds if
// it is near.
func Clock(at, now time.Time) string {
	local, today := at.Local(), now.Local()
	switch {
	case local.Year() != today.Year() || local.YearDay() != today.YearDay():
		return local.Format("Jan 2 15:04")
	case at.Sub(now).Abs() < 10*time.Minute:
		return local.Format(time.TimeOnly)
	default:
		return local.Format("15:04")
	}
}
