package task_test

import (
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
	d := message(with(`"model":"m"`))
	d.Stream = "A<&B" // a name that NATS allows
	r, err := task.ParseRequest(d, defaults)
	if want := "87094764284c12549c92e9a294ac4e1463700e1cd99587759ff1c59039869d4e"; err != nil || r.Digest != want {
		t.Errorf("default id of %s: got %s, %v, want %s", d.Stream, r.Digest, err, want)
	}
}
