package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/capstan-worker/capstan/internal/operator/request"
)

// fields are the flags for the fields of a request, and its JSON. The request has no field for a flag that
// is not given. That is why most are pointers: a zero or an empty text that was given is sent, and a worker
// judges it.
type fields struct {
	Prompt *string `arg:"" optional:"" json:"prompt,omitempty" help:"What the agent should do."`

	// A prompt that begins with a dash would be read as a flag, so it can also be given as --prompt=TEXT.
	// encode moves the value to Prompt.
	PromptFlag *string `name:"prompt" json:"-" placeholder:"TEXT" help:"The prompt as a flag, for one that begins with a dash." group:"Task:"`
	URL        *string `name:"url" json:"url,omitempty" placeholder:"URL" help:"Start URL. Required unless --session-id is given." group:"Task:"`
	SessionID  *string `name:"session-id" json:"sessionId,omitempty" placeholder:"ID" help:"Run in this existing browser session." group:"Task:"`

	Session jsonText `json:"session,omitempty" placeholder:"JSON" help:"What its browser session is created with, if the workers have SESSIONS=on: a JSON object, or @FILE." group:"Task:"`
	Browser jsonText `json:"browser,omitempty" placeholder:"JSON" help:"What the browser of that session is created with: a JSON object, or @FILE." group:"Task:"`

	MaxSteps *int `json:"max_steps,omitempty" placeholder:"N" help:"Maximum number of agent steps." group:"Task:"`

	OutputSchema jsonText `json:"output_schema,omitempty" placeholder:"JSON" help:"JSON Schema that the result must match, or @FILE." group:"Task:"`
	// Kong splits the value of a list at its commas unless sep is none, and secrets may contain commas.
	Secrets []secret `name:"secret" sep:"none" json:"-" placeholder:"NAME" help:"A secret for the agent: NAME reads the environment variable of that name, NAME=@FILE reads a file; NAME=VALUE is visible in ps." group:"Task:"`

	SecretRefs []secretRef `name:"secret-ref" sep:"none" json:"-" placeholder:"NAME=FILE" help:"A secret that the worker reads from this file under its SECRETS_DIR; a task with such secrets can be run again." group:"Task:"`

	Agent             *string  `json:"agent,omitempty" placeholder:"NAME" help:"Agent, for example browser-use or openai-cua." group:"Agent:"`
	Provider          *string  `json:"provider,omitempty" placeholder:"NAME" help:"Model provider, for example openai or gemini." group:"Agent:"`
	Model             *string  `json:"model,omitempty" placeholder:"NAME" help:"Model name." group:"Agent:"`
	DetectElements    *bool    `json:"detect_elements,omitempty" negatable:"" help:"Turn element detection on or off." group:"Agent:"`
	Async             *bool    `json:"async,omitempty" negatable:"" help:"Ignored, as in a request: Capstan always submits asynchronously." group:"Agent:"`
	HumanIntervention *bool    `json:"human_intervention,omitempty" negatable:"" help:"Turn requests for human help on or off." group:"Agent:"`
	HighlightElements *bool    `json:"highlight_elements,omitempty" negatable:"" help:"Turn highlighting of elements on or off." group:"Agent:"`
	UseVision         *bool    `json:"use_vision,omitempty" negatable:"" help:"Turn the agent's vision on or off." group:"Agent:"`
	DirectlyOpenURL   *bool    `name:"directly-open-url" json:"directly_open_url,omitempty" negatable:"" help:"Open the start URL before the agent starts, or let the agent open it." group:"Agent:"`
	SystemMessage     *string  `name:"extended-system-message" json:"extended_system_message,omitempty" placeholder:"TEXT" help:"Text to add to the agent's system prompt." group:"Agent:"`
	Extra             jsonText `json:"extra,omitempty" placeholder:"JSON" help:"Extra API parameters: a JSON object, or @FILE." group:"Agent:"`

	TaskID              *string  `name:"task-id" json:"task_id,omitempty" placeholder:"ID" help:"Task id; a given id runs at most once. Default: stream and sequence, for example TASKS-17." group:"Queue:"`
	Timeout             *string  `json:"timeout,omitempty" placeholder:"DURATION" help:"Maximum run time, for example 10m." group:"Queue:"`
	ExpiresAt           *string  `json:"expires_at,omitempty" placeholder:"TIME" help:"Do not start after this time (RFC 3339)." group:"Queue:"`
	OnUnknownSubmission *string  `json:"on_unknown_submission,omitempty" placeholder:"fail|resubmit|fence" predictor:"unknown" help:"What to do if it is unknown whether Anchor accepted the task: fail, or submit it once more; fence does that only if its browser session shows no step." group:"Queue:"`
	Retries             *int     `json:"retries,omitempty" placeholder:"N" help:"How many times a failed run is repeated, 0 to 5." group:"Queue:"`
	RetryOn             []string `json:"retry_on,omitempty" placeholder:"CODE" predictor:"retry" help:"Failures after which the task is run again; may be repeated. Default: workflow_failed, agent_failed, invalid_result and step_limit." group:"Queue:"`
	RetryWith           jsonText `json:"retry_with,omitempty" placeholder:"JSON" help:"What the retries use in place of the request's agent, provider, model or max_steps: a JSON list of objects, or @FILE." group:"Queue:"`
	Metadata            jsonText `json:"metadata,omitempty" placeholder:"JSON" help:"Returned on the event unchanged: a JSON object, or @FILE." group:"Queue:"`

	// SecretValues and SecretFiles are no flags. encode fills them from Secrets and SecretRefs.
	SecretValues map[string]string `kong:"-" json:"secret_values,omitempty"`
	SecretFiles  map[string]string `kong:"-" json:"secret_refs,omitempty"`
}

