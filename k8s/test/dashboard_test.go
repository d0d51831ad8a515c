package k8s_test

import (
	"reflect"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

func TestTheDashboardIsFoundAndFindsNATS(t *testing.T) {
	worker := production(t, "dashboard", "")
	o := overlay{objects: worker.dashboard}
	deployment, service, policy := only[appsv1.Deployment](t, o), only[corev1.Service](t, o), only[networkingv1.NetworkPolicy](t, o)
	pod := deployment.Spec.Template
	c := pod.Spec.Containers[0]
	for _, s := range []*metav1.LabelSelector{deployment.Spec.Selector, &policy.Spec.PodSelector, {MatchLabels: service.Spec.Selector}} {
		if len(s.MatchLabels) == 0 || !labels.SelectorFromSet(s.MatchLabels).Matches(labels.Set(pod.Labels)) {
			t.Errorf("selector: got %v, want one for %v", s.MatchLabels, pod.Labels)
		}
	}
	if labels.SelectorFromSet(worker.deployment.Spec.Selector.MatchLabels).Matches(labels.Set(pod.Labels)) {
		t.Error("got a dashboard that the worker's selectors find, want one apart")
	}
	port := c.Ports[0]
	if entry := service.Spec.Ports[0]; entry.TargetPort.String() != port.Name || entry.Port != port.ContainerPort {
		t.Errorf("Service: got %v, want port %v", entry, port)
	}
	if c.Image != worker.container.Image || strings.Join(c.Args, " ") != "capstan dashboard" {
		t.Errorf("got the image %s with %v, want the worker's with capstan dashboard", c.Image, c.Args)
	}
	// To DNS and to NATS, as the worker, and nowhere else.
	if got, want := policy.Spec.Egress, only[networkingv1.NetworkPolicy](t, worker).Spec.Egress[:2]; !reflect.DeepEqual(got, want) {
		t.Errorf("egress: got %v, want %v", got, want)
	}
	settings := map[string]string{}
	for _, e := range c.Env {
		settings[e.Name] = e.Value
		if e.ValueFrom != nil && e.ValueFrom.ConfigMapKeyRef != nil && !strings.HasPrefix(e.ValueFrom.ConfigMapKeyRef.Name, "worker-") {
			t.Errorf("%s: got ConfigMap %s, want the one with a hash in its name", e.Name, e.ValueFrom.ConfigMapKeyRef.Name)
		}
		if e.Name == "DASHBOARD_TOKEN" && (e.ValueFrom == nil || e.ValueFrom.SecretKeyRef == nil) {
			t.Error("DASHBOARD_TOKEN: got a value, want a secret")
		}
	}
	if got := settings["DASHBOARD_ADDR"]; got != ":8090" || port.ContainerPort != 8090 {
		t.Errorf("DASHBOARD_ADDR: got %s, want the port of the container, %d", got, port.ContainerPort)
	}
	if got := settings["NATS_CREDS_FILE"]; !strings.HasPrefix(got, c.VolumeMounts[0].MountPath+"/") {
		t.Errorf("NATS_CREDS_FILE: got %s, want a file of the mounted secret", got)
	}
}
