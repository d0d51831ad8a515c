package anchortest

import (
	"encoding/json"
	"strings"
)

// schemaProperties returns the properties of a schema, or nil if it has none or is not JSON.
func schemaProperties(schema json.RawMessage) map[string]json.RawMessage {
	var s struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if len(schema) == 0 || json.Unmarshal(schema, &s) != nil {
		return nil
	}
	return s.Properties
}

// fill returns values for the properties whose names it knows, and leaves out the others. The names are
// matched without regard to case, underscores, hyphens and blanks.
func (p page) fill(properties map[string]json.RawMessage) map[string]any {
	answer := map[string]any{}
	for name, want := range properties {
		switch strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(name)) {
		case "title", "pagetitle":
			answer[name] = p.title
		case "heading", "mainheading", "h1", "headline":
			answer[name] = p.heading
		case "paragraph", "firstparagraph", "summary", "description":
			answer[name] = p.paragraph
		case "links":
			answer[name] = p.linksFor(want)
		}
	}
	return answer
}

// linksFor returns the links of the page as the property's schema wants them: as addresses alone if its
// items are strings, else as objects with text and url.
func (p page) linksFor(schema json.RawMessage) any {
	var want struct {
		Items struct {
			Type string `json:"type"`
		} `json:"items"`
	}
	if json.Unmarshal(schema, &want) != nil || want.Items.Type != "string" {
		return p.links
	}
	urls := make([]string, len(p.links))
	for i, l := range p.links {
		urls[i] = l.URL
	}
	return urls
}

// mentionedIn returns the parts of the page that the prompt mentions, or all parts if it mentions none.
func (p page) mentionedIn(prompt string) map[string]any {
	all := map[string]any{"title": p.title, "heading": p.heading, "paragraph": p.paragraph, "links": p.links}
	words := map[string]string{"title": "title", "heading": "heading", "paragraph": "paragraph", "links": "link"}
	answer := map[string]any{}
	for name, word := range words {
		if strings.Contains(strings.ToLower(prompt), word) {
			answer[name] = all[name]
		}
	}
	if len(answer) == 0 {
		return all
	}
	return answer
}
