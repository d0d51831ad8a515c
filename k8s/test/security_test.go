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
			for rule, kept := range podRules(pod) {
				if !kept {
					t.Errorf("%s: pod %s: got it broken, want %s", overlay, name, rule)
				}
			}
			for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
				for rule, kept := range containerRules(c) {
					if !kept {
						t.Errorf("%s: container %s: got it broken, want %s", overlay, c.Name, rule)
					}
				}
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
