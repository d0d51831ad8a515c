package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
)

// fields are the flags for the fields of a request, and the request they make. A flag that is not given
// leaves its field out.
type fields struct {
	Prompt *string `arg:"" optional:"" json:"prompt,omitempty" help:"What the agent shall do."`

	PromptFlag *string `name:"prompt" json:"-" placeholder:"TEXT" help:"The prompt, as a flag." group:"Task"`
	URL        *string `name:"url" json:"url,omitempty" placeholder:"URL" help:"Page to start from. This or --session-id is needed." group:"Task"`
	SessionID  *string `name:"session-id" json:"sessionId,omitempty" placeholder:"ID" help:"Run in this browser session." group:"Task"`
	MaxSteps   *int    `json:"max_steps,omitempty" placeholder:"N" help:"Most steps the agent may take." group:"Task"`

	OutputSchema jsonText `json:"output_schema,omitempty" placeholder:"JSON" help:"JSON Schema of the result, or @FILE." group:"Task"`
	Secrets      []secret `name:"secret" sep:"none" json:"-" placeholder:"NAME" help:"A secret for the agent: NAME takes it from the variable of that name, NAME=@FILE from a file; NAME=VALUE shows it in the list of processes." group:"Task"`

	Agent             *string  `json:"agent,omitempty" placeholder:"NAME" help:"Such as browser-use or openai-cua." group:"Agent"`
	Provider          *string  `json:"provider,omitempty" placeholder:"NAME" help:"Such as openai or gemini." group:"Agent"`
	Model             *string  `json:"model,omitempty" placeholder:"NAME" help:"Of the provider." group:"Agent"`
	DetectElements    *bool    `json:"detect_elements,omitempty" negatable:"" help:"Let the agent detect elements, or not." group:"Agent"`
	Async             *bool    `json:"async,omitempty" negatable:"" help:"Accepted and ignored, as in a request: Capstan always submits asynchronously." group:"Agent"`
	HumanIntervention *bool    `json:"human_intervention,omitempty" negatable:"" help:"Let the agent ask a person, or not." group:"Agent"`
	HighlightElements *bool    `json:"highlight_elements,omitempty" negatable:"" help:"Highlight elements, or not." group:"Agent"`
	UseVision         *bool    `json:"use_vision,omitempty" negatable:"" help:"Let the agent see the page, or not." group:"Agent"`
	DirectlyOpenURL   *bool    `name:"directly-open-url" json:"directly_open_url,omitempty" negatable:"" help:"Open the URL before the agent starts, or not." group:"Agent"`
	SystemMessage     *string  `name:"extended-system-message" json:"extended_system_message,omitempty" placeholder:"TEXT" help:"Added to the agent's system prompt." group:"Agent"`
	Extra             jsonText `json:"extra,omitempty" placeholder:"JSON" help:"Parameters that are new to the API: an object, or @FILE." group:"Agent"`

	TaskID              *string  `name:"task-id" json:"task_id,omitempty" placeholder:"ID" help:"The task's identity: the same one never runs twice." group:"Queue"`
	Timeout             *string  `json:"timeout,omitempty" placeholder:"DURATION" help:"Longest run, such as 10m." group:"Queue"`
	ExpiresAt           *string  `json:"expires_at,omitempty" placeholder:"TIME" help:"Not to be started after this moment (RFC 3339)." group:"Queue"`
	OnUnknownSubmission *string  `json:"on_unknown_submission,omitempty" placeholder:"fail|resubmit" help:"When it cannot be known whether the task was started." group:"Queue"`
	Metadata            jsonText `json:"metadata,omitempty" placeholder:"JSON" help:"Comes back on the event: an object, or @FILE." group:"Queue"`

	SecretValues map[string]string `kong:"-" json:"secret_values,omitempty"`
}

// encode returns the request, or nil where no flag was given.
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
	var request bytes.Buffer
	encoder := json.NewEncoder(&request)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(f); err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	data := bytes.TrimSpace(request.Bytes())
	if string(data) == "{}" {
		return nil, nil
	}
	return data, nil
}

// jsonText is a flag that holds JSON, or names a file that does.
type jsonText json.RawMessage

// UnmarshalText reads the flag.
func (j *jsonText) UnmarshalText(text []byte) error {
	if name, ok := strings.CutPrefix(string(text), "@"); ok {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		text = withoutBOM(data)
	}
	if !json.Valid(text) {
		return errors.New("it is not JSON; give JSON, or @FILE")
	}
	*j = bytes.Clone(text)
	return nil
}

// MarshalJSON returns the JSON.
func (j jsonText) MarshalJSON() ([]byte, error) { return j, nil }

// secret is a flag that holds a secret or says where it is.
type secret struct{ name, value string }

// UnmarshalText reads the flag. Its errors never show the value. A file's last line break is no part of
// the secret.
func (s *secret) UnmarshalText(text []byte) error {
	name, value, hasValue := strings.Cut(string(text), "=")
	if name == "" {
		return errors.New("it has no name; give NAME, NAME=@FILE or NAME=VALUE")
	}
	if !hasValue {
		var isSet bool
		if value, isSet = os.LookupEnv(name); !isSet {
			return errors.New("no variable of the environment has this name; set it, or give NAME=@FILE or NAME=VALUE")
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

// String hides the value.
func (s secret) String() string { return s.name + "=[redacted]" }
