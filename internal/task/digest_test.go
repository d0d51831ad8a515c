package task_test

import (
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/task"
)

// Records of running tasks hold digests: a version that computes another one would take their requests for duplicates.
func TestDigestsNeverChange(t *testing.T) {
	for _, tc := range []struct{ request, want string }{
		{small, "79379cd2828e78ce64d5dea7dff5653829d6ad90fcc939baad3730c955444f9d"},
		{with(`"model":"m"`), "94966c0fd95c817ad82ecd79f8afda4a79d396b275130220598a6d8f691e4465"},
		{with(`"output_schema":` + heading), "353fcfe329e097aab177e250f1b05c7f458d5c8db2c3d7b769a63999beb066e3"},
		{with(`"model":"<&>\u003c\u2028` + "\u2028\u2029\u007f" + `é\u00e9\ud83d\ude00\uffff"`), "3c96389488e511c627429d448f836b152d8611f40bd75fb4c85d687b29b621f7"},
		{with(`"model":"\b\f\n\r\t\"\\\/\u0000\u001F"`), "55c8b140910c71ea49767d92b0e8c2daf5d367370bdd4e41b8d15f61de66b295"},
		{with(`"model":"a\ud83d<b\uDE00\ud83dc\\ud83d"`), "90f0d690b125e645a6dd973b73548160097f0bca6b21782694ce8163e67afac1"},
		{with(`"extra":{"\ud83e":2,"\ud83d":1,"a\ud83d":{"\uDE00":[]}}`), "132af75b668cf0cd35b0a54dba33273d488ea7f331322925d36525cfbe6748fc"},
		{with(`"extra":{"😀":1,"` + "\uff21" + `":2,"\ufb01":3,"é":4,"<":5,"":6}`), "1287180b5466f680b1602675dd57117b69d39a62c8b6cb61334036a3acbbe6d4"},
		{with(`"extra": { "b":[ ], "a":[1.0 , -0,1E5,0.10e-7,true,null,"\/",{ }], "\u0061\/":{"é":1,"Z":{"b":0,"a":"<"}} }`), "2f2071428081abe79b66d332434b30ea96eeb9e7fb1dcda010129f7790d9e0b0"},
		{with(`"extra":{"id":12345678901234567890},"metadata":{"a":1},"secret_values":{"A":"b"}`), "c708edbd95cc31bfcb613d9a145783fd7678ace53c97a5660ee8f0869d39ea65"},
		{"\ufeff" + `{"task_id":"a","sessionId":"s","prompt":" p ","timeout":"90s"}`, "cb7ba7742b5b3a2c267ba6b9e4e544d8e8c77eae1b9034a2789c4b00f21659b1"},
	} {
		if got := parse(t, tc.request).Digest; got != tc.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tc.request, got, tc.want)
		}
	}
	d := delivery(with(`"model":"m"`))
	d.Stream = "A<&B" // a name that NATS allows
	r, err := task.ParseRequest(d, defaults)
	if want := "87094764284c12549c92e9a294ac4e1463700e1cd99587759ff1c59039869d4e"; err != nil || r.Digest != want {
		t.Errorf("default id of %s: got %s, %v, want %s", d.Stream, r.Digest, err, want)
	}
}

func TestDigestIsOfTheContent(t *testing.T) {
	digest := func(data string) string { return parse(t, data).Digest }
	base := digest(`{"prompt":"p","url":"https://a.example","task_id":"a","max_steps":1}`)
	for _, same := range []string{
		` { "url":"https:\/\/a.example", "max_steps":1, "task_id":"a", "prompt":"\u0070" } `,
		`{"prompt":"p","url":"https://a.example","task_id":"a","max_steps":1,"metadata":{"n":1},"secret_values":{"A":"b"}}`,
	} {
		if got := digest(same); got != base {
			t.Errorf("%s: got another digest, want the same", same)
		}
	}
	for _, other := range []string{
		`{"prompt":"p","url":"https://a.example","task_id":"b","max_steps":1}`,
		`{"prompt":"p","url":"https://a.example","task_id":"a","max_steps":2}`,
		`{"prompt":"p","url":"https://a.example","task_id":"a","max_steps":1,"timeout":"1s"}`,
	} {
		if got := digest(other); got == base {
			t.Errorf("%s: got the same digest, want another", other)
		}
	}
	if digest(with(`"extra":{"id":12345678901234567890}`)) == digest(with(`"extra":{"id":12345678901234567891}`)) {
		t.Error("got the same digest for two numbers that are one float64, want two")
	}
	m := delivery(`{"prompt":"p","url":"https://a.example","max_steps":1}`)
	m.Header = map[string][]string{"Nats-Msg-Id": {"a"}}
	if r, err := task.ParseRequest(m, defaults); err != nil || r.Digest != base {
		t.Errorf("id in the header: got %v, want the digest of the one with the id in the body", err)
	}
}

