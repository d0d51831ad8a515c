package streams_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/streams"
)

func TestPatternsMatchAndOverlap(t *testing.T) {
	for _, c := range []struct {
		pattern, subject    string
		matchesAll, overlap bool
	}{
		{"tasks.request", "tasks.request", true, true},
		{"tasks.*", "tasks.request", true, true},
		{"tasks.>", "tasks.request", true, true},
		{"tasks.request", "tasks.*", false, true},
		{"tasks.request.>", "tasks.request", false, false},
		{"tasks.*.a", "tasks.b.*", false, true},
		{"tasks.request", "tasks.result", false, false},
		{"a.>", "*.b.c", false, true},
		{"tasks", "tasks.request", false, false},
	} {
		if got := streams.MatchesAll(c.pattern, c.subject); got != c.matchesAll {
			t.Errorf("MatchesAll(%s, %s): got %v, want %v", c.pattern, c.subject, got, c.matchesAll)
		}
		if got := streams.Overlaps(c.pattern, c.subject); got != c.overlap {
			t.Errorf("Overlaps(%s, %s): got %v, want %v", c.pattern, c.subject, got, c.overlap)
		}
	}
}

func TestSubjectsUnderWhichAStreamStoresRequests(t *testing.T) {
	for _, c := range []struct {
		cfg  jetstream.StreamConfig
		want string
	}{
		{jetstream.StreamConfig{Subjects: []string{"other"}}, "[]"},
		{jetstream.StreamConfig{Subjects: []string{"tasks.>"}}, "[tasks.request]"},
		{jetstream.StreamConfig{Subjects: []string{"tasks.>"}, SubjectTransform: &jetstream.SubjectTransformConfig{Source: "else", Destination: "x"}}, "[tasks.request]"},
		{jetstream.StreamConfig{Subjects: []string{"tasks.>"}, SubjectTransform: &jetstream.SubjectTransformConfig{Source: "tasks.*", Destination: "in.{{wildcard(1)}}"}}, "[in.*]"},
		{jetstream.StreamConfig{Subjects: []string{"tasks.>"}, SubjectTransform: &jetstream.SubjectTransformConfig{Destination: "in.$1.{{split(1,-)}}.x"}}, "[in.*.>]"},
		{jetstream.StreamConfig{Sources: []*jetstream.StreamSource{{Name: "A"}}}, "[tasks.request]"},
		{jetstream.StreamConfig{Sources: []*jetstream.StreamSource{{Name: "A", FilterSubject: "other"}}}, "[]"},
		{jetstream.StreamConfig{Sources: []*jetstream.StreamSource{{Name: "A", SubjectTransforms: []jetstream.SubjectTransformConfig{{Source: "x.*", Destination: "tasks.request.{{partition(4,1)}}"}}}}}, "[tasks.request.*]"},
		{jetstream.StreamConfig{Sources: []*jetstream.StreamSource{{Name: "A", SubjectTransforms: []jetstream.SubjectTransformConfig{{Source: "x", Destination: "y"}}}}}, "[]"},
	} {
		if got := fmt.Sprint(streams.StoredAs(c.cfg, "tasks.request")); got != c.want {
			t.Errorf("%+v: got %s, want %s", c.cfg, got, c.want)
		}
	}
}