// encode returns the request, or nil if no flag was given: the request then comes from a file or from
// standard input. The error names the flag that was given twice. It does not check the request; see
// checkRequest.
func (f fields) encode() ([]byte, error) {
	if f.PromptFlag != nil {
		if f.Prompt != nil {
			return nil, errors.New("give the prompt once: as an argument or with --prompt")
		}
		f.Prompt = f.PromptFlag
	}
	f.SecretValues = make(map[string]string, len(f.Secrets))
	for _, s := range f.Secrets {
		if _, given := f.SecretValues[s.name]; given {
			return nil, fmt.Errorf("--secret %s is given twice", s.name)
		}
		f.SecretValues[s.name] = s.value
	}
	f.SecretFiles = make(map[string]string, len(f.SecretRefs))
	for _, s := range f.SecretRefs {
		if _, given := f.SecretFiles[s.name]; given {
			return nil, fmt.Errorf("--secret-ref %s is given twice", s.name)
		}
		f.SecretFiles[s.name] = s.file
	}
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	// A prompt that contains < or & is sent as it was typed.
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(f); err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	data := bytes.TrimSpace(encoded.Bytes())
	// omitempty leaves out every flag that was not given.
	if string(data) == "{}" {
		return nil, nil
	}
	return data, nil
}

// jsonText is a flag whose value is JSON, or @ and the name of a file with JSON. It is nil if the flag was
// not given.
type jsonText json.RawMessage

// UnmarshalText reads the flag. Kong adds the name of the flag to its errors. Whether the JSON fits the
// field is up to checkRequest.
func (j *jsonText) UnmarshalText(text []byte) error {
	if name, ok := strings.CutPrefix(string(text), "@"); ok {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		text = request.WithoutBOM(data)
	}
	if !json.Valid(text) {
		return errors.New("must be JSON, or @FILE")
	}
	*j = bytes.Clone(text)
	return nil
}

// MarshalJSON returns the JSON as it was given: numbers keep their digits, and objects their order.
func (j jsonText) MarshalJSON() ([]byte, error) { return j, nil }

// secret is a flag that contains a secret, or says where to read it. A value on the command line is visible
// to every user of the machine, and stays in the history of the shell.
type secret struct{ name, value string }

// UnmarshalText reads the flag. Its errors never show the value. The last line break of a file is not part of the secret.
func (s *secret) UnmarshalText(text []byte) error {
	name, value, hasValue := strings.Cut(string(text), "=")
	if name == "" {
		return errors.New("must be NAME, NAME=@FILE or NAME=VALUE; the name is missing")
	}
	if !hasValue {
		var isSet bool
		if value, isSet = os.LookupEnv(name); !isSet {
			return errors.New("no environment variable has this name; set it, or use NAME=@FILE or NAME=VALUE")
		}
	} else if file, ok := strings.CutPrefix(value, "@"); ok {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		value = strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	}
	s.name, s.value = name, value
	return nil
}

// String hides the value, wherever a secret is printed, such as in an error or by a failing test.
func (s secret) String() string { return s.name + "=[redacted]" }

// secretRef is a flag that names a secret and the file that the worker reads it from.
type secretRef struct{ name, file string }

// UnmarshalText reads the flag. Whether the names fit the field is up to checkRequest.
func (s *secretRef) UnmarshalText(text []byte) error {
	name, file, ok := strings.Cut(string(text), "=")
	if !ok || name == "" || file == "" {
		return fmt.Errorf("must be NAME=FILE, such as PIN=shop/pin (got %.80q)", text)
	}
	s.name, s.file = name, file
	return nil
}