func TestDigestIsOfCanonicalJSON(t *testing.T) {
	for _, members := range []string{
		`"model":"m"`, `"metadata":{},"secret_values":{"A":"b"}`, `"model":"a\/b"`, `"model":"\u00e9\ud83d\ude00\uffff"`,
		`"model":"<&>\u003c\u2028` + "\u2028\u007f" + `é"`, `"model":"\b\f\n\r\t\"\\\u0000\u001F"`, `"max_steps" : 7`,
		`"extra": { "b":[ ], "a":[1.0 , -0,1E5,true,null,"\/",{ }], "\u0061\/":{"é":1,"Z":{"b":0,"a":"<"}} }`,
	} {
		r := parse(t, with(members))
		if want := canonicalDigest(t, []byte(with(members)), "TASKS-7"); r.Digest != want {
			t.Errorf("%s: got %s, want %s", members, r.Digest, want)
		}
	}
}

func FuzzDigest(f *testing.F) {
	for _, seed := range []string{`{"b":[],"a":{"\u0061\/":-0}}`, `"\ud83d\ude00\u003c<é\b\/"`, ` [ 1.0 , null ] `, `"` + "\u2028" + `"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		data := with(`"extra":{"x":` + string(value) + `}`)
		r, err := task.ParseRequest(delivery(data), defaults)
		if err != nil {
			return
		}
		if strings.Contains(marshalAgain(t, value), "\ufffd") {
			return // encoding/json makes one character of all halves of surrogate pairs
		}
		if want := canonicalDigest(t, []byte(data), r.TaskID); r.Digest != want {
			t.Fatalf("%s: got %s, want %s", data, r.Digest, want)
		}
	})
}

func TestHalvesOfCharactersDiffer(t *testing.T) {
	prompt := func(text string) string {
		return parse(t, `{"task_id":"a","url":"https://a.example","prompt":"`+text+`"}`).Digest
	}
	for _, tc := range []struct {
		a, b string
		same bool
	}{
		{`summary of \ud83d`, `summary of \ud83e`, false},
		{`summary of \ud83d`, `summary of \uD83D`, true},
		{`summary of \ud83d`, `summary of \ufffd`, false},
		{`\ud83d\ude00`, "😀", true},
		{`\ud83d\ud83d\ude00`, `\ud83d😀`, true},
		{`\ude00\ud83d`, `\ud83d\ude00`, false},
		{`\\ud83d`, `\ud83d`, false},
		{`\u003c\ud83d\n<`, `<\ud83d\u000a\u003c`, true},
	} {
		if got := prompt(tc.a) == prompt(tc.b); got != tc.same {
			t.Errorf("%s and %s: got the same digest: %v, want %v", tc.a, tc.b, got, tc.same)
		}
	}
	if a, b := parse(t, with(`"extra":{"\ud83d":1,"\ud83e":2}`)), parse(t, with(`"extra":{"\ud83e":2,"\ud83d":1}`)); a.Digest != b.Digest {
		t.Error("got two digests for two orders of the same members")
	} else if want := `,"\ud83d":1,"\ud83e":2}`; !strings.HasSuffix(string(a.Body), want) {
		t.Errorf("got %s, want %s as it came", a.Body, want)
	}
}
