package redact

import "strings"

const (
	// leastCut is how many bytes of a secret's beginning are taken for a secret that was cut: fewer are part of many words.
	leastCut = 8

	ellipsis = "…"
)

// Cut returns a text that may have been cut, with a mark in the place of the beginning of a secret at its end. The rest of
// the secret is missing, so Text does not find it. The text may end with an ellipsis.
func (s Secrets) Cut(text string) string {
	body, isMarked := strings.CutSuffix(text, ellipsis)
	for _, secret := range s.all {
		for n := min(len(secret.Value)-1, len(body)); n >= leastCut; n-- {
			if !strings.HasSuffix(body, secret.Value[:n]) {
				continue
			}
			cut := body[:len(body)-n] + s.Redactor().Mark(secret.Name)
			if isMarked {
				cut += ellipsis
			}
			return cut
		}
	}
	return text
}
