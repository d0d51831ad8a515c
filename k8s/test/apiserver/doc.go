// Package apiserver has one test: a real API server takes what is in k8s/. It needs the binaries of
// kube-apiserver and etcd, in the folder that KUBEBUILDER_ASSETS names (see setup-envtest of
// sigs.k8s.io/controller-runtime), and is skipped without them. It is a module of its own for the weight
// of a Kubernetes client.
package apiserver
