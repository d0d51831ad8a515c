package hostile_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// escaped returns a text of that many bytes in which each letter may be the secret "a", and part of an escape.
func escaped(size int) string {
	const begin = `+%41\\n`
	return begin + strings.Repeat("a", size-len(begin))
}

// oneSecret returns the member with the shortest possible secret.
func oneSecret() string { return `"secret_values":{"PIN":"a"}` }

func TestARefusedRequestFullOfItsSecret(t *testing.T) {
	const size = 1016 << 10
	attack{
		n: 4,
		request: func(i int) string {
			head := request(fmt.Sprint("attack-", i), attackPlan, oneSecret(), `"max_steps":0`, `"model":"`)
			head = strings.TrimSuffix(head, "}")
			return head + escaped(size-len(head)-len(`"}`)) + `"}`
		},
		want: []task.Code{task.InvalidRequest},
	}.run(t)
}

func TestAnAnswerFullOfTheSecret(t *testing.T) {
	attack{
		n:       4,
		request: func(i int) string { return request(fmt.Sprint("attack-", i), attackPlan, oneSecret()) },
		answers: anchortest.Plan{Result: json.RawMessage(`"` + escaped(1<<20) + `"`)},
		want:    []task.Code{""},
	}.run(t)
}

func TestAnAnswerFullOfManySecrets(t *testing.T) {
	heavy(t)
	var secrets []string
	for i := range 100 { // as many as there may be
		secrets = append(secrets, member(fmt.Sprint("S", i), quote(strings.Repeat("ab", i+1)+fmt.Sprint(i%2))))
	}
	attack{
		n: 20,
		request: func(i int) string {
			return request(fmt.Sprint("attack-", i), attackPlan, `"secret_values":{`+strings.Join(secrets, ",")+`}`)
		},
		answers: anchortest.Plan{Result: json.RawMessage(`"` + strings.Repeat("ab", 512<<10) + `"`)},
		want:    []task.Code{""},
	}.run(t)
}

func TestAnAnswerWithTheSecretInEveryForm(t *testing.T) {
	heavy(t)
	const secret = `p&<>"'\ %` + "\u00e9\n"
	forms := []string{
		secret, `p&amp;&lt;&gt;&quot;&#39;\ %`, "p%26%3C%3E%22%27%5C%20%25%C3%A9%0A", "p%26%3C%3E%22%27%5C+%25%C3%A9%0A",
		`p&<>\"'\\ %é\n`, `p&<>\\\"'\\\\ %é\\n`, "p&#38;&#60;&#62;&#34;&#x27;",
	}
	attack{
		n: 20,
		request: func(i int) string {
			return request(fmt.Sprint("attack-", i), attackPlan, `"secret_values":{"PASSWORD":`+quote(secret)+`}`)
		},
		answers: anchortest.Plan{Result: json.RawMessage(quote(strings.Repeat(strings.Join(forms, " "), 8000)))},
		want:    []task.Code{""},
	}.run(t)
}

func TestManySecretsInOneRequest(t *testing.T) {
	heavy(t)
	var secrets []string
	for i := range 40_000 {
		secrets = append(secrets, member(fmt.Sprint("S", i), quote(fmt.Sprint("value ", i))))
	}
	attack{
		n: 20,
		request: func(i int) string {
			return request(fmt.Sprint("attack-", i), attackPlan, `"secret_values":{`+strings.Join(secrets, ",")+`}`)
		},
		want: []task.Code{"", task.InvalidRequest},
	}.run(t)
}
