// Package k8s has only tests: they hold what is in k8s/ against the worker of this tree. Every overlay and
// component is rendered as kubectl does it, decoded strictly into the API's types, and compared with the
// settings and metrics that the worker has. It is a module of its own, so that the worker's dependencies
// stay few.
package k8s
