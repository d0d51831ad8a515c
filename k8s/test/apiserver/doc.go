// Package apiserver has one test: a real API server accepts the manifests. It needs kube-apiserver and etcd in the folder
// that KUBEBUILDER_ASSETS names (see setup-envtest of sigs.k8s.io/controller-runtime), and is skipped without them. It
// is a module of its own, because a Kubernetes client is heavy.
package apiserver
