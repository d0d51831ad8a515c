package k8s_test

import (
	"reflect"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The rules that the worker demands with NATS_PROVISION=false, and what it makes itself otherwise, stand in
// internal/streams/role.go and consumer_rules.go.
func TestNACKMakesWhatTheWorkerWouldMake(t *testing.T) {
	rendered := overlays(t)
	for _, overlay := range []string{"base and nack", "production and nack"} {
		t.Run(overlay, func(t *testing.T) { checkStreams(t, rendered[overlay]) })
	}
}

func checkStreams(t *testing.T, objects []object) {
	t.Helper()
	w := workerOf(t, objects)
	if got := w.env["NATS_PROVISION"]; got != "false" {
		t.Errorf("NATS_PROVISION: got %q, want false: one of both makes the streams", got)
	}
	day := 24 * time.Hour
	want := map[string]streamSpec{}
	for _, s := range []streamSpec{
		{
			Name: w.setting(t, "REQUEST_STREAM"), Subjects: []string{w.setting(t, "REQUEST_SUBJECT")},
			Retention: "workqueue", Metadata: marked("requests"),
		},
		{
			Name: w.setting(t, "RESULT_STREAM"), Subjects: []string{w.setting(t, "RESULT_SUBJECT")},
			Retention: "limits", MaxAge: metav1.Duration{Duration: 7 * day}, DuplicateWindow: metav1.Duration{Duration: time.Hour}, Metadata: marked("results"),
		},
		{
			Name: w.setting(t, "DEAD_STREAM"), Subjects: []string{w.setting(t, "DEAD_SUBJECT")},
			Retention: "limits", MaxAge: metav1.Duration{Duration: 30 * day}, DuplicateWindow: metav1.Duration{Duration: time.Hour}, Metadata: marked("dead-letters"),
		},
		{
			Name: "KV_" + w.setting(t, "TRACKER_BUCKET"), Subjects: []string{"$KV." + w.setting(t, "TRACKER_BUCKET") + ".>"},
			Retention: "limits", MaxMsgsPerSubject: 1, AllowRollup: true, DenyDelete: true, AllowMsgTTL: true, Metadata: marked("records"),
		},
		{
			Name: "OBJ_" + w.setting(t, "RESULT_BUCKET"), Subjects: []string{"$O." + w.setting(t, "RESULT_BUCKET") + ".C.>", "$O." + w.setting(t, "RESULT_BUCKET") + ".M.>"},
			Retention: "limits", MaxAge: metav1.Duration{Duration: 7 * day}, AllowRollup: true, AllowDirect: true, Metadata: marked("large-results"),
		},
	} {
		s.Storage, s.Replicas, s.Discard, s.PreventDelete = "file", 3, "new", true
		want[s.Name] = s
	}
	got := map[string]streamSpec{}
	for _, s := range all[stream](t, objects, "Stream") {
		got[s.Spec.Name] = s.Spec
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("streams: got %+v, want %+v", got, want)
	}
}

// marked is the mark by which a worker tells its own.
func marked(purpose string) map[string]string { return map[string]string{"capstan": purpose} }

func TestNACKMakesTheConsumerThatTheWorkerDemands(t *testing.T) {
	objects := overlays(t)["production and nack"]
	w := workerOf(t, objects)
	got := only[streamConsumer](t, objects, "Consumer").Spec
	want := consumerSpec{
		StreamName: w.setting(t, "REQUEST_STREAM"), DurableName: w.setting(t, "CONSUMER"), FilterSubject: w.setting(t, "REQUEST_SUBJECT"),
		DeliverPolicy: "all", ReplayPolicy: "instant", AckPolicy: "explicit", AckWait: w.setting(t, "ACK_WAIT"),
		MaxAckPending: w.number(t, "MAX_IN_FLIGHT_TOTAL"), MaxDeliver: -1, MaxWaiting: 4096, PreventDelete: true, Metadata: marked("worker"),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("consumer: got %+v, want %+v", got, want)
	}
}

func TestKEDAReadsTheLagOfTheWorkersConsumer(t *testing.T) {
	rendered := overlays(t)
	for _, overlay := range []string{"base and keda", "production", "production and nack", "production and nats-tls"} {
		objects := rendered[overlay]
		w := workerOf(t, objects)
		trigger := only[scaledObject](t, objects, "ScaledObject").Spec.Triggers[0]
		if trigger.Type != "nats-jetstream" {
			t.Errorf("%s: trigger: got %s, want nats-jetstream", overlay, trigger.Type)
		}
		if got, want := trigger.Metadata.Stream, w.setting(t, "REQUEST_STREAM"); got != want {
			t.Errorf("%s: stream: got %s, want %s", overlay, got, want)
		}
		if got, want := trigger.Metadata.Consumer, w.setting(t, "CONSUMER"); got != want {
			t.Errorf("%s: consumer: got %s, want %s", overlay, got, want)
		}
		// NATS finds an account that a login with credentials is in by its public key, and never calls it $G.
		account, id := trigger.Metadata.Account, trigger.Metadata.AccountID
		if w.env["NATS_CREDS_FILE"] != "" && (account == "$G" || id == "" || id == account) {
			t.Errorf("%s: account: got %q with the id %q, want a name and a public key", overlay, account, id)
		}
	}
}
