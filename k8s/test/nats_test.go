package k8s_test

import (
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// With NATS_PROVISION=false a worker demands what it would otherwise create: internal/streams/role.go and
// consumer_rules.go.
func TestNACKCreatesTheStreamsAndTheConsumerOfTheWorker(t *testing.T) {
	for _, overlay := range []string{"base and nack", "production and nack"} {
		t.Run(overlay, func(t *testing.T) {
			objects := overlays(t)[overlay]
			w := workerOf(t, objects)
			if got := w.env["NATS_PROVISION"]; got != "false" {
				t.Errorf("NATS_PROVISION: got %q, want false: only one of both creates the streams", got)
			}
			want := streamsOf(t, w)
			got := map[string]custom{}
			for _, s := range all[custom](t, objects, "Stream") {
				spec, _ := s.at("spec").(map[string]any)
				name, _ := spec["name"].(string)
				got[name] = normalized(t, spec)
			}
			for name := range want {
				if !reflect.DeepEqual(got[name], want[name]) {
					t.Errorf("stream %s: got %v, want %v", name, got[name], want[name])
				}
			}
			if len(got) != len(want) {
				t.Errorf("streams: got %d, want %d", len(got), len(want))
			}
			spec, _ := only[custom](t, objects, "Consumer").at("spec").(map[string]any)
			consumer := custom{
				"streamName": w.setting(t, "REQUEST_STREAM"), "durableName": w.setting(t, "CONSUMER"), "filterSubject": w.setting(t, "REQUEST_SUBJECT"),
				"deliverPolicy": "all", "replayPolicy": "instant", "ackPolicy": "explicit", "ackWait": w.duration(t, "ACK_WAIT"),
				"maxAckPending": w.number(t, "MAX_IN_FLIGHT_TOTAL"), "maxDeliver": -1, "maxWaiting": 4096, "preventDelete": true, "metadata": purpose("worker"),
			}
			if got := normalized(t, spec); !reflect.DeepEqual(got, consumer) {
				t.Errorf("consumer: got %v, want %v", got, consumer)
			}
		})
	}
}

// streamsOf returns the streams that a worker demands, by name.
func streamsOf(t *testing.T, w worker) map[string]custom {
	t.Helper()
	day := 24 * time.Hour
	bucket, objects := w.setting(t, "TRACKER_BUCKET"), w.setting(t, "RESULT_BUCKET")
	want := map[string]custom{}
	for _, s := range []custom{
		{"name": w.setting(t, "REQUEST_STREAM"), "subjects": []any{w.setting(t, "REQUEST_SUBJECT")}, "retention": "workqueue", "metadata": purpose("requests")},
		{
			"name": w.setting(t, "RESULT_STREAM"), "subjects": []any{w.setting(t, "RESULT_SUBJECT")},
			"retention": "limits", "maxAge": 7 * day, "duplicateWindow": time.Hour, "metadata": purpose("results"),
		},
		{
			"name": w.setting(t, "DEAD_STREAM"), "subjects": []any{w.setting(t, "DEAD_SUBJECT")},
			"retention": "limits", "maxAge": 30 * day, "duplicateWindow": time.Hour, "metadata": purpose("dead-letters"),
		},
		{
			"name": "KV_" + bucket, "subjects": []any{"$KV." + bucket + ".>"}, "retention": "limits", "maxMsgsPerSubject": 1,
			"allowRollup": true, "denyDelete": true, "allowMsgTtl": true, "metadata": purpose("records"),
		},
		{
			"name": "OBJ_" + objects, "subjects": []any{"$O." + objects + ".C.>", "$O." + objects + ".M.>"}, "retention": "limits", "maxAge": 7 * day,
			"allowRollup": true, "allowDirect": true, "metadata": purpose("large-results"),
		},
	} {
		s["storage"], s["replicas"], s["discard"], s["preventDelete"] = "file", 3, "new", true
		name, _ := s["name"].(string)
		want[name] = s
	}
	return want
}

// purpose is the metadata by which a worker recognizes its own streams.
func purpose(name string) map[string]any { return map[string]any{"capstan": name} }

// normalized returns a specification with durations and integers as such, without fields that are false.
func normalized(t *testing.T, spec map[string]any) custom {
	t.Helper()
	found := custom{}
	for name, v := range spec {
		switch v := v.(type) {
		case float64:
			found[name] = int(v)
		case int64:
			found[name] = int(v)
		case bool:
			if v {
				found[name] = v
			}
		case string:
			found[name] = v
			if slices.Contains([]string{"maxAge", "duplicateWindow", "ackWait"}, name) {
				d, err := time.ParseDuration(v)
				if err != nil {
					t.Fatal(err)
				}
				found[name] = d
			}
		default:
			found[name] = v
		}
	}
	return found
}

func TestKEDAReadsTheLagOfTheWorkersConsumer(t *testing.T) {
	for _, overlay := range []string{"base and keda", "production", "production and nack", "production and nats-tls"} {
		objects := overlays(t)[overlay]
		w := workerOf(t, objects)
		metadata, _ := only[custom](t, objects, "ScaledObject").at("spec", "triggers", "0", "metadata").(map[string]any)
		if got := metadata["stream"]; got != w.setting(t, "REQUEST_STREAM") || metadata["consumer"] != w.setting(t, "CONSUMER") {
			t.Errorf("%s: trigger: got stream %v and consumer %v, want the worker's", overlay, got, metadata["consumer"])
		}
		// NATS finds the account of a login with credentials by its public key, and never calls it $G.
		account, id := metadata["account"], metadata["accountID"]
		if w.env["NATS_CREDS_FILE"] != "" && (account == "$G" || id == nil || id == "" || id == account) {
			t.Errorf("%s: account: got %v with the id %v, want a name and a public key", overlay, account, id)
		}
	}
}

func TestTheWorkerOfTheDevOverlayReachesItsNATS(t *testing.T) {
	objects := overlays(t)["dev"]
	set := only[appsv1.StatefulSet](t, objects, "StatefulSet").Spec
	nats := set.Template
	service := only[corev1.Service](t, objects, "Service")
	if !selects(t, set.Selector, nats.Labels) || !labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(nats.Labels)) {
		t.Errorf("StatefulSet and Service: got selectors %v and %v, want some for %v", set.Selector.MatchLabels, service.Spec.Selector, nats.Labels)
	}
	if set.ServiceName != service.Name {
		t.Errorf("StatefulSet: got Service %s, want %s", set.ServiceName, service.Name)
	}
	for _, p := range service.Spec.Ports {
		if !slices.Contains(nats.Spec.Containers[0].Ports, corev1.ContainerPort{Name: p.TargetPort.String(), ContainerPort: p.Port, Protocol: p.Protocol}) {
			t.Errorf("Service: port %s: got %v, want one of %v", p.Name, p.Port, nats.Spec.Containers[0].Ports)
		}
	}
	if got, want := workerOf(t, objects).env["NATS_URL"], "nats://"+service.Name+":4222"; got != want {
		t.Errorf("NATS_URL: got %s, want %s", got, want)
	}
	if !slices.ContainsFunc(only[networkingv1.NetworkPolicy](t, objects, "NetworkPolicy").Spec.Egress, func(r networkingv1.NetworkPolicyEgressRule) bool {
		return r.Ports[0].Port.IntValue() == 4222 && r.To[0].NamespaceSelector == nil && selects(t, r.To[0].PodSelector, nats.Labels)
	}) {
		t.Error("NetworkPolicy: got no rule for NATS, want one for its pod, port 4222")
	}
}

