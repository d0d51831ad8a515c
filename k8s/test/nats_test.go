package k8s_test

import (
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// The NATS of the dev overlay is in its namespace. That of production comes from its Helm chart, which names the labels of
// the pods and the Services.
func checkNATS(t *testing.T, o overlay) {
	t.Helper()
	at := parsed(t, url.Parse, o.env["NATS_URL"])
	port := intstr.Parse(at.Port())
	label := map[string]string{"app.kubernetes.io/name": "nats"}
	nats := networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: label}}
	if _, domain, ok := strings.Cut(at.Hostname(), "."); ok {
		namespace := strings.TrimSuffix(domain, ".svc.cluster.local")
		nats.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": namespace}}
	} else {
		service, set := only[corev1.Service](t, o), only[appsv1.StatefulSet](t, o)
		pod := set.Spec.Template
		entry, open := service.Spec.Ports[0], pod.Spec.Containers[0].Ports[0]
		if service.Name != at.Hostname() || entry.Port != port.IntVal || entry.TargetPort.StrVal != open.Name || open.ContainerPort != port.IntVal {
			t.Errorf("NATS_URL: got %s, want Service %s, port %d, which leads to %v", at, service.Name, entry.Port, open)
		}
		if !reflect.DeepEqual([]map[string]string{service.Spec.Selector, set.Spec.Selector.MatchLabels, pod.Labels}, []map[string]string{label, label, label}) {
			t.Errorf("Service and StatefulSet: got %v, %v and %v, want %v", service.Spec.Selector, set.Spec.Selector, pod.Labels, label)
		}
	}
	want := networkingv1.NetworkPolicyEgressRule{To: []networkingv1.NetworkPolicyPeer{nats}, Ports: []networkingv1.NetworkPolicyPort{{Port: &port}}}
	egress := only[networkingv1.NetworkPolicy](t, o).Spec.Egress
	if !slices.ContainsFunc(egress, func(r networkingv1.NetworkPolicyEgressRule) bool { return reflect.DeepEqual(r, want) }) {
		t.Errorf("NetworkPolicy: got no rule for %s, want one for its namespace, pods and port", at)
	}
}

func checkScaler(t *testing.T, o overlay) {
	t.Helper()
	for _, s := range all[custom[scaling]](o) {
		got := s.Spec.Triggers[0].Metadata
		// NATS finds the account of a login with credentials by its public key, and never calls it $G.
		if account, id := got["account"], got["accountID"]; account == "$G" || id == "" || id == account {
			t.Errorf("account: got %q with the id %q, want a name and a public key", account, id)
		}
		service, domain, _ := strings.Cut(parsed(t, url.Parse, o.env["NATS_URL"]).Hostname(), ".")
		for name, want := range map[string]string{
			"stream": o.setting(t, "REQUEST_STREAM"), "consumer": o.setting(t, "CONSUMER"), "natsServerMonitoringEndpoint": service + "-headless." + domain + ":8222",
		} {
			if got[name] != want {
				t.Errorf("trigger: %s: got %q, want %q", name, got[name], want)
			}
		}
		each, total := parsed(t, strconv.Atoi, o.setting(t, "MAX_IN_FLIGHT")), o.most(t)
		if got := s.Spec.MaxReplicas * each; s.Spec.Target.Name != o.deployment.Name || got > total {
			t.Errorf("scaler: got %s with %d tasks on all workers, want the worker with at most MAX_IN_FLIGHT_TOTAL, %d", s.Spec.Target.Name, got, total)
		}
		if got := s.Spec.tasksPerWorker(t); 2*got > each {
			t.Errorf("scaler: got a worker for each %d tasks, want at most half of MAX_IN_FLIGHT, %d", got, each)
		}
	}
}

