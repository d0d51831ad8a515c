package admission

import (
	"encoding/json"

	"github.com/capstan-worker/capstan/internal/jsonschema"
)

// StartsSchema returns the schema of the window of starts as workers write it and read it. They overwrite a value that
// breaks it.
func StartsSchema() *jsonschema.Schema {
	s := jsonschema.Of[window]()
	s.Title = "Window of submissions"
	s.Description = "The value of the key starts in the KV bucket task_control: how many submissions the API accepts in a window of time. The workers write it; do not write it yourself."
	for _, name := range []string{"remaining", "under_way", "quota"} {
		s.Property(name).Minimum, s.Property(name).Maximum = new(int64(0)), new(int64(mostStarts))
	}
	s.Property("length").Minimum, s.Property("length").Maximum = new(int64(0)), new(int64(longestPause))
	s.Examples = []json.RawMessage{
		json.RawMessage(`{
			"number": 812, "sent": "2026-11-23T21:00:03.2Z", "end": "2026-11-23T21:01:00.1Z", "remaining": 17, "under_way": 2,
			"acquired": "2026-11-23T21:00:04.9Z", "quota": 25, "length": 60000000000, "assumed": false
		}`),
	}
	return s
}
