package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/capstan-worker/capstan/internal/task"
)

// parse returns what a command line of submit sets.
func parse(t *testing.T, args ...string) (*submitCmd, error) {
	t.Helper()
	var s submitCmd
	parser, err := kong.New(&s, kong.Exit(func(int) { t.Fatal("the parser wants to exit") }))
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(args)
	return &s, err
}

// A request may spell directly_open_url as directlyOpenUrl, too, as an SDK does. The flag is the same.
func TestEveryFieldOfARequestHasAFlag(t *testing.T) {
	s, err := parse(t, "buy a ticket", "--url=https://example.com", `--session={"tags":["mine"]}`, `--browser={"headless":{"active":true}}`,
		"--agent=browser-use", "--provider=openai", "--model=gpt", "--detect-elements", "--async", "--no-human-intervention",
		"--no-highlight-elements", "--max-steps=7", "--secret=PIN=a,b;c=d", "--secret=PORT=22",
		`--output-schema={"type":"object"}`, "--use-vision", "--no-directly-open-url", "--extended-system-message=be brief", `--extra={"new":true}`, "--task-id=ord-1", "--timeout=10m",
		"--expires-at=2099-01-02T15:04:05Z", "--on-unknown-submission=fence", `--metadata={"order":1842}`,
		"--secret-ref=KEY=shop/a=b", "--retries=2", "--retry-on=timeout,step_limit", `--retry-with=[{"max_steps":80}]`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.encode()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"prompt":"buy a ticket","url":"https://example.com","session":{"tags":["mine"]},"browser":{"headless":{"active":true}},"max_steps":7,` +
		`"output_schema":{"type":"object"},"agent":"browser-use","provider":"openai","model":"gpt",` +
		`"detect_elements":true,"async":true,"human_intervention":false,"highlight_elements":false,"use_vision":true,"directly_open_url":false,"extended_system_message":"be brief","extra":{"new":true},` +
		`"task_id":"ord-1","timeout":"10m","expires_at":"2099-01-02T15:04:05Z","on_unknown_submission":"fence",` +
		`"retries":2,"retry_on":["timeout","step_limit"],"retry_with":[{"max_steps":80}],` +
		`"metadata":{"order":1842},"secret_values":{"PIN":"a,b;c=d","PORT":"22"},"secret_refs":{"KEY":"shop/a=b"}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if _, err := task.ParseRequest(task.Delivery{Data: got}, task.Defaults{}); err != nil {
		t.Errorf("the worker would refuse it: %v", err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(got, &members); err != nil {
		t.Fatal(err)
	}
	elsewhere := []string{"sessionId", "batch"} // in tests of their own
	for _, p := range task.RequestSchema().Properties {
		isSpelling := p.Name == "directlyOpenUrl" // of a field that has a flag
		if _, hasFlag := members[p.Name]; !hasFlag && !isSpelling && !slices.Contains(elsewhere, p.Name) {
			t.Errorf("the field %s has no flag", p.Name)
		}
	}
}

// It cannot stand beside those that create a session.
func TestASessionThatExistsHasAFlag(t *testing.T) {
	s, err := parse(t, "p", "--session-id=s-1")
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.encode()
	if want := `{"prompt":"p","sessionId":"s-1"}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

func TestFlagsThatAreNotGivenLeaveTheirFieldOut(t *testing.T) {
	s, err := parse(t, "--prompt", "<b> & more", "--url", "")
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.encode()
	if want := `{"prompt":"<b> & more","url":""}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

func TestSecretsComeFromEnvironmentAndFiles(t *testing.T) {
	t.Setenv("PIN", "12=34")
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := parse(t, "p", "--secret", "PIN", "--secret", "TOKEN=@"+file)
	if err != nil {
		t.Fatal(err)
	}
	data, err := s.encode()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Values map[string]string `json:"secret_values"`
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if got.Values["PIN"] != "12=34" || got.Values["TOKEN"] != "s3cret" {
		t.Errorf("got %v, want PIN 12=34 and TOKEN s3cret", got.Values)
	}
}

func TestMistakesOfTheCommandLineAreReported(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"schema is no JSON", []string{"p", "--output-schema={"}, "must be JSON"},
		{"schema file is absent", []string{"p", "--output-schema=@absent.json"}, "absent.json"},
		{"secret without name", []string{"p", "--secret==hunter2"}, "the name is missing"},
		{"secret not in the environment", []string{"p", "--secret=CAPSTAN_ABSENT"}, "variable"},
		{"secret twice", []string{"p", "--secret=A=hunter2", "--secret=A=hunter2"}, "--secret A is given twice"},
		{"secret file without a name", []string{"p", "--secret-ref=shop/pin"}, "must be NAME=FILE"},
		{"secret file twice", []string{"p", "--secret-ref=A=b", "--secret-ref=A=c"}, "--secret-ref A is given twice"},
		{"prompt twice", []string{"p", "--prompt=p"}, "prompt once"},
		{"file and flags", []string{"p", "-f", "request.json"}, "cannot be combined"},
		{"file is absent", []string{"-f", "absent.json"}, "absent.json"},
		{"steps are no number", []string{"p", "--max-steps=many"}, "--max-steps"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := parse(t, c.args...)
			if err == nil {
				_, err = s.input(nil)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want it to contain %q", err, c.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want it without the secret", err)
			}
		})
	}
}

// Editors on Windows put a byte order mark before UTF-8.
func TestAByteOrderMarkIsLeftOut(t *testing.T) {
	const request = `{"prompt":"p","url":"https://shop.example/"}`
	file := filepath.Join(t.TempDir(), "request.json")
	if err := os.WriteFile(file, []byte("\xEF\xBB\xBF"+request), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-f", file}, {"-f", "-"}, {}} {
		s, err := parse(t, args...)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.input(strings.NewReader("\xEF\xBB\xBF" + request))
		if err != nil || string(got.data) != request {
			t.Errorf("%v: got %q, %v; want %q", args, got.data, err, request)
		}
	}
	s, err := parse(t, "p", "--metadata=@"+file)
	if err != nil || string(s.Metadata) != request {
		t.Errorf("--metadata: got %q, %v; want %q", s.Metadata, err, request)
	}
}

func TestFileAndPipeArePublishedAsTheyAre(t *testing.T) {
	const request = ` {"prompt": "p",  "url": "https://example.com", "max_steps": 1} `
	file := filepath.Join(t.TempDir(), "request.json")
	if err := os.WriteFile(file, []byte(request), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-f", file}, {"-f", "-"}, {}} {
		s, err := parse(t, args...)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.input(strings.NewReader(request))
		if err != nil || !slices.Equal(got.data, []byte(request)) {
			t.Errorf("%v: got %q, %v; want %q", args, got.data, err, request)
		}
	}
}
