package k8s_test

import (
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestTheWorkerOfTheDevOverlayReachesItsNATS(t *testing.T) {
	objects := overlays(t)["dev"]
	set := only[appsv1.StatefulSet](t, objects, "StatefulSet").Spec
	nats := set.Template
	service := only[corev1.Service](t, objects, "Service")
	if !selects(t, set.Selector, nats.Labels) {
		t.Errorf("StatefulSet: got selector %v, want one for %v", set.Selector.MatchLabels, nats.Labels)
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
	if !labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(nats.Labels)) {
		t.Errorf("Service: got selector %v, want one for %v", service.Spec.Selector, nats.Labels)
	}
	for _, rule := range only[networkingv1.NetworkPolicy](t, objects, "NetworkPolicy").Spec.Egress {
		if rule.Ports[0].Port.IntValue() == 4222 && rule.To[0].NamespaceSelector == nil && selects(t, rule.To[0].PodSelector, nats.Labels) {
			return
		}
	}
	t.Error("NetworkPolicy: got no way to NATS, want one to its pod, port 4222")
}

// The NATS of production is that of its Helm chart: the pods' labels and the Services' names are the chart's.
func TestTheWorkerOfProductionReachesItsNATS(t *testing.T) {
	rendered := overlays(t)
	for _, overlay := range []string{"production", "production and external-secrets", "production and nack", "production and nats-tls"} {
		objects := rendered[overlay]
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
			t.Errorf("%s: NetworkPolicy: got no way to %s, want one to its namespace, pods and port", overlay, at)
		}
		endpoint := only[scaledObject](t, objects, "ScaledObject").Spec.Triggers[0].Metadata.Endpoint
		if want := service + "-headless." + domain + ":8222"; endpoint != want {
			t.Errorf("%s: natsServerMonitoringEndpoint: got %s, want %s", overlay, endpoint, want)
		}
	}
}
