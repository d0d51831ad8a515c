package k8s_test

import (
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// The rules are those of https://kubernetes.io/docs/concepts/security/pod-security-standards/, profile
// restricted. An API server that enforces it only warns of a Deployment, and then its pods never come.
func TestPodsKeepTheRestrictedProfile(t *testing.T) {
	for overlay, objects := range overlays(t) {
		for name, pod := range pods(t, objects) {
			checkPod(t, overlay+": pod "+name, pod)
		}
	}
}

func checkPod(t *testing.T, name string, pod corev1.PodSpec) {
	t.Helper()
	for rule, kept := range podRules(pod) {
		if !kept {
			t.Errorf("%s: got it broken, want %s", name, rule)
		}
	}
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		for rule, kept := range containerRules(c) {
			if !kept {
				t.Errorf("%s: container %s: got it broken, want %s", name, c.Name, rule)
			}
		}
	}
}

func pods(t *testing.T, objects []object) map[string]corev1.PodSpec {
	t.Helper()
	found := map[string]corev1.PodSpec{}
	for _, d := range all[appsv1.Deployment](t, objects, "Deployment") {
		found[d.Name] = d.Spec.Template.Spec
	}
	for _, s := range all[appsv1.StatefulSet](t, objects, "StatefulSet") {
		found[s.Name] = s.Spec.Template.Spec
	}
	return found
}

func podRules(pod corev1.PodSpec) map[string]bool {
	s := pod.SecurityContext
	if s == nil {
		return map[string]bool{"a security context": false}
	}
	return map[string]bool{
		"no namespace of the host":          !pod.HostNetwork && !pod.HostPID && !pod.HostIPC,
		"volumes that are no host's":        !slices.ContainsFunc(pod.Volumes, isForbidden),
		"a user that is not root":           s.RunAsNonRoot != nil && *s.RunAsNonRoot && s.RunAsUser != nil && *s.RunAsUser > 0,
		"the runtime's seccomp profile":     s.SeccompProfile != nil && s.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault,
		"no sysctls":                        len(s.Sysctls) == 0,
		"no other SELinux or AppArmor":      s.SELinuxOptions == nil && s.AppArmorProfile == nil,
		"no host process":                   s.WindowsOptions == nil,
		"no token of the Kubernetes API":    pod.AutomountServiceAccountToken != nil && !*pod.AutomountServiceAccountToken,
		"no variables of other Services":    pod.EnableServiceLinks != nil && !*pod.EnableServiceLinks,
		"no container put in for debugging": len(pod.EphemeralContainers) == 0,
	}
}

func isForbidden(v corev1.Volume) bool {
	return v.ConfigMap == nil && v.CSI == nil && v.DownwardAPI == nil && v.EmptyDir == nil && v.Ephemeral == nil &&
		v.PersistentVolumeClaim == nil && v.Projected == nil && v.Secret == nil
}

func containerRules(c corev1.Container) map[string]bool {
	s := c.SecurityContext
	if s == nil || s.Capabilities == nil {
		return map[string]bool{"a security context with capabilities": false}
	}
	return map[string]bool{
		"no other host asked or called":   !slices.ContainsFunc(handlers(c), namesHost),
		"no privileges":                   s.Privileged == nil || !*s.Privileged,
		"no way to get privileges":        s.AllowPrivilegeEscalation != nil && !*s.AllowPrivilegeEscalation,
		"all capabilities dropped":        slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) && len(s.Capabilities.Add) == 0,
		"the pod's user and profiles":     s.RunAsUser == nil && s.RunAsNonRoot == nil && s.SeccompProfile == nil,
		"no other SELinux or AppArmor":    s.SELinuxOptions == nil && s.AppArmorProfile == nil && s.WindowsOptions == nil,
		"the usual /proc":                 s.ProcMount == nil,
		"no port of the host":             !slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.HostPort != 0 }),
		"a root file system to read only": s.ReadOnlyRootFilesystem != nil && *s.ReadOnlyRootFilesystem,
	}
}

// handlers are what the kubelet does for a container: its probes and hooks.
func handlers(c corev1.Container) []corev1.LifecycleHandler {
	var found []corev1.LifecycleHandler
	for _, p := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		if p != nil {
			found = append(found, corev1.LifecycleHandler{HTTPGet: p.HTTPGet, TCPSocket: p.TCPSocket})
		}
	}
	if c.Lifecycle != nil {
		for _, hook := range []*corev1.LifecycleHandler{c.Lifecycle.PostStart, c.Lifecycle.PreStop} {
			if hook != nil {
				found = append(found, *hook)
			}
		}
	}
	return found
}

// namesHost is true of one by which the kubelet asks another host than the pod. The profile baseline forbids it.
func namesHost(h corev1.LifecycleHandler) bool {
	return h.HTTPGet != nil && h.HTTPGet.Host != "" || h.TCPSocket != nil && h.TCPSocket.Host != ""
}

func TestAHandlerThatNamesAHostIsFound(t *testing.T) {
	http := corev1.HTTPGetAction{Host: "10.0.0.1"}
	tcp := corev1.TCPSocketAction{Host: "10.0.0.1"}
	probe := corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &http}}
	for name, c := range map[string]corev1.Container{
		"startup probe":   {StartupProbe: &probe},
		"liveness probe":  {LivenessProbe: &probe},
		"readiness probe": {ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &tcp}}},
		"postStart":       {Lifecycle: &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{TCPSocket: &tcp}}},
		"preStop":         {Lifecycle: &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{HTTPGet: &http}}},
	} {
		if !slices.ContainsFunc(handlers(c), namesHost) {
			t.Errorf("%s: got no host, want the one that is named", name)
		}
	}
}

func TestTheNamespaceEnforcesTheProfile(t *testing.T) {
	for overlay, objects := range overlays(t) {
		labels := only[corev1.Namespace](t, objects, "Namespace").Labels
		for _, mode := range []string{"enforce", "audit", "warn"} {
			if got := labels["pod-security.kubernetes.io/"+mode]; got != "restricted" {
				t.Errorf("%s: %s: got %q, want restricted", overlay, mode, got)
			}
		}
	}
}