// The NATS of production comes from its Helm chart, which names the labels of the pods and the Services.
func TestTheWorkerOfProductionReachesItsNATS(t *testing.T) {
	for _, overlay := range []string{"production", "production and external-secrets", "production and nack", "production and nats-tls"} {
		objects := overlays(t)[overlay]
		at, err := url.Parse(workerOf(t, objects).env["NATS_URL"])
		if err != nil {
			t.Fatal(err)
		}
		service, domain, _ := strings.Cut(at.Hostname(), ".")
		namespace, ok := strings.CutSuffix(domain, ".svc.cluster.local")
		if !ok {
			t.Fatalf("%s: NATS_URL: got host %s, want that of a Service", overlay, at.Hostname())
		}
		port := intstr.Parse(at.Port())
		want := networkingv1.NetworkPolicyEgressRule{
			To: []networkingv1.NetworkPolicyPeer{{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": namespace}},
				PodSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/name": "nats"}},
			}},
			Ports: []networkingv1.NetworkPolicyPort{{Port: &port}},
		}
		egress := only[networkingv1.NetworkPolicy](t, objects, "NetworkPolicy").Spec.Egress
		if !slices.ContainsFunc(egress, func(r networkingv1.NetworkPolicyEgressRule) bool { return reflect.DeepEqual(r, want) }) {
			t.Errorf("%s: NetworkPolicy: got no rule for %s, want one for its namespace, pods and port", overlay, at)
		}
		endpoint := only[custom](t, objects, "ScaledObject").at("spec", "triggers", "0", "metadata", "natsServerMonitoringEndpoint")
		if want := service + "-headless." + domain + ":8222"; endpoint != want {
			t.Errorf("%s: natsServerMonitoringEndpoint: got %v, want %s", overlay, endpoint, want)
		}
	}
}