// tasksPerWorker returns for how many tasks there is to be one more worker: those that Prometheus counts, if it does.
func (s scaling) tasksPerWorker(t *testing.T) int {
	t.Helper()
	for _, trigger := range s.Triggers {
		if trigger.Type == "prometheus" {
			return parsed(t, strconv.Atoi, trigger.Metadata["threshold"])
		}
	}
	return parsed(t, strconv.Atoi, s.Triggers[0].Metadata["lagThreshold"])
}

// With NATS_PROVISION=false a worker demands what it would otherwise create: internal/streams/stream_rules.go and
// consumer_rules.go.
func TestNACKCreatesTheStreamsAndTheConsumerOfTheWorker(t *testing.T) {
	o := production(t, "nack", "")
	if got := o.env["NATS_PROVISION"]; got != "false" {
		t.Errorf("NATS_PROVISION: got %q, want false: only one of both creates the streams", got)
	}
	set := func(name string) string { return o.setting(t, name) }
	bucket, control, large := set("TRACKER_BUCKET"), set("CONTROL_BUCKET"), set("RESULT_BUCKET")
	want := map[string]nack{
		"tasks": {"name": set("REQUEST_STREAM"), "subjects": []any{set("REQUEST_SUBJECT")}, "retention": "workqueue", "metadata": purpose("requests")},
		"task-results": {
			"name": set("RESULT_STREAM"), "subjects": []any{set("RESULT_SUBJECT")}, "retention": "limits",
			"maxAge": "168h", "duplicateWindow": "1h", "metadata": purpose("results"),
		},
		"task-dead": {
			"name": set("DEAD_STREAM"), "subjects": []any{set("DEAD_SUBJECT")}, "retention": "limits",
			"maxAge": "720h", "duplicateWindow": "1h", "metadata": purpose("dead-letters"),
		},
		"task-tracker": {
			"name": "KV_" + bucket, "subjects": []any{"$KV." + bucket + ".>"}, "retention": "limits", "maxMsgsPerSubject": int64(1),
			"allowRollup": true, "denyDelete": true, "allowDirect": false, "allowMsgTtl": true, "metadata": purpose("records"),
		},
		"task-control": {
			"name": "KV_" + control, "subjects": []any{"$KV." + control + ".>"}, "retention": "limits", "maxMsgsPerSubject": int64(1),
			"allowRollup": true, "denyDelete": true, "allowDirect": false, "allowMsgTtl": true, "metadata": purpose("control"),
			"maxAge": "168h",
		},
		"task-results-large": {
			"name": "OBJ_" + large, "subjects": []any{"$O." + large + ".C.>", "$O." + large + ".M.>"}, "retention": "limits",
			"maxAge": "168h", "allowRollup": true, "allowDirect": true, "metadata": purpose("large-results"),
		},
	}
	for _, s := range want {
		s["storage"], s["replicas"], s["discard"], s["preventDelete"] = "file", int64(3), "new", true
	}
	want["worker"] = nack{
		"streamName": set("REQUEST_STREAM"), "durableName": set("CONSUMER"), "filterSubject": set("REQUEST_SUBJECT"), "deliverPolicy": "all",
		"replayPolicy": "instant", "ackPolicy": "explicit", "ackWait": set("ACK_WAIT"), "maxAckPending": int64(o.most(t)),
		"maxDeliver": int64(-1), "maxWaiting": int64(4096), "preventDelete": true, "metadata": purpose("worker"),
	}
	got := map[string]nack{}
	for _, s := range all[custom[nack]](o) {
		got[s.Name] = s.Spec
	}
	for name := range want {
		if !reflect.DeepEqual(got[name], want[name]) {
			t.Errorf("%s: got %v, want %v", name, got[name], want[name])
		}
	}
	if len(got) != len(want) {
		t.Errorf("streams and consumers: got %d, want %d", len(got), len(want))
	}
}

// purpose is the metadata by which a worker recognizes its own streams.
func purpose(name string) map[string]any { return map[string]any{"capstan": name} }
