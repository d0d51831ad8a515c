package task

// OnUnknown is what happens after a submission whose outcome is unknown.
type OnUnknown string

// The choices.
const (
	Fail     OnUnknown = "fail"     // the task ends as submission_unknown
	Resubmit OnUnknown = "resubmit" // it is submitted once more
	// It is submitted once more if its browser session has ended and shows that the agent took no step, and else ends as
	// submission_unknown. Only a session that Capstan has created can show that.
	Fence OnUnknown = "fence"
)

// OnUnknowns returns all choices.
func OnUnknowns() []OnUnknown { return []OnUnknown{Fail, Resubmit, Fence} }
