// Package k8s has only tests. They compare what is in k8s/ with the worker of this tree: they render every overlay and
// component as kubectl does, decode it strictly into the API's types, and compare it with the worker's settings and
// metrics. They do the same with compose.yaml, the image, and the systemd unit in the documents. It is a module of its own,
// so that the worker has few dependencies.
package k8s
